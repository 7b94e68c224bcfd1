"""Files of cached text states: what lies there, and how it goes.

They are customer text. A run removes its own at the end unless the settings keep them; what is left of killed runs, or
was kept on purpose, is listed and removed here. Files of a run that is under way are never touched; kept files that a
running process has mapped lose their name on Linux and macOS, and stay on Windows.
"""

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from softprompt.core.errors import ResourceError
from softprompt.core.files import remove
from softprompt.core.machine import is_running
from softprompt.model.states import default_folder

__all__ = ["CacheFile", "cache_clear", "cache_list"]

_OF_PROCESS = re.compile(r"\.[0-9a-f-]+\.(\d+)\.(?:part|scratch|note)")


@dataclass(frozen=True)
class CacheFile:
    """One file of states.

    Attributes:
        path: Where it lies.
        num_bytes: Its size.
        changed: When it was written, UTC.
        kept: Whether a run left it on purpose, for the next run over the same texts.
        in_use: Whether the process that made it is running.
    """

    path: Path
    num_bytes: int
    changed: datetime
    kept: bool
    in_use: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "path": str(self.path), "changed": self.changed.isoformat(timespec="seconds")}


def cache_list(folder: Path | None = None) -> list[CacheFile]:
    """The files of states, the largest first; none where the folder does not exist.

    Args:
        folder: None: where runs put them.
    """
    folder = folder or default_folder()
    paths = [path for path in folder.glob("*") if path.suffix == ".states" or _OF_PROCESS.fullmatch(path.name)]
    found = [file for path in paths if (file := _look(path)) is not None]
    return sorted(found, key=lambda file: (-file.num_bytes, file.path.name))


def cache_clear(folder: Path | None = None) -> list[CacheFile]:
    """Remove every file of states that no running process uses; returns what was removed.

    A kept file that a process has open stays where the system keeps open files; it is not among what was removed.

    Raises:
        ResourceError: ``resource.write_failed`` for a file that cannot be removed.
    """
    removed = []
    for file in cache_list(folder):
        if file.in_use:
            continue
        try:
            if not (remove(file.path) and remove(file.path.with_suffix(".json"))):
                continue
        except OSError as error:
            message = f"{file.path} cannot be removed: {error.strerror}"
            raise ResourceError("resource.write_failed", message, cure="remove it as its owner") from None
        removed.append(file)
    return removed


def _look(path: Path) -> CacheFile | None:
    try:
        found = path.stat()
    except FileNotFoundError:  # its run has just ended
        return None
    of_process = _OF_PROCESS.fullmatch(path.name)
    return CacheFile(
        path=path,
        num_bytes=found.st_size,
        changed=datetime.fromtimestamp(found.st_mtime, UTC),
        kept=of_process is None and path.with_suffix(".json").is_file(),
        in_use=of_process is not None and is_running(int(of_process[1])),
    )
