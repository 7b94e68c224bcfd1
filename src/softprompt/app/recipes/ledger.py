"""The ledger: a line for everything that was ever run beside each other, in ``ledger.jsonl`` above the run folders.

Reports are overwritten and folders removed; the ledger only grows. It says what was tried how often, which is what a
reader of the best score should know. A line is written whole or not at all by one append; a line that cannot be read
is no line. Knows files alone.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["LEDGER", "enter", "entries"]

#: Name of the file, beside the run folders.
LEDGER = "ledger.jsonl"


def enter(folder: Path, entry: Mapping[str, Any]) -> None:
    """Add a line to the ledger above a run folder; a disk that cannot take it ends nothing.

    Args:
        folder: Of the run.
        entry: Plain data: what was run, its score, what it took.
    """
    line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "run": folder.name, **entry}
    text = json.dumps(line, ensure_ascii=False, default=str) + "\n"
    with suppress(OSError):
        handle = os.open(folder.parent / LEDGER, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8"))


def entries(folder: Path) -> list[dict[str, Any]]:
    """All lines of a ledger, the first one first; none where there is no ledger.

    Args:
        folder: Where the run folders lie.
    """
    found = []
    with suppress(OSError):
        for text in (folder / LEDGER).read_text("utf-8").splitlines():
            with suppress(ValueError):
                line = json.loads(text)
                if isinstance(line, dict) and {"time", "run"} <= set(line):
                    found.append(line)
    return found
