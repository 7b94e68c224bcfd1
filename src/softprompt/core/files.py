"""Files that are whole or absent, also after a power cut: temporary file, fsync, rename, fsync of the folder.

What differs between systems in writing, moving, removing and naming files stands here and nowhere else. Windows cannot
flush a folder, neither replaces nor removes a file that a process has open or mapped, knows no modes, keeps some names
for devices and takes 259 characters of a path; Linux and macOS do none of that.
"""

import errno
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from softprompt.core.errors import ResourceError

__all__ = [
    "append_private",
    "beside",
    "move",
    "portable_name",
    "remove",
    "sync_folder",
    "tidy",
    "write_new",
    "write_private",
    "write_whole",
]

#: What a system says that cannot open or flush a folder; the rename is then as durable as it can be.
_CANNOT = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EISDIR)

#: What Windows says of a file that a process has open (access denied, sharing violation) or mapped.
_HELD = (5, 32, 1224)

#: Seconds to wait before another try: programs that look at every new file hold it for a moment.
_PATIENCE = (0.02, 0.05, 0.1, 0.2, 0.4)

#: What Windows says of a path that is too long for it, and from how many characters on it does.
_TOO_LONG, _LONGEST = (3, 206), 260

#: Characters of a name that a hidden one beside it keeps: with more it may not fit where the name itself does.
_STEM = 50

_DEVICES = re.compile(r"(con|prn|aux|nul|com[1-9]|lpt[1-9])(?=\.|$)", re.IGNORECASE)
_SIGNS = re.compile(r'[<>:"/\\|?*\x00-\x1f]+')


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, or leave what was there as it was.

    Raises:
        ResourceError: ``resource.disk_full``, ``resource.write_failed``; the file that was there stays.
    """
    temporary = beside(path, str(os.getpid()))
    with _told(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.unlink(missing_ok=True)
            write_new(temporary, data)
            move(temporary, path)
            sync_folder(path.parent)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def tidy(path: Path) -> None:
    """Remove what a killed process left half-written beside ``path``."""
    for left in path.parent.glob(f".{escape(path.name[:_STEM])}.*.tmp"):
        remove(left)


def write_new(path: Path, data: bytes) -> None:
    """Write a file that was not there, and flush it to the disk.

    Raises:
        OSError: ``path`` exists, or the system could not write it.
    """
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_private(path: Path, text: str) -> None:
    """Write a text for its owner alone (0600; on Windows the folder's own rules decide), in place of what was there.

    Raises:
        OSError: The system could not write it.
    """
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
        file.write(text)


def append_private(path: Path, text: str) -> None:
    """Add a text to the end of a file for its owner alone, which is made with its folder where there is none.

    Raises:
        OSError: The system could not write it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "a", encoding="utf-8", newline="") as file:
        file.write(text)


def move(source: Path, target: Path) -> None:
    """Give a file or folder another name, in place of the file that had it; patient while another program looks at it.

    Raises:
        OSError: The system could not, on Windows also because a process holds one of the two.
    """
    for seconds in _PATIENCE:
        try:
            source.replace(target)
            return
        except PermissionError as error:
            if not _is_held(error):
                raise
            time.sleep(seconds)
    source.replace(target)


def remove(path: Path) -> bool:
    """Remove a file, if it is there; False where a process holds it and the system therefore keeps it.

    Raises:
        OSError: It cannot be removed for another reason.
    """
    try:
        path.unlink(missing_ok=True)
    except PermissionError as error:
        if not _is_held(error):
            raise
        return False
    return True


def beside(path: Path, mark: str) -> Path:
    """A hidden name in the same folder, for what is not finished.

    >>> beside(Path("runs/report.json"), "17").name
    '.report.json.17.tmp'
    """
    return path.with_name(f".{path.name[:_STEM]}.{mark}.tmp")


def portable_name(name: str) -> str:
    """A name for a file that every system takes, as near to ``name`` as can be.

    >>> portable_name("topic"), portable_name("Q4: a/b?"), portable_name("aux.v2"), portable_name("..")
    ('topic', 'Q4- a-b-', 'aux_.v2', '_')
    """
    plain = _SIGNS.sub("-", name).encode("utf-8", "replace")[:200].decode("utf-8", "ignore").rstrip(". ")
    return _DEVICES.sub(r"\1_", plain, count=1) if _DEVICES.match(plain) else plain or "_"


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


def _is_held(error: PermissionError) -> bool:
    """Whether Windows keeps a file because it is open; elsewhere such errors have no ``winerror``."""
    return getattr(error, "winerror", None) in _HELD


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Errors of the system as ours."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        code, what = ("resource.disk_full", "the disk is full") if full else ("resource.write_failed", str(error))
        cure = "free some space" if full else "write elsewhere, or mend the folder"
        if getattr(error, "winerror", None) in _TOO_LONG and len(str(path.absolute())) >= _LONGEST:
            what = f"the path has {len(str(path.absolute()))} characters, Windows takes {_LONGEST - 1}"
            cure = "write to a shorter path, or switch long paths on in Windows"
        raise ResourceError(
            code, f"{path} could not be written: {what}", cure=f"{cure}; what was there before is untouched"
        ) from error
