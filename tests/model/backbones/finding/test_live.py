"""What is handed over in a model's place is named, with what to do."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import softprompt as sp
from softprompt.core.errors import ModelError
from softprompt.model.backbones import loading
from softprompt.model.backbones.finding.live import require_live, require_name
from softprompt.model.backbones.weights.copies import module_of
from softprompt.testing import tiny, tiny_tokenizer


@pytest.fixture(scope="module")
def parts() -> tuple[Any, Any]:
    """A live model and its tokenizer."""
    return module_of(tiny()), tiny_tokenizer()


def refused(model: Any, tokenizer: Any) -> ModelError:
    """Asked directly: the tests execute types, and what is wrong here has the wrong one."""
    with pytest.raises(ModelError) as caught:
        require_live(model, tokenizer)
    assert caught.value.cure
    return caught.value


def test_what_is_no_model(parts: tuple[Any, Any]) -> None:
    model, tokenizer = parts
    for given, said in [
        ("gpt2", "'gpt2' is a name or a path [model.unsupported]; sp.load_model('gpt2') loads"),
        (Path("models") / "mine", "is a name or a path"),
        (None, "nothing came"),
        (object(), "it got object"),
        (SimpleNamespace(config={"model_type": "llama"}), "it got SimpleNamespace"),
        (SimpleNamespace(model=model, tokenizer=tokenizer), "a SimpleNamespace holds one"),
        (tiny(), "this one is wrapped already"),
    ]:
        assert said in str(refused(given, tokenizer))
    assert "swap the two" in str(refused(tokenizer, model))


def test_what_is_no_tokenizer(parts: tuple[Any, Any]) -> None:
    model, tokenizer = parts
    for given, said in [
        (None, "nothing came [model.no_tokenizer]; load the model's own"),
        ("gpt2", "AutoTokenizer.from_pretrained('gpt2')"),
        (model, f"it got {type(model).__name__}"),
        (SimpleNamespace(tokenizer=tokenizer), "a SimpleNamespace holds one"),
    ]:
        assert said in str(refused(model, given))


def test_what_is_no_name(parts: tuple[Any, Any]) -> None:
    for given, said in [(None, "give embedded, a folder, or a hub id"), (parts[0], "sp.wrap(model, tokenizer)")]:
        with pytest.raises(ModelError, match="a model has a name") as caught:
            require_name(given)
        assert said in str(caught.value)
    for name in ("embedded", Path("mine")):
        require_name(name)


def test_wrap_asks_first(parts: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, Any]] = []
    monkeypatch.setattr(loading, "require_live", lambda *given: asked.append(given))
    sp.wrap(*parts)
    assert asked == [parts]
