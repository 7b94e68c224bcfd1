"""How often test rows were looked at: every run and every ``evaluate`` that scores them leaves a line.

A test score is honest once. Whoever changes a setting after it and looks again chooses by it, and from look to look the
best score says less. So looks are counted, in ``test-looks.jsonl`` of the run folder, and added up over the runs that
stand beside each other; rows are known by their content, whatever the file is called. A run folder that is removed
takes its looks with it.

Knows files and rows; no models.
"""

import hashlib
import json
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from softprompt.core.records import Example

__all__ = ["LOOKS", "looks_at", "note_look", "sealed_hash", "warning"]

#: File in a run folder: a line a look.
LOOKS = "test-looks.jsonl"


def sealed_hash(rows: Sequence[Example], *, fields: Collection[str]) -> str:
    """Content of test rows, whatever their order (64 hex digits): the texts that a template reads, and the answers.

    >>> rows = [Example({"text": "a", "channel": "mail"}, "x"), Example({"text": "b", "channel": "web"}, "y")]
    >>> sealed_hash(rows, fields=["text"]) == sealed_hash(rows[::-1], fields=["text"]) != sealed_hash(rows, fields=[])
    True
    """
    lines = sorted(
        json.dumps([[row.fields.get(name, "") for name in sorted(fields)], row.target, row.candidates], default=str)
        for row in rows
    )
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def looks_at(folder: Path, content: str) -> list[dict[str, Any]]:
    """All looks at these rows, by the run in ``folder`` and those beside it, the first one first."""
    found = [look for path in folder.parent.glob(f"*/{LOOKS}") for look in _lines(path) if look["rows"] == content]
    return sorted(found, key=lambda look: look["time"])


def note_look(folder: Path, content: str, *, by: str) -> int:
    """Leave a line in the run folder; returns how often the rows have been looked at now.

    Args:
        folder: Of the run.
        content: :func:`sealed_hash` of the rows.
        by: ``tune`` or ``evaluate``.
    """
    line = {"time": round(time.time(), 3), "rows": content, "by": by, "run": folder.name}
    with (folder / LOOKS).open("a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return len(looks_at(folder, content))


def warning(count: int) -> str:
    """What a number of looks means; empty for the first.

    >>> warning(1), warning(3)[:23]
    ('', 'test rows seen 3 times:')
    """
    if count < 2:
        return ""
    return (
        f"test rows seen {count} times: if anything was changed after a look, the score was chosen by it and flatters; "
        "for a decision take rows that nobody has looked at"
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    """The looks of one run; a line that a killed process left half-written is no look."""
    found = []
    with suppress(OSError):
        for line in path.read_text("utf-8").splitlines():
            with suppress(ValueError):
                look = json.loads(line)
                if isinstance(look, dict) and {"time", "rows"} <= set(look):
                    found.append(look)
    return found
