"""What a piece of work takes: wall time, memory at its highest, energy where the machine can tell.

Energy is what the processors' own counters say (RAPL: `/sys/class/powercap`, readable by root alone on most systems),
for the whole machine: other work on it counts, too. Where they cannot be read, energy is unknown, not 0. Knows nothing
of models but the device they are on.
"""

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

from softprompt.lab.training.memory import memory_in_use

__all__ = ["Meter", "Rapl", "Taken"]

#: Seconds between two looks at the memory of the process.
EVERY = 0.02


@dataclass(frozen=True)
class Taken:
    """What it took.

    Attributes:
        seconds: Wall time.
        peak_bytes: Memory over that at the start, at its highest.
        joules: None where the machine cannot tell.
    """

    seconds: float
    peak_bytes: int
    joules: float | None


class Rapl:
    """The energy counters of the processors.

    Args:
        root: Where ``sys`` is mounted.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        # intel-rapl:0 is a socket (AMD's counters have the same name); intel-rapl:0:1 is a part of it
        found = sorted((root / "sys/class/powercap").glob("intel-rapl:*"))
        self.sockets = [path for path in found if path.name.count(":") == 1]

    def read(self) -> list[tuple[int, int]] | None:
        """Microjoules so far, and where the counter starts anew, by socket; None where that cannot be read."""
        try:
            found = [(_number(path / "energy_uj"), _number(path / "max_energy_range_uj")) for path in self.sockets]
        except (OSError, ValueError):
            return None
        return found or None

    @staticmethod
    def between(first: list[tuple[int, int]] | None, last: list[tuple[int, int]] | None) -> float | None:
        """Joules between two readings; a counter that started anew is taken to have done so once.

        >>> Rapl.between([(900, 1000)], [(100, 1000)]), Rapl.between(None, [(1, 2)])
        (0.0002, None)
        """
        if first is None or last is None:
            return None
        pairs = zip(first, last, strict=True)
        return sum((after - before) % most for (before, most), (after, _) in pairs) / 1e6


def _number(path: Path) -> int:
    return int(path.read_text("utf-8"))


class Meter:
    """Measures what happens within it.

    Args:
        device: Whose memory is meant: that of an accelerator's tensors, else that of the process.
        rapl: The counters.

    >>> with Meter(torch.device("cpu")) as meter:
    ...     numbers = torch.ones(1 << 20).tolist()
    >>> meter.taken.seconds > 0
    True
    """

    def __init__(self, device: torch.device, *, rapl: Rapl | None = None) -> None:
        self.device, self.rapl = device, rapl or Rapl()
        self.taken = Taken(0.0, 0, None)

    def __enter__(self) -> Self:
        self._joules = self.rapl.read()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self._start = self._peak = memory_in_use(self.device)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        if self.device.type != "cuda":
            self._thread.start()
        self._begun = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._begun
        self._end.set()
        if self.device.type == "cuda":
            peak = int(torch.cuda.max_memory_allocated(self.device))
        else:
            self._thread.join()
            peak = max(self._peak, memory_in_use(self.device))
        joules = Rapl.between(self._joules, self.rapl.read())
        self.taken = Taken(seconds, max(0, peak - self._start), joules)

    def _look(self) -> None:
        while not self._end.wait(EVERY):
            self._peak = max(self._peak, memory_in_use(self.device))
