"""Whether a finished comparison still stands: all that its table depends on, by content, had without loading a model.

Where settings, rows, model, packages and machine are those of the last time, the table would be put together again to
the byte, the date excepted; so it is read back. What cannot be compared by content leaves no mark: rows in memory,
standard input, data sets and models of a hub, a model that is loaded already. Neither does a comparison in which a
contender failed at its turn: it is tried again.

A model of gigabytes is not read again while its files have the size and the times of the last reading (2 GB a second
are hashed here); as in git's index, times say nothing of a file that was changed just before it was read.

Knows files and settings; no contenders.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.app.config import RunConfig
from softprompt.app.recipes.folder import installed, machine
from softprompt.app.recipes.rows import given
from softprompt.app.recipes.sealed import looks_at
from softprompt.core.files import write_whole
from softprompt.data.sources import Source
from softprompt.lab.comparison.table import CODE, SCHEMA, ComparisonTable
from softprompt.model.backbones.finding.places import model_folder
from softprompt.model.backbones.weights.devices import pick_device

__all__ = ["MARK", "TABLE", "Depends", "depends", "mark", "standing"]

#: The comparison as plain data, and by what it is known to stand, in its folder.
TABLE, MARK = "table.json", "stands.json"

#: Packages that decide who takes part, besides those that every run names.
_CONTENDERS = ("peft",)


#: Bytes from which on a file's hash is remembered by its times, and nanoseconds that these have to be old then: some
#: file systems count whole seconds, and two.
LARGE, OLD = 1 << 26, 3_000_000_000


@dataclass(frozen=True)
class Depends:
    """What a table depends on.

    Attributes:
        facts: All of it, by content.
        files: Large files: path -> what the system says of it, and its hash.
    """

    facts: Mapping[str, Any]
    files: Mapping[str, Any]


def depends(
    config: RunConfig, sources: Mapping[str, Source] | None = None, *, folder: Path | None = None
) -> Depends | None:
    """What a comparison's table depends on; None where a part of it cannot be compared by content.

    Args:
        config: Of the run.
        sources: Rows by split, instead of the files that the settings name.
        folder: Of an earlier comparison, which may remember large files.

    Raises:
        ModelError: ``model.no_device``.
    """
    places: dict[str, Source] = {**given(config, sources), "model": model_folder(config.model.name)}
    if config.start_from is not None:
        places["start"] = config.start_from
    contents: dict[str, Any] = {}
    files = _Files(_remembered(folder))
    for name, place in places.items():
        if not isinstance(place, str | Path) or (found := files.content(Path(place).expanduser())) is None:
            return None
        contents[name] = found
    facts = {
        "code": [CODE, SCHEMA],
        "settings": _hash(config.model_dump(mode="json", exclude={"output", "track"})),
        "contents": contents,
        "machine": machine(pick_device(config.model.device)),
        "contenders": {name: installed(name) for name in _CONTENDERS},
    }
    return Depends(facts, files.told)


def mark(folder: Path, depended: Depends, table: ComparisonTable, *, content: str, looks: int) -> None:
    """Remember by what a table stands.

    Args:
        folder: Of the comparison.
        depended: :func:`depends` from before anything was read.
        table: As it was written.
        content: Of the test rows, as looks are counted by.
        looks: How often they were looked at when the table was made.
    """
    stands = {"depends": depended.facts, "holds": _holds(folder, table.to_dict()), "looks": [content, looks]}
    stands |= {"files": depended.files}
    write_whole(folder / MARK, json.dumps(stands, indent=1).encode())


def standing(folder: Path, depended: Depends) -> ComparisonTable | None:
    """The table of a comparison that would come out the same; None where anything differs, or cannot be read."""
    try:
        stands = json.loads((folder / MARK).read_text("utf-8"))
        document = json.loads((folder / TABLE).read_text("utf-8"))
        content, looks = stands["looks"]
        if stands["depends"] != depended.facts or stands["holds"] != _holds(folder, document):
            return None
        return ComparisonTable.from_dict(document) if len(looks_at(folder, content)) == looks else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _remembered(folder: Path | None) -> Mapping[str, Any]:
    """What the mark in a folder says of large files; nothing where there is none that can be read."""
    try:
        found = json.loads((folder / MARK).read_text("utf-8"))["files"] if folder is not None else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _holds(folder: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    """What lies in the folder and has to lie there still: the table without its date, the settings, all lines."""
    files = _Files({})
    lines = {path.name: files.content(path) for path in sorted((folder / "lines").glob("*.json"))}
    return {"table": _hash({**table, "created": ""}), "settings": files.content(folder / "config.yaml"), "lines": lines}


class _Files:
    """Content hashes of files and folders.

    Args:
        known: Large files that were read before.

    Attributes:
        told: Large files that need not be read the next time.
    """

    def __init__(self, known: Mapping[str, Any]) -> None:
        self.known, self.told = known, dict[str, Any]()

    def content(self, place: Path) -> str | None:
        """Of a file, or of a folder with the names of its files; None where neither is there."""
        if place.is_file():
            return self._file(place)
        if not place.is_dir():
            return None
        files = sorted(path for path in place.rglob("*") if path.is_file())
        return _hash([[path.relative_to(place).as_posix(), self._file(path)] for path in files])

    def _file(self, path: Path) -> str:
        name, begun = str(path.absolute()), time.time_ns()
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            stamp = [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
            match self.known.get(name):
                case [before, str(content)] if before == stamp:
                    pass
                case _:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
        if found.st_size >= LARGE and begun - max(found.st_mtime_ns, found.st_ctime_ns) > OLD:
            self.told[name] = [stamp, content]
        return content


def _hash(plain: Any) -> str:
    text = json.dumps(plain, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
