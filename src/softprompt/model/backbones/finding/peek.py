"""What kind of model a folder holds, from its config alone: for settings that are written before any model is loaded.

Knows no weights; asks no hub.
"""

import json
from pathlib import Path

from softprompt.core.errors import ModelError
from softprompt.model.backbones.base import Kind
from softprompt.model.backbones.encoders import ENCODERS

__all__ = ["peek_kind", "require_there"]


def peek_kind(name: str) -> Kind | None:
    """The kind of a model by its name; None where nobody can say without loading it (a hub id, a folder that is none).

    Args:
        name: ``embedded``, a folder, or a hub id.

    >>> peek_kind("embedded"), peek_kind("someone/somewhere")
    ('causal', None)
    """
    if name == "embedded":
        return "causal"
    try:
        config = json.loads((Path(name).expanduser() / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(config, dict):
        return None
    if config.get("is_encoder_decoder"):
        return "seq2seq"
    return "masked" if config.get("model_type") in ENCODERS and not config.get("is_decoder") else "causal"


def require_there(name: str) -> None:
    """Refuse a path at which there is no model; whether a hub has one, nobody is asked.

    Raises:
        ModelError: ``model.not_found``, ``model.unreadable``.

    >>> require_there("someone/somewhere")
    >>> require_there("./nowhere")
    Traceback (most recent call last):
    softprompt.core.errors.ModelError: there is no folder './nowhere' [model.not_found]; check the path
    """
    folder = Path(name).expanduser()
    if name == "embedded" or (folder / "config.json").is_file():
        return
    if folder.is_dir():
        raise ModelError("model.unreadable", f"{name} has no config.json", cure="point at the folder of a model")
    if name.startswith((".", "/", "~")):
        raise ModelError("model.not_found", f"there is no folder {name!r}", cure="check the path")
