"""The trackers of one run: told in threads of their own, given up at their first failure.

A run must not wait for a server, and must not end because one is gone. So what happens is put into a queue a tracker,
and its thread passes it on. The first failure becomes one note to the user, in the run's own thread, and that tracker
is told no more.
"""

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from softprompt.app.tracking.tracker import Numbers, Result, Start, Tracker
from softprompt.app.watch import Point, Watcher
from softprompt.core.errors import SoftpromptError
from softprompt.core.files import write_whole

__all__ = ["Session"]

#: Seconds that all trackers together may take for what is left when the run is over.
PATIENCE = 60.0

#: Where a run folder keeps what its trackers call the run.
KEPT = "tracking.json"

#: Seconds between two deliveries of numbers at least: a request a step would keep a server busy for nothing.
PAUSE = 1.0


class Session:
    """Tells trackers of one run.

    Args:
        trackers: By name.
        start: The run.
        watcher: Told of failures.
        patience: Seconds, see :data:`PATIENCE`.

    >>> with Session({}, Start("topic", "tune", Path("runs/topic"), {}, {}), Watcher()) as session:
    ...     session.end(Result("finished", {"test/accuracy": 0.9}))
    """

    def __init__(
        self, trackers: Mapping[str, Tracker], start: Start, watcher: Watcher, *, patience: float = PATIENCE
    ) -> None:
        self._watcher, self._patience = watcher, patience
        notebook = _Notebook(start.folder / KEPT) if start.kind == "tune" else None
        self._lines = [_Line(name, tracker, start, notebook) for name, tracker in trackers.items()]
        self._ended = False

    def __enter__(self) -> Self:
        for line in self._lines:
            line.start()
        return self

    def point(self, point: Point) -> None:
        """A step was taken or looked at."""
        if not self._lines:
            return
        parts = {"loss": point.losses, "validation-score": point.scores, "validation-loss": point.held_losses}
        values = {f"{what}/{_word(name)}": value for what, part in parts.items() for name, value in part.items()}
        self._put(Numbers(point.stage, point.step, values, time.time()))

    def end(self, result: Result) -> None:
        """The run is over: wait for the trackers, as long as :data:`PATIENCE` allows."""
        self._ended = True
        self._put(result)
        begun = time.monotonic()
        try:
            for line in self._lines:
                line.join(max(0.0, begun + self._patience - time.monotonic()))
        except KeyboardInterrupt:  # whoever does not want to wait for a server loses nothing of the run
            pass
        for line in self._lines:
            if line.is_alive() and not line.told:
                line.told = True
                waited = time.monotonic() - begun
                self._watcher.note(f"{line.name} did not take everything within {waited:.0f} s and was left")
        self._tell()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._ended:  # an error, or Ctrl-C before anything was judged; a kill leaves the run open
            self.end(Result("failed"))

    def _put(self, message: Numbers | Result) -> None:
        for line in self._lines:
            if line.fault is None:
                line.queue.put(message)
        self._tell()

    def _tell(self) -> None:
        """Each failure once, from the thread that the watcher belongs to."""
        for line in self._lines:
            if line.fault is not None and not line.told:
                line.told = True
                self._watcher.note(f"{line.name} is told no more, the run goes on: {_reason(line.fault)}")


class _Line(threading.Thread):
    """One tracker and its queue."""

    def __init__(self, name: str, tracker: Tracker, start: Start, notebook: "_Notebook | None") -> None:
        super().__init__(name=name, daemon=True)  # a server that hangs does not keep the process
        self.tracker, self.begins, self.notebook = tracker, start, notebook
        self.queue: SimpleQueue[Numbers | Result] = SimpleQueue()
        self.fault: Exception | None = None
        self.told = False

    def run(self) -> None:
        try:
            known = self.notebook.read(self.name) if self.notebook else None
            found = self.tracker.begin(self.begins, known)
            if self.notebook:
                self.notebook.write(self.name, found)
            while not isinstance(message := self._next(), Result):
                self.tracker.numbers(message)
            self.tracker.end(message)
        except Exception as error:  # noqa: BLE001 - whatever a tracker's library raises must not end the run
            self.fault = error

    def _next(self) -> list[Numbers] | Result:
        """What has gathered since the last delivery, or the end."""
        message = self.queue.get()
        if isinstance(message, Result):
            return message
        several = [message]
        until = time.monotonic() + PAUSE
        while (left := until - time.monotonic()) > 0:
            try:
                message = self.queue.get(timeout=left)
            except Empty:
                break
            if isinstance(message, Result):
                self.tracker.numbers(several)
                return message
            several.append(message)
        return several


class _Notebook:
    """What trackers call the run, for a process that goes on with it."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()

    def read(self, name: str) -> str | None:
        with self._lock:
            found = self._content().get(name)
        return found if isinstance(found, str) else None

    def write(self, name: str, known: str) -> None:
        with self._lock:
            write_whole(self._path, json.dumps({**self._content(), name: known}, indent=2).encode())

    def _content(self) -> dict[str, object]:
        try:
            found = json.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _word(name: str) -> str:
    """A prompt's name as part of a path.

    >>> _word("fold 1, seed 0")
    'fold-1-seed-0'
    """
    return name.replace(",", "").replace(" ", "-")


def _reason(error: Exception) -> str:
    """The first line of what went wrong."""
    lines = str(error).strip().splitlines()
    said = lines[0][:200] if lines else ""
    return said if isinstance(error, SoftpromptError) else f"{type(error).__name__}: {said}".removesuffix(": ")
