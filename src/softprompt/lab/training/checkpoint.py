"""Checkpoints that survive a power cut.

One file holds everything, so a checkpoint is there or not: tensors as safetensors, the rest as JSON in its header.
Nothing is pickled. A full disk leaves the checkpoint before untouched.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from softprompt.core.errors import TrainingError
from softprompt.core.files import write_whole

__all__ = ["check_pins", "digest", "read", "write"]


def write(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Replace the checkpoint at ``path``, or leave it as it was.

    Raises:
        ResourceError: ``resource.disk_full``, ``resource.write_failed``.
    """
    content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(meta, allow_nan=True)
    write_whole(path, save(content, metadata={"meta": text, "checksum": _checksum(text, content)}))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and the rest.

    Raises:
        TrainingError: ``training.bad_checkpoint``.
    """
    try:
        with safe_open(path, framework="pt") as file:
            found = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        if found["checksum"] != _checksum(found["meta"], tensors):
            raise ValueError("its checksum is wrong")
        return tensors, json.loads(found["meta"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise TrainingError(
            "training.bad_checkpoint", f"{path} is no readable checkpoint: {error}", cure="start the run anew"
        ) from None


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> str:
    found = hashlib.blake2b(text.encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        found.update(name.encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def digest(parts: Iterable[str]) -> str:
    """Hash of texts in order (32 hex digits)."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part.encode("utf-8", "surrogatepass"))
        found.update(b"\0")
    return found.hexdigest()[:32]


def check_pins(pins: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Refuse to go on where the bits would differ from an uninterrupted run.

    Raises:
        TrainingError: ``training.resume_mismatch``, with every difference named.
    """
    changed = [
        f"{name} was {found.get(name)!r}, is {pins.get(name)!r}"
        for name in sorted({*pins, *found})
        if pins.get(name) != found.get(name)
    ]
    if changed:
        raise TrainingError(
            "training.resume_mismatch",
            "the checkpoint belongs to another run: " + "; ".join(changed),
            cure="restore these, or start anew in another folder",
        )
