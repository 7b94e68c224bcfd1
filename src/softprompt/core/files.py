"""Files that are whole or absent, also after a power cut: temporary file, fsync, rename, fsync of the folder."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from softprompt.core.errors import ResourceError

__all__ = ["sync_folder", "tidy", "write_new", "write_whole"]

#: What a system says that cannot open or flush a folder; the rename is then as durable as it can be.
_CANNOT = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EISDIR)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, or leave what was there as it was.

    Raises:
        ResourceError: ``resource.disk_full``, ``resource.write_failed``; the file that was there stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _told(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.unlink(missing_ok=True)
            write_new(temporary, data)
            temporary.replace(path)
            sync_folder(path.parent)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def tidy(path: Path) -> None:
    """Remove what a killed process left half-written beside ``path``."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        left.unlink(missing_ok=True)


def write_new(path: Path, data: bytes) -> None:
    """Write a file that was not there, and flush it to the disk.

    Raises:
        OSError: ``path`` exists, or the system could not write it.
    """
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, which makes a rename in it durable; nothing where the system cannot do that.

    Raises:
        OSError: The disk failed.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno in _CANNOT:
            return
        raise
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    finally:
        os.close(handle)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Errors of the system as ours."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        code, what = ("resource.disk_full", "the disk is full") if full else ("resource.write_failed", str(error))
        cure = "free some space" if full else "write elsewhere, or mend the folder"
        raise ResourceError(
            code, f"{path} could not be written: {what}", cure=f"{cure}; what was there before is untouched"
        ) from error
