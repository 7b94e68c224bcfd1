"""What a saved prompt remembers of the way its rows were read, and holds to when it is used."""

import json
from pathlib import Path
from typing import Any

import pytest

import softprompt as sp
from softprompt.app.recipes.prepare import prepare
from softprompt.app.recipes.saved import make_prompt
from softprompt.app.watch import Watcher
from softprompt.core.errors import DataError, PromptError
from softprompt.core.tensors import PromptTensors
from softprompt.data.dialect import ReadSettings
from softprompt.data.sources import File

PLAIN = [{"text": f"{word} {n} &lt;b&gt;", "label": word} for n in range(4) for word in ("good", "bad")]
HTML = [{**row, "text": f"<p>{row['text'].replace('&', '&amp;')}</p><style>p {{}}</style>"} for row in PLAIN]

GROUPED = [{**row, "customer": f"c{n // 2}", "meta": {"thread": n // 2}} for n, row in enumerate(PLAIN)]


def saved(model: sp.Backbone, *, roles: dict[str, str] | None = None, **read: Any) -> sp.Prompt:
    settings = {
        "data": {"train": "rows", "folds": "none", "read": read, "roles": roles or {}},
        "template": {"length": 0},
        "answers": {"form": "words"},
    }
    ready = prepare(sp.RunConfig.parse(settings), sources={"train": GROUPED if roles else HTML}, backbone=model)
    return make_prompt(ready, PromptTensors())


@pytest.fixture(scope="module")
def stripping(model: sp.Backbone) -> sp.Prompt:
    return saved(model, strip_html=True)


def test_rows_are_read_from_the_columns_that_were_learnt_from(model: sp.Backbone, tmp_path: Path) -> None:
    """As it learnt where these columns are there, else by the names of the fields; what the caller says wins."""
    learnt = [{"body": row["text"], "text": "not this", "tone": row["label"]} for row in PLAIN]
    settings = {
        "name": "tone",
        "data": {"train": "rows", "folds": "none", "columns": {"text": "body", "label": "tone"}},
        "template": {"length": 0},
        "answers": {"form": "words"},
    }
    ready = prepare(sp.RunConfig.parse(settings), sources={"train": learnt}, backbone=model)
    prompt = make_prompt(ready, PromptTensors())
    expected = answers(prompt, [{"text": row["text"]} for row in PLAIN], model)
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in learnt), encoding="utf-8")
    notes: list[str] = []
    for source in (learnt, path):
        stream = sp.predict(prompt, source, model=model, watcher=Heard(notes))
        assert [round(one.answers["tone"].confidence, 5) for one in stream] == [one[0] for one in expected]
        assert notes.pop(0) == "text is read from the column 'body', as it learnt"
    named = sp.predict(prompt, learnt, model=model, columns={"text": "text"})
    assert {one.fields["text"] for one in named} == {"not this"}
    (own,) = sp.evaluate(prompt, learnt, model=model, watcher=Heard(notes))
    (by_name,) = sp.evaluate(prompt, PLAIN, model=model)
    assert own.items == by_name.items
    assert "tone: text is read from the column 'body', label is read from the column 'tone', as it learnt" in notes
    with pytest.raises(DataError, match=r"no column gives the template's field {text}; known: boddy"):
        list(sp.predict(prompt, [{"boddy": "x"}], model=model))


class Heard(Watcher):
    """Keeps the notes."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    def note(self, text: str) -> None:
        self.notes.append(text)


def answers(prompt: sp.Prompt, source: Any, model: sp.Backbone) -> list[tuple[float, str]]:
    return [
        (round(one.answers[prompt.name].confidence, 5), one.fields["text"])
        for one in sp.predict(prompt, source, model=model)
    ]


def test_a_prompt_remembers_that_html_was_stripped(stripping: sp.Prompt, model: sp.Backbone) -> None:
    assert stripping.manifest.template["strip_html"] is True
    assert "strip_html" not in saved(model).manifest.template


def test_every_road_of_predict_strips_once(stripping: sp.Prompt, model: sp.Backbone, tmp_path: Path) -> None:
    expected = answers(saved(model), PLAIN, model)
    assert answers(stripping, HTML, model) == expected
    assert answers(stripping, [row["text"] for row in HTML], model) == expected
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in HTML), encoding="utf-8")
    assert answers(stripping, path, model) == expected
    assert answers(stripping, File(path, ReadSettings(strip_html=True)), model) == expected
    assert answers(saved(model), HTML, model) != expected


def test_evaluate_strips_once(stripping: sp.Prompt, model: sp.Backbone, tmp_path: Path) -> None:
    def probabilities(prompt: sp.Prompt, source: Any) -> list[float]:
        (found,) = sp.evaluate(prompt, source, model=model)
        return [round(item.probability or 0.0, 5) for item in found.items]

    expected = probabilities(saved(model), PLAIN)
    assert probabilities(stripping, HTML) == expected
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in HTML), encoding="utf-8")
    assert probabilities(stripping, File(path, ReadSettings(strip_html=True))) == expected
    assert probabilities(saved(model), HTML) != expected


def test_prompts_that_read_differently_are_refused_together(stripping: sp.Prompt, model: sp.Backbone) -> None:
    with pytest.raises(PromptError, match=r"learnt from texts without their HTML.*other_reading.*two calls"):
        list(sp.predict([stripping, saved(model)], HTML, model=model))
    with pytest.raises(PromptError, match="other_reading"):
        sp.evaluate([saved(model), stripping], HTML, model=model)


# --- groups


class Notes(sp.Watcher):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def groups_of(prompt: sp.Prompt, rows: Any, model: sp.Backbone, **options: Any) -> tuple[set[str | None], list[str]]:
    heard = Notes()
    (found,) = sp.evaluate(prompt, rows, model=model, watcher=heard, **options)
    return {item.group for item in found.items}, [text for text in heard.said if "count once" in text]


def test_evaluate_counts_the_groups_that_the_prompt_learnt_with(model: sp.Backbone) -> None:
    prompt = saved(model, roles={"group": "customer"})
    found, said = groups_of(prompt, GROUPED, model)
    assert found == {"c0", "c1", "c2", "c3"}
    assert len(said) == 1
    assert "rows with the same 'customer' count once" in said[0]
    assert groups_of(prompt, PLAIN, model) == ({None}, []), "the column is not there"
    assert groups_of(prompt, GROUPED, model, group="") == ({None}, [])
    assert groups_of(prompt, GROUPED, model, group="meta.thread") == ({"0", "1", "2", "3"}, [])
    assert groups_of(saved(model), GROUPED, model) == ({None}, [])
    by_path = saved(model, roles={"group": "meta.thread"})
    assert groups_of(by_path, GROUPED, model)[0] == {"0", "1", "2", "3"}


def test_a_column_can_group_and_slice(model: sp.Backbone) -> None:
    (found,) = sp.examine(saved(model, roles={"group": "customer"}), GROUPED, model=model, slices=["customer"])
    assert {item.group for item in found.evaluation.items} == {"c0", "c1", "c2", "c3"}
    assert found.slices[0].column == "customer"


@pytest.mark.parametrize("rows", [(GROUPED, GROUPED), (GROUPED, PLAIN), (PLAIN, GROUPED), (PLAIN, PLAIN)])
def test_rows_that_choose_and_rows_that_judge_may_know_different_columns(rows: Any, model: sp.Backbone) -> None:
    judging, choosing = rows
    prompt = saved(model, roles={"group": "customer"})
    (found,) = sp.examine(prompt, judging, choose_on=choosing, precision=0.02, model=model)
    assert found.coverage is not None
    assert found.coverage.choice.grouped is (judging is choosing is GROUPED)


@pytest.mark.parametrize("data", [3, {"roles": 3}, {"roles": {"group": 3}}, {}])
def test_a_manifest_that_says_nothing_of_groups_groups_nothing(data: Any, model: sp.Backbone) -> None:
    prompt = saved(model, roles={"group": "customer"})
    manifest = prompt.manifest.model_copy(update={"config": {**prompt.manifest.config, "data": data}})
    assert groups_of(sp.Prompt(prompt.tensors, manifest), GROUPED, model)[0] == {None}
