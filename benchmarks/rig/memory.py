"""Peak memory of one contender, in a process of its own, so that no other contender's memory is counted.

On a CPU the peak is the resident set's high-water mark (VmHWM), reset after the model was loaded; on an accelerator
it is what PyTorch's allocator held at most.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from .contenders import contender
from .setting import Setting, backbone_of

__all__ = ["child", "measure"]

#: Steps in the child: the allocator needs a few until its peak no longer grows.
STEPS = 3


def measure(script: Path, name: str, setting: Setting) -> dict[str, float]:
    """Start ``script`` for one contender and read what it reports: gigabytes.

    Returns:
        ``baseline`` (interpreter, libraries and model), ``reading`` (peak of the one-off reading), ``steps`` (peak of
        the steps), ``peak`` (the larger), ``above`` (peak less baseline).
    """
    command = [sys.executable, str(script), "--child", name, "--setting", json.dumps(vars(setting))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"measuring the memory of {name} failed:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def child(name: str, setting: Setting) -> dict[str, Any]:
    """What the process of its own does."""
    torch.set_num_threads(setting.threads)
    gauge = _Gauge(torch.device(setting.device))
    backbone = backbone_of(setting)
    baseline = gauge.now()
    gauge.reset()
    one = contender(name, setting, backbone)
    reading = gauge.peak()
    gauge.reset()
    for _ in range(STEPS):
        one.step()
    steps = gauge.peak()
    one.close()
    peak = max(reading, steps)
    return {
        "baseline": baseline,
        "reading": reading,
        "steps": steps,
        "peak": peak,
        "above": round(peak - baseline, 3),
    }


class _Gauge:
    """Gigabytes now, and at most since the last reset."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def now(self) -> float:
        if self.device.type == "cuda":
            return round(torch.cuda.memory_allocated(self.device) / 1e9, 3)
        return _status("VmRSS")

    def peak(self) -> float:
        if self.device.type == "cuda":
            return round(torch.cuda.max_memory_allocated(self.device) / 1e9, 3)
        return _status("VmHWM")

    def reset(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            Path("/proc/self/clear_refs").write_text("5")  # 5: reset VmHWM to what is resident now


def _status(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return round(int(line.split()[1]) * 1024 / 1e9, 3)
    raise RuntimeError(f"/proc/self/status has no {field}: memory is measured on Linux")
