"""Energy by the machine's own counters: of the processors (RAPL) and of NVIDIA's accelerators (NVML).

RAPL lies in files (`/sys/class/powercap`, readable by root alone on most systems) and counts the whole machine, other
work included; so does NVML (``nvidia-ml-py``, the extra ``compare``) for one accelerator, since the Volta generation.
What cannot be read is unknown, never 0. Knows counters alone.
"""

from importlib import import_module
from pathlib import Path
from typing import Any, Self

import torch

__all__ = ["Nvml", "Rapl"]


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


class Nvml:
    """The energy counter of one accelerator.

    Args:
        uuid: Of the accelerator, as torch names it: indices differ where some are hidden.
        library: In place of the module ``pynvml``; None imports it.
    """

    def __init__(self, uuid: str, *, library: Any = None) -> None:
        self.uuid, self._library, self._handle = uuid, library, None
        try:
            self._library = library or import_module("pynvml")
        except ImportError:
            return
        try:
            self._library.nvmlInit()
            self._handle = self._library.nvmlDeviceGetHandleByUUID(f"GPU-{uuid.removeprefix('GPU-')}")
        except self._library.NVMLError:
            self._handle = None  # no driver, or another maker's accelerator

    @classmethod
    def of(cls, device: torch.device) -> Self | None:
        """The counter of a device; None where it is no accelerator of NVIDIA's."""
        if device.type != "cuda":
            return None
        return cls(str(torch.cuda.get_device_properties(device).uuid))

    def read(self) -> int | None:
        """Millijoules so far; None where that cannot be read."""
        if self._handle is None:
            return None
        try:
            return int(self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        except self._library.NVMLError:
            return None

    @staticmethod
    def between(first: int | None, last: int | None) -> float | None:
        """Joules between two readings; None where the driver was loaded anew meanwhile.

        >>> Nvml.between(1_000, 3_500), Nvml.between(9_000, 10), Nvml.between(None, 10)
        (2.5, None, None)
        """
        return None if first is None or last is None or last < first else (last - first) / 1e3
