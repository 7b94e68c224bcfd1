"""The table of formats: name -> how it is written and read. The one place that knows them all."""

from collections.abc import Mapping
from pathlib import Path

from softprompt.core.errors import ConfigError, PromptError, nearest
from softprompt.model.prompts.prompt import Prompt
from softprompt.model.prompts.storage import MANIFEST, MAX_BYTES
from softprompt.ops.formats.arrays import NPY, RAW
from softprompt.ops.formats.format import Foreign, Format, GetBackbone, Written
from softprompt.ops.formats.peft import PEFT
from softprompt.ops.formats.vllm import VLLM

__all__ = ["FORMATS", "export", "read"]

FORMATS: Mapping[str, Format] = {"peft": PEFT, "npy": NPY, "raw": RAW, "vllm": VLLM}

#: How files end that are pickled as a rule.
_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".pickle")


def export(prompt: Prompt, format: str, *, backbone: GetBackbone, kind: str | None = None) -> Written:
    """The files of a prompt in a format.

    Args:
        prompt: A saved prompt.
        format: A name of :data:`FORMATS`.
        backbone: Loads the prompt's model, where the format needs it.
        kind: One of the format's kinds; None leaves the choice to it.

    Raises:
        ConfigError: ``config.unknown_name``.
        PromptError: ``prompt.unsupported_export``, with the reason.
    """
    if format not in FORMATS:
        raise ConfigError("config.unknown_name", f"unknown format {format!r}; {nearest(format, FORMATS)}")
    kinds = FORMATS[format].kinds
    if kind is not None and kind not in kinds:
        known = nearest(kind, kinds) if kinds else "it has none"
        raise ConfigError("config.unknown_name", f"unknown kind {kind!r} of {format}; {known}")
    return FORMATS[format].export(prompt, backbone, kind)


def read(path: Path, *, max_bytes: int = MAX_BYTES) -> Foreign:
    """What stands at a path, in whatever format it is; nothing in it is executed.

    Raises:
        PromptError: ``prompt.not_found``, ``prompt.pickled``, ``prompt.unknown_format``, ``prompt.unsupported_import``,
            and whatever is wrong with the files.
    """
    try:
        return _read(path, max_bytes)
    except PromptError as error:
        raise error.at(str(path)) from None


def _read(path: Path, max_bytes: int) -> Foreign:
    if not path.exists():
        raise PromptError("prompt.not_found", "there is nothing of that name", cure="check the path")
    if path.is_file() and path.suffix.lower() in _PICKLED:
        message = "files of this kind are pickled and can run code: they are not read"
        raise PromptError("prompt.pickled", message, cure="save the vectors as .npy, or the adapter as safetensors")
    for name, format in FORMATS.items():
        if format.recognises(path):
            if format.read is None:
                message = f"this was exported for {name}, rounded to the model's precision"
                raise PromptError("prompt.unsupported_import", message, cure="use the saved prompt that it came from")
            return format.read(path, max_bytes)
    known = "an adapter's folder of PEFT, a folder that softprompt exported to npy or raw, a .npy file"
    raise PromptError("prompt.unknown_format", f"{_guess(path)}; imported are: {known}", cure="check the path")


def _guess(path: Path) -> str:
    """What it seems to be."""
    if path.suffix == ".zip" or (path / MANIFEST).exists():
        return "this is a saved prompt already, to be used as it is"
    if (path / "config.json").exists():
        return "this is a model, not a prompt"
    if path.is_file():
        return "a file of this kind is not known"
    held = ", ".join(sorted(one.name for one in path.iterdir())[:5])
    return f"the folder holds {held or 'nothing'}"
