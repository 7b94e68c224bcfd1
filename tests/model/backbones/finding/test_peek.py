"""The kind of a model is seen in its config alone."""

from pathlib import Path

import pytest

from softprompt.model.backbones.finding.peek import peek_kind
from softprompt.testing import tiny


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5", "bart", "bert", "minilm", "deberta_v2"])
def test_it_is_what_loading_finds(family: str, tmp_path: Path) -> None:
    backbone = tiny(family)
    backbone.model.config.save_pretrained(tmp_path)
    assert peek_kind(str(tmp_path)) == backbone.spec.kind


@pytest.mark.parametrize("text", [None, "", "[]", "{", "\xff"])
def test_what_is_no_model_is_of_no_kind(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text, encoding="latin-1")
    assert peek_kind(str(tmp_path)) is None
