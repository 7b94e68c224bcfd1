"""Files of cached states: private, reserved in full before they are filled, and trusted only when they are whole.

Cached states are customer text in another form. A file that serves one run loses its name as soon as it is mapped, so
nothing is left of it however the run ends. A file that is kept gets its name when it is filled, and a note beside it
with its size and checksum; without that note, or when either differs, it is not used.

Knows bytes; no models and no texts.
"""

import hashlib
import json
import os
import stat
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from softprompt.core.files import move, remove, write_private

__all__ = ["keep", "reserve", "scratch", "trusted"]

_BLOCK = 1 << 24


def scratch(folder: Path, numel: int, dtype: torch.dtype) -> tuple[Tensor, Path | None]:
    """A tensor over a file without a name.

    Returns:
        The tensor, and the path that is still to be removed where the system does not let go of a mapped file's name.

    Raises:
        OSError: No room, or the file cannot be made.
    """
    path = folder / f".{os.urandom(8).hex()}.{os.getpid()}.scratch"
    tensor = reserve(path, numel, dtype)
    try:
        path.unlink()
    except OSError:
        return tensor, path
    return tensor, None


def reserve(path: Path, numel: int, dtype: torch.dtype) -> Tensor:
    """A tensor over a new file that only its owner can read; all its room is taken at once, so a full disk is an error
    here and not a crash later. (macOS and Windows take the room as it is filled.)

    Raises:
        OSError: No room, or the file cannot be made.
    """
    size = numel * dtype.itemsize
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(handle, 0, size)
            else:
                os.ftruncate(handle, size)
        finally:
            os.close(handle)
    except OSError:
        remove(path)
        raise
    return torch.from_file(str(path), shared=True, size=numel, dtype=dtype)


def keep(temporary: Path, path: Path, tensor: Tensor) -> None:
    """Give a filled file its name, then write the note that makes it trusted.

    Raises:
        OSError: The folder is gone or full, or the system renames no file that is mapped.
    """
    note = json.dumps({"bytes": tensor.nbytes, "checksum": _checksum(tensor)})
    move(temporary, path)
    unfinished = temporary.with_suffix(".note")
    try:
        write_private(unfinished, note)
        move(unfinished, path.with_suffix(".json"))
    finally:
        unfinished.unlink(missing_ok=True)


def trusted(path: Path, numel: int, dtype: torch.dtype) -> Tensor | None:
    """The states of a kept file, read-only in effect; None where it is absent, not whole, or not the user's own.

    >>> trusted(Path("absent.states"), 3, torch.float32) is None
    True
    """
    size = numel * dtype.itemsize
    with suppress(OSError, ValueError, KeyError, TypeError):
        note = json.loads(path.with_suffix(".json").read_text("utf-8"))
        found = path.lstat()
        private = not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o077)
        if not (stat.S_ISREG(found.st_mode) and private and found.st_size == size == note["bytes"]):
            return None
        tensor = torch.from_file(str(path), shared=False, size=numel, dtype=dtype)
        if _checksum(tensor) == note["checksum"]:
            return tensor
    return None


def _checksum(tensor: Tensor) -> str:
    """Of the bytes, block by block: about a second a gigabyte."""
    found = hashlib.blake2b(digest_size=16)
    view = memoryview(tensor.view(torch.uint8).numpy())  # type: ignore[arg-type] # numpy arrays are buffers
    for start in range(0, len(view), _BLOCK):
        found.update(view[start : start + _BLOCK])
    return found.hexdigest()
