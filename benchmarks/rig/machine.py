"""The machine and the versions a number belongs to, and how quiet the machine was while it was measured."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

__all__ = ["describe", "load_average", "sentence"]

#: Load average from which one thread has to share its core.
BUSY = 1.5

PACKAGES = ("softprompt", "torch", "transformers", "peft")

#: CPU features that decide how fast bf16 products are.
FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def describe(device: str = "cpu") -> dict[str, Any]:
    """Everything a reader needs to judge the numbers.

    >>> sorted(describe())
    ['cores', 'cpu', 'device', 'features', 'memory_gb', 'python', 'system', 'threads', 'versions']
    """
    info = _cpu_info()
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": info.get("model name", platform.processor() or "unknown"),
        "features": [name for name in FEATURES if name in info.get("flags", "").split()],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "device": torch.cuda.get_device_name(0) if device.startswith("cuda") else "cpu",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }


def sentence(load: float) -> str:
    """The machine in one line, for a page.

    >>> sentence(3.2).split(", softprompt")[0].split(", ")[-1]
    'load average 3.2 (a busy machine: trust processor time)'
    """
    machine = describe()
    threads = f"{machine['threads']} thread" + ("s" if machine["threads"] > 1 else "")
    calm = "a busy machine: trust processor time" if load > BUSY else "quiet"
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return f"{machine['cpu']}, {threads}, load average {load} ({calm}), {versions}"


def load_average() -> float:
    """Processes that want to run, averaged over a minute; more than the benchmark's threads means a busy machine."""
    return round(os.getloadavg()[0], 2)


def _cpu_info() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}
