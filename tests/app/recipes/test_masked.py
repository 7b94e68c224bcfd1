"""Encoders in recipes: what is checked before a run, with and without a mask head."""

from pathlib import Path

import pytest

from softprompt.app.config import RunConfig
from softprompt.app.recipes.check import check
from softprompt.app.recipes.prepare import prepare
from softprompt.core.errors import ModelError
from softprompt.testing import tiny
from tests.app.cli.conftest import write_rows


def config(folder: Path, **more: object) -> RunConfig:
    rows = write_rows(folder / "rows.jsonl")
    data = {"train": str(rows), "columns": {"text": "text"}}
    return RunConfig.parse({"data": data, "task": {"target": "label"}, "model": {"name": "tiny"}, **more})


@pytest.mark.parametrize("family", ["bert", "minilm"])
def test_a_run_can_be_checked(family: str, tmp_path: Path) -> None:
    page = check(config(tmp_path), backbone=tiny(family))
    assert "fills in masks" in page.match
    assert page.plan.answers == "vectors"
    assert page.plan.cost.frozen_tokens > 0


def test_words_are_named_pseudo_log_likelihood_and_refused_without_a_mask_head(tmp_path: Path) -> None:
    words = {"answers": {"form": "words"}}
    assert any(
        "pseudo-log-likelihood" in note for note in prepare(config(tmp_path, **words), backbone=tiny("bert")).notes
    )
    with pytest.raises(ModelError, match="tiny-minilm has no trained head"):
        prepare(config(tmp_path, **words), backbone=tiny("minilm"))


def test_written_answers_are_refused(tmp_path: Path) -> None:
    written = {"task": {"kind": "generate", "target": "label"}}
    with pytest.raises(ModelError, match="cannot write text"):
        prepare(config(tmp_path, **written), backbone=tiny("bert"))
