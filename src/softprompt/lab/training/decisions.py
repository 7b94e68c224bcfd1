"""What a run decides by measurement, written down the first time, so that a resumed run decides the same.

Memory, budget and the probe's rates depend on the moment; the bits of a run depend on them.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from softprompt.core.errors import ResourceError, TrainingError
from softprompt.core.files import tidy, write_whole

__all__ = ["Decisions"]


class Decisions:
    """Named decisions as plain JSON data in one file.

    Args:
        path: Where they stand; None keeps them in memory only.

    Raises:
        TrainingError: ``training.bad_checkpoint`` for a file that is not ours.

    >>> decisions = Decisions(None)
    >>> decisions.decide("micro_tokens", lambda: 512), decisions.decide("micro_tokens", lambda: 9)
    (512, 512)
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.notes: list[str] = []
        self._made: dict[str, Any] = {}
        if path is not None:
            tidy(path)
            if path.exists():
                self._made = self._read(path)

    def __contains__(self, name: str) -> bool:
        return name in self._made

    def decide(self, name: str, make: Callable[[], Any]) -> Any:
        """What was decided before, else what ``make`` decides now. A full disk is noted and ends nothing."""
        if name not in self._made:
            self._made[name] = make()
            if self.path is not None:
                try:
                    write_whole(self.path, json.dumps(self._made, allow_nan=True).encode())
                except ResourceError as error:
                    self.notes.append(f"a resumed run would have to decide {name} again: {error}")
        return self._made[name]

    @staticmethod
    def _read(path: Path) -> dict[str, Any]:
        try:
            found = json.loads(path.read_text("utf-8"))
            if not isinstance(found, dict):
                raise ValueError("no object")
        except (OSError, ValueError) as error:
            raise TrainingError(
                "training.bad_checkpoint", f"{path} is unreadable: {error}", cure="start the run anew"
            ) from None
        return found
