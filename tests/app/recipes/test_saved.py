"""What a saved prompt remembers of the way its rows were read, and holds to when it is used."""

import json
from pathlib import Path
from typing import Any

import pytest

import softprompt as sp
from softprompt.app.recipes.prepare import prepare
from softprompt.app.recipes.saved import make_prompt
from softprompt.core.errors import PromptError
from softprompt.core.tensors import PromptTensors
from softprompt.data.dialect import ReadSettings
from softprompt.data.sources import File

PLAIN = [{"text": f"{word} {n} &lt;b&gt;", "label": word} for n in range(4) for word in ("good", "bad")]
HTML = [{**row, "text": f"<p>{row['text'].replace('&', '&amp;')}</p><style>p {{}}</style>"} for row in PLAIN]


def saved(model: sp.Backbone, **read: Any) -> sp.Prompt:
    settings = {
        "data": {"train": "rows", "folds": "none", "read": read},
        "template": {"length": 0},
        "answers": {"form": "words"},
    }
    ready = prepare(sp.RunConfig.parse(settings), sources={"train": HTML}, backbone=model)
    return make_prompt(ready, PromptTensors())


@pytest.fixture(scope="module")
def stripping(model: sp.Backbone) -> sp.Prompt:
    return saved(model, strip_html=True)


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
