"""Whether what somebody hands over is a live transformers model and its tokenizer, and what else it most likely is.

A model is known by what it can do, not by its class: adapters and compiled models are wrapped in classes of their own.
"""

from pathlib import Path
from typing import Any

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from softprompt.core.errors import ModelError
from softprompt.model.backbones.base import Backbone

__all__ = ["require_live", "require_name"]


def require_live(model: Any, tokenizer: Any) -> None:
    """Refuse what is no model, or no tokenizer.

    Raises:
        ModelError: ``model.unsupported``, ``model.no_tokenizer``.

    >>> require_live("gpt2", None)
    Traceback (most recent call last):
    softprompt.core.errors.ModelError: sp.wrap takes a live transformers model, and 'gpt2' is a name ...
    """
    if not _is_model(model):
        what, cure = _instead(model, tokenizer)
        raise ModelError("model.unsupported", f"sp.wrap takes a live transformers model, and {what}", cure=cure)
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        what, cure = _instead_of_tokenizer(tokenizer)
        raise ModelError("model.no_tokenizer", f"sp.wrap takes a tokenizer of transformers, and {what}", cure=cure)


def require_name(name: Any) -> None:
    """Refuse what is no name of a model.

    Raises:
        ModelError: ``model.not_found``.

    >>> require_name(None)
    Traceback (most recent call last):
    softprompt.core.errors.ModelError: a model has a name, and nothing came [model.not_found]; ...
    """
    if isinstance(name, str | Path):
        return
    cure = "give embedded, a folder, or a hub id"
    if _is_model(name):
        cure = "a live model is wrapped: sp.wrap(model, tokenizer)"
    came = "nothing came" if name is None else f"it got {type(name).__name__}"
    raise ModelError("model.not_found", f"a model has a name, and {came}", cure=cure)


def _is_model(thing: Any) -> bool:
    config = getattr(thing, "config", None)
    return isinstance(config, PretrainedConfig) and callable(getattr(thing, "get_input_embeddings", None))


def _instead(model: Any, tokenizer: Any) -> tuple[str, str]:
    """What came, and what to do."""
    if isinstance(model, str | Path):
        return f"{str(model)!r} is a name or a path", f"sp.load_model({str(model)!r}) loads the model and its tokenizer"
    if isinstance(model, Backbone):
        return "this one is wrapped already", "use it as it is: sp.tune(..., model=model)"
    if isinstance(model, PreTrainedTokenizerBase) and _is_model(tokenizer):
        return "a tokenizer came first", "swap the two: sp.wrap(model, tokenizer)"
    if _is_model(inner := getattr(model, "model", None)):
        return f"a {type(model).__name__} holds one", f"hand over its parts: sp.wrap({type(inner).__name__}, tokenizer)"
    cure = "load one, e.g. AutoModelForCausalLM.from_pretrained(...), or use sp.load_model(NAME)"
    return ("nothing came" if model is None else f"it got {type(model).__name__}"), cure


def _instead_of_tokenizer(tokenizer: Any) -> tuple[str, str]:
    if isinstance(inner := getattr(tokenizer, "tokenizer", None), PreTrainedTokenizerBase):
        return f"a {type(tokenizer).__name__} holds one", f"hand it over: sp.wrap(model, {type(inner).__name__})"
    if isinstance(tokenizer, str | Path):
        return f"{str(tokenizer)!r} is a name or a path", f"AutoTokenizer.from_pretrained({str(tokenizer)!r})"
    came = "nothing came" if tokenizer is None else f"it got {type(tokenizer).__name__}"
    return came, "load the model's own: AutoTokenizer.from_pretrained(NAME)"
