"""Every kind of task from a file to answers: init writes the settings, a few steps are learnt, the prompt is used."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import softprompt as sp
from softprompt.app.recipes.check import check
from softprompt.app.recipes.init import Wishes, init, save
from softprompt.app.recipes.tune import tune
from softprompt.app.yaml import read_yaml
from softprompt.core.errors import TemplateError
from softprompt.model.backbones.causal import CausalBackbone
from softprompt.testing import tiny_tokenizer
from tests.app.recipes.files import PRODUCTS, lines, relabelled, table

FEW = {
    "training": {"steps": 2, "rate": 0.1, "seeds": [0], "evaluations": 1, "batch_size": 4},
    "template": {"place": "after", "length": 2},
    "baselines": False,
    "data.folds": "none",
    "max_tokens": 240,
}
CHAT = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('there is no system role') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}</>{% endfor %}<assistant>"
)


def order(number: int) -> dict[str, Any]:
    return {
        "text": f"Please send {number} pieces to our {('shop', 'house')[number % 2]}.",
        "answer": {"pieces": number, "place": ("shop", "house")[number % 2]},
    }


def talk(number: int, *, system: str = "") -> dict[str, Any]:
    thing = PRODUCTS[number % len(PRODUCTS)]
    said = [
        *([("system", system)] if system else []),
        ("user", f"Is the {thing} there?"),
        ("assistant", "Yes."),
        ("user", f"And {number} of them?"),
        ("assistant", f"{number} are there."),
    ]
    return {"messages": [{"role": role, "content": text} for role, text in said]}


@dataclass(frozen=True)
class Whole:
    """A kind, its file, and what a new row may be answered with."""

    kind: str
    file: str
    content: bytes
    wishes: Wishes
    metric: str
    changes: dict[str, Any]

    def fits(self, answer: Any) -> bool:
        match self.kind:
            case "multilabel":
                return set(answer) <= {"late", "bill"}
            case "score":
                return 1 <= answer <= 3
            case "extract":
                return set(answer) == {"pieces", "place"} and answer["place"] in {"shop", "house"}
            case _:
                return isinstance(answer, str)


WHOLE = [
    Whole(
        "multilabel",
        "tags.csv",
        table(("text", "tags"), relabelled(24, ("late", "late;bill", "bill", ""))),
        Wishes(),
        "macro_f1",
        {},
    ),
    Whole("score", "stars.csv", table(("text", "stars"), relabelled(24, (1, 2, 3))), Wishes(task="score"), "mae", {}),
    Whole("extract", "orders.jsonl", lines(map(order, range(24))), Wishes(), "field_f1", {"task.max_new_tokens": 60}),
    Whole("dialogue", "chats.jsonl", lines(map(talk, range(24))), Wishes(), "rouge_l", {"task.max_new_tokens": 8}),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def chatty(model: sp.Backbone) -> sp.Backbone:
    """The same with a chat template, which takes no system part."""
    assert isinstance(model, CausalBackbone)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = CHAT
    return sp.wrap(model.model, tokenizer, name="chatty")


def settings(whole: Whole, **changes: Any) -> sp.RunConfig:
    """Those that init writes, read again, with few steps."""
    Path(whole.file).write_bytes(whole.content)
    save(init(whole.file, whole.wishes), Path("run.yaml"))
    config = sp.RunConfig.parse(read_yaml("run.yaml"))
    assert config.task.kind == whole.kind
    return config.with_({**FEW, **whole.changes, **changes})


@pytest.mark.parametrize("whole", WHOLE, ids=[whole.kind for whole in WHOLE])
def test_a_kind_works_from_the_file_to_the_answers(whole: Whole, model: sp.Backbone) -> None:
    report = tune(settings(whole), backbone=model)
    assert next(iter(report.evaluation.metrics)) == whole.metric
    prompt = report.folder / "prompt"
    new = {"messages": [{"role": "user", "content": "Is it there?"}]} if whole.kind == "dialogue" else {"text": "Late?"}
    for rows in ([new], ["Where is it?"]):
        (said,) = sp.predict(prompt, rows, model=model)
        assert whole.fits(next(iter(said.answers.values())).answer)
        json.dumps(said.to_dict())
    (found,) = sp.evaluate(prompt, whole.file, model=model)
    assert len(found.items) == 24
    assert found.metrics[whole.metric].low <= found.metrics[whole.metric].estimate <= found.metrics[whole.metric].high
    assert {one.of for one in found.classes} <= {"field" if whole.kind == "extract" else "class"}
    assert type(found).from_dict(json.loads(json.dumps(found.to_dict()))).items == found.items


def test_a_conversation_is_learnt_and_asked_in_the_models_chat_format(chatty: sp.Backbone, model: sp.Backbone) -> None:
    dialogue = WHOLE[-1]
    config = settings(dialogue)
    page = check(config, backbone=chatty)
    assert any("in the model's own chat format" in note for note in page.notes)
    assert [part.text for part in page.rows[0].view.parts if part.kind == "chat"] == [
        "<user>",
        "</><assistant>",
        "</><user>",
        "</><assistant>",
    ]
    assert any("the model has no chat format" in note for note in check(config, backbone=model).notes)
    report = tune(config, backbone=chatty)
    kept = sp.Prompt.load(report.folder / "prompt").manifest
    assert kept.requires == ("embed", "turns")
    assert kept.template["text"] == '{bos}{text}<soft 2>{special "</><assistant>"}{answer}'
    (said,) = sp.predict(report.folder / "prompt", [talk(3)], model=chatty)
    assert dialogue.fits(next(iter(said.answers.values())).answer)


def test_a_system_part_that_the_chat_format_refuses_is_named_before_the_run(chatty: sp.Backbone) -> None:
    rows = [talk(n, system="Be brief." if n == 5 else "") for n in range(24)]
    refused = Whole("dialogue", "chats.jsonl", lines(rows), Wishes(), "rouge_l", WHOLE[-1].changes)
    with pytest.raises(
        TemplateError, match=r"chats.jsonl:6: the model's chat template takes no turn of the system"
    ) as e:
        tune(settings(refused), backbone=chatty)
    assert "template.turns: lines" in (e.value.cure or "")
    Path("run.yaml").unlink()
    lined = settings(refused, **{"template.turns": "lines"})
    assert any("as the template says" in note for note in check(lined, backbone=chatty).notes)
