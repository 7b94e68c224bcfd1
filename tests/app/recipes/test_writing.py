"""How a prompt writes: as its task says, or otherwise for one call; the same from settings, calls and saved files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import softprompt as sp
from softprompt.app.recipes.evaluate import Labelled
from softprompt.app.recipes.examine import Questions, examine
from softprompt.app.recipes.prepare import prepare
from softprompt.app.recipes.saved import ask_of, make_prompt
from softprompt.app.watch import Watcher
from softprompt.core.decoding import Decoding
from softprompt.core.errors import ConfigError
from softprompt.core.tensors import PromptTensors, SlotTensors
from softprompt.model.decoding import decode

pytestmark = pytest.mark.usefixtures("few_resamples")

ROWS = [{"text": f"message {n}", "reply": f"yes {n}", "label": ("good", "bad")[n % 2]} for n in range(8)]
TEXTS = [row["text"] for row in ROWS]
DRAWN = {"temperature": 1.5, "top_k": 40, "seed": 3}


def saved(model: sp.Backbone, name: str = "reply", **task: Any) -> sp.Prompt:
    """A prompt of random vectors."""
    settings = {
        "name": name,
        "data": {"train": "rows", "folds": "none"},
        "task": {"kind": "generate", "target": "reply", "max_new_tokens": 6, **task},
        "template": {"text": "{text}<soft 2> {answer}"},
        "answers": {"form": "words"},
    }
    ready = prepare(sp.RunConfig.parse(settings), sources={"train": ROWS}, backbone=model)
    vectors = 0.02 * torch.randn(2, model.spec.embed_dim, generator=torch.Generator().manual_seed(1))
    return make_prompt(ready, PromptTensors({"soft": SlotTensors(embed=vectors)}))


@pytest.fixture(scope="module")
def reply(model: sp.Backbone) -> sp.Prompt:
    return saved(model)


def said(prompt: sp.Prompt, model: sp.Backbone, decoding: Any = None, texts: Any = TEXTS) -> list[str]:
    return [one.answers[prompt.name].text for one in sp.predict(prompt, texts, model=model, decoding=decoding)]


@pytest.mark.parametrize(
    "ways", [{}, {"num_beams": 3}, DRAWN, {"stop": ["e"]}], ids=["greedy", "beams", "drawn", "stop"]
)
def test_answers_are_those_of_the_loop_from_the_call_and_from_the_task(
    ways: Mapping[str, Any], reply: sp.Prompt, model: sp.Backbone
) -> None:
    ask, _ = ask_of(reply, model)
    examples = [sp.Example({"text": text}) for text in TEXTS]
    rows = [ask.builder.row(example, target=False) for example in examples]
    settings = Decoding.parse({**ways, "max_new_tokens": 6})
    found = decode(model, rows, [ask.tensors], settings)
    expected = [ask.answer(one.text, example) for one, example in zip(found, examples, strict=True)]
    assert said(reply, model, ways) == expected
    assert said(saved(model, decoding=ways or None), model) == expected
    assert len(set(expected)) > 1


def test_a_line_says_how_its_answer_was_written(reply: sp.Prompt, model: sp.Backbone) -> None:
    def told(**options: Any) -> Any:
        (line,) = sp.predict(reply, TEXTS[:1], model=model, **options)
        return line.to_dict().get("decoding")

    assert told() is None, "greedy goes without saying"
    drawn = told(decoding=DRAWN)
    assert drawn["method"] == "sample"
    assert {name: drawn[name] for name in DRAWN} == DRAWN
    assert told(decoding=drawn) == drawn, "it is what has to be asked for to have the answer again"


def test_draws_follow_the_seed_and_not_the_batch(reply: sp.Prompt, model: sp.Backbone) -> None:
    together = said(reply, model, DRAWN)
    assert [said(reply, model, DRAWN, [text])[0] for text in TEXTS] == together
    assert said(reply, model, {**DRAWN, "seed": 4}) != together
    assert said(reply, model, {"temperature": 0}) == said(reply, model) != together


def test_a_call_changes_what_the_task_says_and_keeps_the_rest(model: sp.Backbone) -> None:
    drawing = saved(model, decoding={**DRAWN, "stop": ["zz"]})
    assert said(drawing, model, {"seed": 3}) == said(drawing, model)
    assert said(drawing, model, {"num_beams": 1}) == said(saved(model), model)
    (found,) = examine([drawing], Labelled(ROWS), Questions(decoding={"num_beams": 2}), backbone=model)
    assert found.decoding is not None
    assert (found.decoding.words, found.decoding.stop, found.decoding.max_new_tokens) == ("with 2 beams", ("zz",), 6)
    assert found.to_dict()["decoding"]["num_beams"] == 2


def test_a_longer_answer_keeps_its_room(reply: sp.Prompt, model: sp.Backbone) -> None:
    """A text that fills the context is cut further, so that the answer is as long as was asked for."""
    long = "word " * model.spec.max_positions
    cut = []
    for longest in (6, 30):
        ways = {"max_new_tokens": longest, "min_new_tokens": longest}
        (one,) = sp.predict(reply, [long], model=model, decoding=ways)
        cut.append(one.answers["reply"].cut)
        ask, _ = ask_of(reply, model)
        assert len(ask.builder.tokenizer.encode(one.answers["reply"].text)) >= longest // 2
    assert cut[0] < cut[1] <= cut[0] + 24


def test_evaluations_say_how_answers_were_written(reply: sp.Prompt, model: sp.Backbone) -> None:
    notes: list[str] = []

    class Heard(Watcher):
        def note(self, text: str) -> None:
            notes.append(text)

    (greedy,) = sp.evaluate(reply, ROWS, model=model, watcher=Heard())
    assert not any("writes" in note for note in notes)
    (drawn,) = sp.evaluate(reply, ROWS, model=model, decoding=Decoding.parse(DRAWN), watcher=Heard())
    assert "reply: writes by draws (temperature 1.5, top_k 40, seed 3), 6 tokens at most" in notes
    assert [item.prediction for item in greedy.items] == said(reply, model)
    assert [item.prediction for item in drawn.items] == said(reply, model, DRAWN)


def test_scores_of_other_ways_are_not_kept_as_the_first(reply: sp.Prompt, model: sp.Backbone, tmp_path: Path) -> None:
    manifest = reply.manifest.model_copy(update={"unevaluated": True})
    path = sp.Prompt(reply.tensors, manifest).save(tmp_path / "reply")
    sp.evaluate(path, ROWS, model=model, decoding=DRAWN)
    assert sp.load(path).manifest.unevaluated
    sp.evaluate(path, ROWS, model=model)
    assert not sp.load(path).manifest.unevaluated


@pytest.mark.parametrize(
    ("ways", "words"),
    [
        ({"num_beams": 4, "temperature": 0.5}, "beams do not draw: num_beams 4 beside temperature"),
        ({"temperature": -1}, "temperature: has to be above 0"),
        ({"seed": 9}, "seed has no effect with method 'greedy'"),
        ({"beams": 4}, "beams: unknown key; did you mean 'num_beams'"),
        ({"num_beams": 10_000}, "num_beams: input should be less than or equal to 64"),
        ({"max_new_tokens": 0}, "max_new_tokens: input should be greater than or equal to 1"),
        ({"min_new_tokens": 7}, "min_new_tokens 7 is more than max_new_tokens 6"),
    ],
)
def test_what_makes_no_sense_is_refused(ways: dict[str, Any], words: str, reply: sp.Prompt, model: sp.Backbone) -> None:
    with pytest.raises(ConfigError, match=words):
        said(reply, model, ways)


def test_prompts_that_choose_do_not_write(reply: sp.Prompt, model: sp.Backbone) -> None:
    topic = saved(model, "topic", kind="classify", target="label", max_new_tokens=None)
    with pytest.raises(ConfigError, match="num_beams: for answers that are written, and 'topic' chooses its answers"):
        said(topic, model, {"num_beams": 2})
    (both,) = sp.predict([topic, reply], TEXTS[:1], model=model, decoding={"num_beams": 2})
    assert both.answers["reply"].text == said(reply, model, {"num_beams": 2})[0]
    assert both.answers["topic"].text == said(topic, model)[0]


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({"kind": "classify", "decoding": {"num_beams": 2}}, "a classify task chooses its answers"),
        ({"kind": "score", "max_new_tokens": 2}, "max_new_tokens: for answers that are written; a score task"),
        ({"kind": "generate", "decoding": {"beams": 2}}, "did you mean 'num_beams'"),
    ],
)
def test_settings_of_a_run_are_checked(task: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        sp.RunConfig.parse({"data": {"train": "rows.csv"}, "task": task})
    assert ", got {" not in str(caught.value)  # the section is not told again


def test_values_of_another_shape_are_told_in_plain_words() -> None:
    for task, said in [
        ({"decoding": "beam"}, "a mapping of keys, got 'beam'"),
        ({"metrics": "f1"}, "a list, got 'f1'"),
    ]:
        with pytest.raises(ConfigError, match=f"input should be {said}"):
            sp.RunConfig.parse({"data": {"train": "rows.csv"}, "task": {"kind": "generate", **task}})
