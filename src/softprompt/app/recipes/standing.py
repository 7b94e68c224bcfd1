"""Whether a finished comparison still stands: all that its table depends on, by content, had without loading a model.

Where settings, rows, model, packages and machine are those of the last time, the table would be put together again to
the byte, the date excepted; so it is read back. What cannot be compared by content leaves no mark: rows in memory,
standard input, data sets and models of a hub, a model that is loaded already. Neither does a comparison in which a
contender failed at its turn: it is tried again.

Knows files and settings; no contenders.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softprompt.app.config import RunConfig
from softprompt.app.recipes.folder import installed, machine
from softprompt.app.recipes.rows import given
from softprompt.app.recipes.sealed import looks_at
from softprompt.core.files import write_whole
from softprompt.data.sources import Source
from softprompt.lab.comparison.table import CODE, SCHEMA, ComparisonTable
from softprompt.model.backbones.devices import pick_device
from softprompt.model.backbones.places import model_folder

__all__ = ["MARK", "TABLE", "depends", "mark", "standing"]

#: The comparison as plain data, and by what it is known to stand, in its folder.
TABLE, MARK = "table.json", "stands.json"

#: Packages that decide who takes part, besides those that every run names.
_CONTENDERS = ("peft",)


def depends(config: RunConfig, sources: Mapping[str, Source] | None = None) -> dict[str, Any] | None:
    """What a comparison's table depends on; None where a part of it cannot be compared by content.

    Args:
        config: Of the run.
        sources: Rows by split, instead of the files that the settings name.

    Raises:
        ModelError: ``model.no_device``.
    """
    places: dict[str, Source] = {**given(config, sources), "model": model_folder(config.model.name)}
    if config.start_from is not None:
        places["start"] = config.start_from
    contents: dict[str, Any] = {}
    for name, place in places.items():
        if not isinstance(place, str | Path) or (found := _content(Path(place).expanduser())) is None:
            return None
        contents[name] = found
    return {
        "code": [CODE, SCHEMA],
        "settings": _hash(config.model_dump(mode="json", exclude={"output", "track"})),
        "contents": contents,
        "machine": machine(pick_device(config.model.device)),
        "contenders": {name: installed(name) for name in _CONTENDERS},
    }


def mark(folder: Path, depended: Mapping[str, Any], table: ComparisonTable, *, content: str, looks: int) -> None:
    """Remember by what a table stands.

    Args:
        folder: Of the comparison.
        depended: :func:`depends` from before anything was read.
        table: As it was written.
        content: Of the test rows, as looks are counted by.
        looks: How often they were looked at when the table was made.
    """
    stands = {"depends": depended, "holds": _holds(folder, table.to_dict()), "looks": [content, looks]}
    write_whole(folder / MARK, json.dumps(stands, indent=1).encode())


def standing(folder: Path, depended: Mapping[str, Any]) -> ComparisonTable | None:
    """The table of a comparison that would come out the same; None where anything differs, or cannot be read."""
    try:
        stands = json.loads((folder / MARK).read_text("utf-8"))
        document = json.loads((folder / TABLE).read_text("utf-8"))
        content, looks = stands["looks"]
        if stands["depends"] != depended or stands["holds"] != _holds(folder, document):
            return None
        return ComparisonTable.from_dict(document) if len(looks_at(folder, content)) == looks else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _holds(folder: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    """What lies in the folder and has to lie there still: the table without its date, the settings, all lines."""
    lines = {path.name: _content(path) for path in sorted((folder / "lines").glob("*.json"))}
    return {"table": _hash({**table, "created": ""}), "settings": _content(folder / "config.yaml"), "lines": lines}


def _content(place: Path) -> str | None:
    """Content hash of a file, or of a folder with the names of its files; None where neither is there."""
    if place.is_file():
        with place.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if not place.is_dir():
        return None
    files = sorted(path for path in place.rglob("*") if path.is_file())
    return _hash([[path.relative_to(place).as_posix(), _content(path)] for path in files])


def _hash(plain: Any) -> str:
    text = json.dumps(plain, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
