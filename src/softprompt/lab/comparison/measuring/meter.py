"""What a piece of work takes: wall time, memory at its highest, energy where the machine can tell.

On an accelerator energy is its own and, where they can be read, that of the processors; without its own it is unknown,
because the processors' share alone would say too little. Memory that was freed before the start is given back to the
system first: what the C library keeps for later would hide as much of what comes. Knows nothing of models but the
device they are on.
"""

import ctypes
import gc
import os
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import torch

from softprompt.lab.comparison.measuring.energy import Nvml, Rapl
from softprompt.lab.training.memory import memory_in_use

__all__ = ["Meter", "Taken"]

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


class Meter:
    """Measures what happens within it.

    Args:
        device: Whose memory is meant: that of an accelerator's tensors, else that of the process.
        rapl: Counters of the processors.
        nvml: Counter of the accelerator; None: that of the device, where there is one.

    >>> with Meter(torch.device("cpu")) as meter:
    ...     numbers = torch.ones(1 << 20).tolist()
    >>> meter.taken.seconds > 0
    True
    """

    def __init__(self, device: torch.device, *, rapl: Rapl | None = None, nvml: Nvml | None = None) -> None:
        self.device, self.rapl, self.nvml = device, rapl or Rapl(), nvml or Nvml.of(device)
        self.taken = Taken(0.0, 0, None)

    def __enter__(self) -> Self:
        self._processors, self._accelerator = self.rapl.read(), None if self.nvml is None else self.nvml.read()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            _give_back()
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
        self.taken = Taken(seconds, max(0, peak - self._start), self._joules())

    def _joules(self) -> float | None:
        processors = Rapl.between(self._processors, self.rapl.read())
        if self.nvml is None:
            return processors
        accelerator = Nvml.between(self._accelerator, self.nvml.read())
        return None if accelerator is None else accelerator + (processors or 0.0)

    def _look(self) -> None:
        while not self._end.wait(EVERY):
            self._peak = max(self._peak, memory_in_use(self.device))


def _give_back() -> None:
    """Return freed memory to the system, where the C library can: glibc keeps it for later (malloc_trim(3))."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)
