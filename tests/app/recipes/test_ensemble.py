"""Prompts joined to one: what is saved answers as its members do together, and what cannot be joined is refused."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import softprompt as sp
from softprompt.app.config import RunConfig
from softprompt.app.recipes.prepare import prepare
from softprompt.app.recipes.routes import keep_route
from softprompt.app.recipes.saved import make_prompt
from softprompt.core.errors import ConfigError, PromptError
from softprompt.core.tensors import Head, PromptTensors, SlotTensors
from softprompt.lab.evaluation import Evaluation
from softprompt.model.prompts.manifest import Route
from softprompt.testing import tiny

ROWS = [{"id": str(n), "text": f"{word} {n}", "label": word} for n in range(15) for word in ("good", "bad")]
AFTER, BEFORE = "{text}<soft 3> It was {answer}", "<soft 2>{text}: {answer}"

Make = Callable[..., sp.Prompt]


@pytest.fixture(scope="module")
def make(model: sp.Backbone) -> Make:
    """A prompt with random vectors, of a seed."""

    def made(seed: int = 0, *, template: str = AFTER, rows: Sequence[dict[str, Any]] = ROWS, **task: Any) -> sp.Prompt:
        settings = {"name": f"p{seed}", "data": {"train": "rows"}, "template": template, "task": task}
        ready = prepare(RunConfig.parse(settings), sources={"train": rows}, backbone=model)
        rng = torch.Generator().manual_seed(seed)
        length, width = ready.template.slots["soft"].length, model.spec.embed_dim
        count, head = len(ready.task.names), None
        if ready.builder.answers == "vectors":
            head = Head(torch.randn(count, width, generator=rng), torch.zeros(count))
        slots = {"soft": SlotTensors(embed=torch.randn(length, width, generator=rng))}
        return make_prompt(ready, PromptTensors(slots, head))

    return made


def probabilities(prompt: sp.Prompt, model: sp.Backbone) -> list[list[float]]:
    answers = sp.predict(prompt, [row["text"] for row in ROWS], model=model)
    return [list((one.answers[prompt.name].probabilities or {}).values()) for one in answers]


pytestmark = pytest.mark.usefixtures("few_resamples")


@pytest.mark.parametrize("by", ["mean", "majority", "weights", "greedy"])
def test_what_is_saved_answers_as_its_members_together(by: str, make: Make, model: sp.Backbone, tmp_path: Path) -> None:
    members = [make(0), make(1, template=BEFORE), make(2)]
    report = sp.ensemble(members, ROWS, by=by, out=tmp_path / "all.zip", model=model)
    again = sp.load(tmp_path / "all.zip")
    kept = [k for k, weight in enumerate(report.pooling.weights) if weight]
    shares = np.array([probabilities(members[k], model) for k in kept])
    pooling = report.pooling.model_copy(update={"weights": tuple(report.pooling.weights[k] for k in kept)})
    wanted = [pooling.pool(list(shares[:, i])) for i in range(len(ROWS))]
    assert np.array(probabilities(again, model)) == pytest.approx(np.array(wanted), abs=1e-5)
    assert again.content_hash == report.prompt.content_hash
    assert again.manifest.parents == tuple(members[k].content_hash for k in kept)
    assert "ensemble" in again.manifest.requires


def test_it_is_judged_and_explained_like_any_prompt(make: Make, model: sp.Backbone) -> None:
    joined = sp.ensemble([make(0), make(1)], ROWS, model=model).prompt
    (found,) = sp.evaluate(joined, ROWS, model=model)
    assert isinstance(found, Evaluation)
    both = sp.evaluate([make(3), joined], ROWS, model=model)
    assert both[1].items == found.items
    (why,) = sp.predict(joined, ["good one"], model=model, explain="gradient")
    explanation = why.explanations[joined.name]
    assert explanation.method == "occlusion"  # there is no one gradient of several prompts
    assert [word.text for word in explanation.words] == ["good", "one"]


def test_prompts_with_other_candidates_a_row_and_sets_of_labels_are_joined(make: Make, model: sp.Backbone) -> None:
    chosen = [{"text": f"t{n}", "options": ["red", "blue", "green"][: 2 + n % 2], "label": "red"} for n in range(12)]
    joined = sp.ensemble(
        [make(k, rows=chosen, kind="choose", candidates="options") for k in (0, 1)], chosen, by="weights", model=model
    )
    assert {
        len(one.probabilities or {})
        for one in [a.answers["ensemble"] for a in sp.predict(joined.prompt, chosen, model=model)]
    } == {2, 3}
    tagged = [{"text": f"t{n}", "labels": [["late"], ["late", "angry"], []][n % 3]} for n in range(15)]
    tags = {"kind": "multilabel", "target": "labels", "labels": ["late", "angry"]}
    report = sp.ensemble([make(k, rows=tagged, **tags) for k in (0, 1)], tagged, by="greedy", model=model)
    assert report.pooling.temperature == 1
    assert len(report.prompt.manifest.task["thresholds"]) == 2


def test_thresholds_are_kept_beside_the_members(make: Make, model: sp.Backbone, tmp_path: Path) -> None:
    path = sp.ensemble([make(0), make(1)], ROWS, out=tmp_path / "all", model=model).path
    assert path is not None
    keep_route(path, Route(precision=0.9, min_confidence=0.7))
    again = sp.load(path)
    assert len(again.members) == 2
    assert again.manifest.routes


def refused(code: str, says: str, prompts: Sequence[sp.Prompt], model: sp.Backbone, **changes: Any) -> None:
    with pytest.raises((PromptError, ConfigError)) as caught:
        sp.ensemble(prompts, ROWS, model=model, **changes)
    assert caught.value.code == code
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_joined_is_refused_with_the_difference(make: Make, model: sp.Backbone, tmp_path: Path) -> None:
    one = make(0)
    other = [{**row, "label": f"so {row['label']}"} for row in ROWS]
    refused("prompt.other_members", "labels bad, good -> so bad, so good", [one, make(1, rows=other)], model)
    refused(
        "prompt.other_members",
        "kind classify -> score",
        [one, make(1, rows=[{**row, "label": n % 3} for n, row in enumerate(ROWS)], kind="score")],
        model,
    )
    fields = [{**row, "title": "a"} for row in ROWS]
    two = make(1, rows=fields, template="{title} {text}<soft 2>: {answer}")
    refused("prompt.other_members", "reads title, text, 'p0' reads text", [one, two], model)
    refused("config.invalid", "two prompts or more", [one], model)
    refused("prompt.other_members", "'p0' is named twice", [one, make(1), one], model)
    refused("config.unknown_name", "did you mean 'mean'", [one, make(1)], model, by="meen")
    joined = sp.ensemble([one, make(1)], ROWS, model=model, out=tmp_path / "all").prompt
    refused("prompt.other_members", "is an ensemble already", [joined, one], model)
    refused("prompt.exists", "exists", [one, make(1)], model, out=tmp_path / "all")


def test_prompts_of_another_model_are_refused(make: Make) -> None:
    refused("prompt.other_model", "fingerprint", [make(0), make(1)], tiny("llama", seed=5))
