"""How long a run has taken, in all processes that worked at it: what ``max_time`` is counted against.

A run that was killed and goes on has used what it used before. The seconds stand in a file of their own, because they
change with every checkpoint, and what was decided does not.
"""

import json
import time
from contextlib import suppress
from pathlib import Path

from softprompt.core.errors import ResourceError, TrainingError
from softprompt.core.files import tidy, write_whole

__all__ = ["Spent"]


class Spent:
    """Seconds of a run.

    Args:
        path: Where they stand; None counts this process only.

    Raises:
        TrainingError: ``training.bad_checkpoint`` for a file that is not ours.

    >>> spent = Spent(None)
    >>> spent.earlier, spent.left(60.0) <= 60.0, spent.left(1e-9)
    (0.0, True, 0.0)
    """

    def __init__(self, path: Path | None) -> None:
        self.path, self.earlier = path, 0.0
        self._begun = time.monotonic()
        if path is not None:
            tidy(path)
            if path.exists():
                self.earlier = _read(path)

    @property
    def seconds(self) -> float:
        """Those of earlier processes and of this one."""
        return self.earlier + time.monotonic() - self._begun

    def left(self, limit: float) -> float:
        """Seconds up to a limit, or 0."""
        return max(0.0, limit - self.seconds)

    def note(self) -> None:
        """Write them down. A disk that is full loses them until the next time."""
        if self.path is not None:
            with suppress(ResourceError):
                write_whole(self.path, json.dumps({"seconds": round(self.seconds, 3)}).encode())


def _read(path: Path) -> float:
    try:
        seconds = float(json.loads(path.read_text("utf-8"))["seconds"])
        if not 0.0 <= seconds < float("inf"):
            raise ValueError(f"{seconds} seconds")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise TrainingError(
            "training.bad_checkpoint", f"{path} is unreadable: {error}", cure="start the run anew"
        ) from None
    return seconds
