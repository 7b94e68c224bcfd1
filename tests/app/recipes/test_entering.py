"""Prompts whose tokens enter the layers, from rows to answers: learnt, saved, asked beside others, continued."""

from pathlib import Path
from typing import Any

import pytest

import softprompt as sp
from softprompt.core.errors import ConfigError, ModelError, PromptError, SoftpromptError
from softprompt.testing import tiny

QUICK = {"steps": 4, "rate": 0.05, "seeds": (0, 1), "evaluations": 2, "batch_size": 8}
TASK = sp.Task.classify(["no", "yes"])
TEXTS = ["good day", "bad night, and a long text", "good"]

METHODS: dict[str, tuple[Any, str]] = {
    "deep before": ("deep", "<soft 4>{text} It was {answer}"),
    "deep after": ({"name": "deep", "init": "random"}, "{text}<soft 4> It was {answer}"),
    "late before": ({"name": "late", "layer": 1}, "{bos}<soft 4>{text} It was {answer}"),
    "late after": ("late", "{text}<soft 4> It was {answer}"),
}


def rows(number: int, *, start: int = 0) -> list[dict[str, str]]:
    return [
        {"id": str(i), "text": f"{'good' if i % 2 else 'bad'} {i}", "label": "yes" if i % 2 else "no"}
        for i in range(start, start + number)
    ]


PARTS = {"train": rows(24), "validation": rows(8, start=200), "test": rows(8, start=100)}


def learn(model: sp.Backbone, folder: Path, method: Any, template: str, **rest: Any) -> sp.TuneReport:
    settings = {"training": QUICK, "baselines": False, "name": folder.name} | rest
    return sp.tune(TASK, **PARTS, model=model, output=folder, method=method, template=template, **settings)


@pytest.fixture(scope="module")
def prompts(model: sp.Backbone, tmp_path_factory: pytest.TempPathFactory) -> dict[str, sp.Prompt]:
    """One of each, saved and loaded again; two seeds are trained together."""
    folder = tmp_path_factory.mktemp("runs")
    found = {}
    for name, (method, template) in METHODS.items():
        run = folder / name.replace(" ", "-")
        assert len(learn(model, run, method, template).tuning.learnt[0].outcomes) == 2
        found[name] = sp.load(run / "prompt")
    return found


pytestmark = pytest.mark.usefixtures("few_resamples")


def answers(prompt: sp.Prompt, model: sp.Backbone) -> list[dict[str, float]]:
    return [dict(one.answers[prompt.name].probabilities or {}) for one in sp.predict(prompt, TEXTS, model=model)]


@pytest.mark.parametrize("name", METHODS)
def test_what_is_saved_says_what_is_needed_and_answers_as_it_was_judged(
    name: str, prompts: dict[str, sp.Prompt], model: sp.Backbone
) -> None:
    prompt = prompts[name]
    slot = prompt.tensors.slots["soft"]
    assert set(prompt.manifest.requires) >= {"kv" if "deep" in name else "hidden"}
    assert (sorted(slot.kv), sorted(slot.hidden)) == (
        ([0, 1, 2], []) if "deep" in name else ([], [1 if "before" in name else 2])
    )
    again = sp.evaluate(prompt, PARTS["test"], model=model)[0]
    assert {k: i.estimate for k, i in again.metrics.items()} == {s.metric: s.value for s in prompt.manifest.scores}


def test_prompts_of_all_kinds_are_asked_together_as_they_are_alone(
    prompts: dict[str, sp.Prompt], model: sp.Backbone, tmp_path: Path
) -> None:
    plain = sp.load(learn(model, tmp_path / "plain", "plain", METHODS["late after"][1]).folder / "prompt")
    mixed = [*prompts.values(), plain]
    together = list(sp.predict(mixed, TEXTS, model=model))
    for prompt in mixed:
        for one, alone in zip(together, answers(prompt, model), strict=True):
            assert dict(one.answers[prompt.name].probabilities or {}) == pytest.approx(alone, abs=1e-4)


@pytest.mark.parametrize("name", ["deep before", "late after"])
def test_a_prompt_is_continued_where_it_ended(
    name: str, prompts: dict[str, sp.Prompt], model: sp.Backbone, tmp_path: Path
) -> None:
    method, template = METHODS[name]
    prompts[name].save(tmp_path / "first")
    still = QUICK | {"rate": 1e-12, "seeds": (5,)}
    start = {"start": {"kind": "prompt"}, "start_from": tmp_path / "first", "training": still}
    report = learn(model, tmp_path / "second", method, template, **start)
    again = sp.load(report.folder / "prompt")
    for (title, old), (_, new) in zip(prompts[name].tensors.tensors(), again.tensors.tensors(), strict=True):
        assert title.startswith("head") or float((old - new).abs().max()) < 1e-5


def test_a_prompt_of_the_layers_is_not_continued_among_the_embeddings(
    prompts: dict[str, sp.Prompt], model: sp.Backbone, tmp_path: Path
) -> None:
    prompts["deep before"].save(tmp_path / "first")
    start = {"start": {"kind": "prompt"}, "start_from": tmp_path / "first"}
    with pytest.raises(PromptError, match=r"enters the layers \(keys.0, .*prompt.other_slots.*method: deep"):
        learn(model, tmp_path / "run", "plain", METHODS["deep before"][1], **start)


def test_what_cannot_be_is_refused_before_anything_is_learnt(model: sp.Backbone, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"method.layer is 7: the model has 3 layers, 0 to 2"):
        learn(model, tmp_path / "a", {"name": "late", "layer": 7}, METHODS["late after"][1])
    with pytest.raises(ModelError, match=r"directly behind slot 'soft'.*model.unsupported_prompt.*put a word between"):
        learn(model, tmp_path / "b", "deep", "{text}<soft 4>{answer}")
    with pytest.raises(ConfigError, match=r"training.noise: acts on soft tokens, and method 'deep' has none here"):
        learn(model, tmp_path / "c", "deep", "{text} It was {answer}", training=QUICK | {"noise": 0.1})


class Stages(sp.Watcher):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def stage(self, name: str, total: int | None = None) -> None:
        self.seen.append(name)


@pytest.mark.parametrize(
    ("family", "method", "template", "said"),
    [
        ("llama", "deep", "{text}<soft 4>{answer}", r"directly behind slot 'soft'.*put a word between"),
        ("llama", {"name": "late", "layer": 7}, METHODS["late after"][1], r"config.invalid.*give one of them"),
        ("t5", "deep", "{text}<decoder>So<soft 4>{answer}", r"directly behind slot 'soft'.*put a word between"),
        ("t5", {"name": "late", "layer": 2}, "{text}<decoder><soft 4>{answer}", r"the model has 2 layers, 0 to 1"),
        ("minilm", "deep", "{text}<soft 4>{answer}", r"directly behind slot 'soft'.*put a word between"),
        ("bert", {"name": "late", "layer": 7}, METHODS["late before"][1], r"the model has 3 layers, 0 to 2"),
    ],
)
def test_what_cannot_be_is_refused_before_texts_are_read_and_in_the_forecast(
    family: str, method: Any, template: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "kept").write_text("mine")
    asked: dict[str, Any] = {"model": tiny(family), "method": method, "template": template, "training": QUICK}
    watcher = Stages()
    with pytest.raises(SoftpromptError, match=said) as tuned:
        sp.tune(TASK, **PARTS, **asked, output=tmp_path, watcher=watcher)
    assert watcher.seen == ["read the data"]
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    with pytest.raises(SoftpromptError) as planned:
        sp.plan(TASK, **PARTS, **asked)
    assert str(planned.value) == str(tuned.value)


def test_another_model_is_refused_with_the_difference_named(prompts: dict[str, sp.Prompt]) -> None:
    with pytest.raises(PromptError, match=r"another model: .*fingerprint"):
        list(sp.predict(prompts["deep before"], TEXTS, model=tiny("llama", seed=4)))


@pytest.mark.parametrize("method", ["deep", "late"])
def test_answers_are_written_behind_tokens_of_the_layers(method: str, model: sp.Backbone, tmp_path: Path) -> None:
    examples = [{"text": row["text"], "label": row["text"][:3]} for row in rows(12)]
    report = sp.tune(
        sp.Task.generate(target="label", max_new_tokens=4),
        train=examples,
        validation=examples[:4],
        test=examples[4:8],
        model=model,
        output=tmp_path / "run",
        method=method,
        template={"place": "before"},
        training=QUICK,
        baselines=False,
    )
    prompt = sp.load(report.folder / "prompt")
    together = [one.answers[prompt.name].answer for one in sp.predict(prompt, TEXTS, model=model)]
    apart = [next(iter(sp.predict(prompt, [text], model=model))).answers[prompt.name].answer for text in TEXTS]
    assert together == apart


@pytest.mark.parametrize("method", ["deep", "late"])
@pytest.mark.parametrize(
    ("family", "template", "layers"),
    [
        ("t5", "{text} It was<decoder><soft 4>{answer}", 2),
        ("bart", "{bos}<soft 4>{text} It was<decoder>{answer}", 3),
        ("bert", "{bos}{text}<soft 4> It was {answer}", 3),
        ("minilm", "{bos}<soft 4>{text} It was {answer}", 3),
    ],
)
def test_other_kinds_of_models_learn_save_and_answer(
    family: str, template: str, layers: int, method: str, tmp_path: Path
) -> None:
    model = tiny(family)
    asked = {"training": QUICK | {"seeds": (0,)}, "answers": {"form": "vectors"}}
    report = learn(model, tmp_path / "run", method, template, **asked)
    prompt = sp.load(report.folder / "prompt")
    slot = prompt.tensors.slots["soft"]
    assert sorted(slot.kv) == (list(range(layers)) if method == "deep" else [])
    assert sorted(slot.hidden) == ([] if method == "deep" else [round(2 / 3 * layers)])
    again = sp.evaluate(prompt, PARTS["test"], model=model)[0]
    assert {k: i.estimate for k, i in again.metrics.items()} == {s.metric: s.value for s in prompt.manifest.scores}


def test_a_decoder_writes_behind_keys_and_values(tmp_path: Path) -> None:
    model = tiny("t5")
    task = sp.Task.generate(target="label", max_new_tokens=3)
    examples = [{"text": row["text"], "label": row["text"][:3]} for row in rows(12)]
    report = sp.tune(
        task,
        train=examples,
        validation=examples[:4],
        test=examples[4:8],
        model=model,
        output=tmp_path / "run",
        method="deep",
        template={"place": "after"},
        training=QUICK | {"seeds": (0,)},
        baselines=False,
    )
    prompt = sp.load(report.folder / "prompt")
    together = [one.answers[prompt.name].answer for one in sp.predict(prompt, TEXTS, model=model)]
    apart = [next(iter(sp.predict(prompt, [text], model=model))).answers[prompt.name].answer for text in TEXTS]
    assert together == apart
