"""What is said of rows that cannot be used and are left out: the first few by place and reason, then how many."""

from collections.abc import Sequence

from softprompt.app.watch import Watcher
from softprompt.data.dataset import BadRow

__all__ = ["LeftOut", "said_of"]

SHOWN = 5  #: rows that are named


class LeftOut:
    """Rows that a stream leaves out, told as they come.

    Args:
        watcher: Told of them.
    """

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self.count = 0

    def __call__(self, row: BadRow) -> None:
        self.count += 1
        if self.count <= SHOWN:
            self._watcher.note(f"left out: {row.source}: {row.reason}")

    def all(self, count: int, reason: str) -> None:
        """So many rows on end are all bad."""
        self.count += count
        self._watcher.note(f"left out: {reason}")

    def close(self) -> None:
        """No more rows will come."""
        if self.count > SHOWN:
            self._watcher.note(f"{self.count} rows were left out")


def said_of(rows: Sequence[BadRow]) -> str:
    """Rows that were left out, in a sentence.

    >>> said_of([BadRow("a.csv:3", "data.missing_answer", "no label")])
    '1 row was left out: a.csv:3: no label'
    """
    shown = "; ".join(f"{row.source}: {row.reason}" for row in rows[:SHOWN])
    more = f"; and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return f"{len(rows)} row{' was' if len(rows) == 1 else 's were'} left out: {shown}{more}"
