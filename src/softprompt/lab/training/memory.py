"""How much memory a step needs, measured on one trial step, and how much there is.

What a backward pass keeps is counted exactly, on any device, by the saved-tensor hooks of autograd; it grows with the
live tokens, so one trial tells how many of them fit into one micro-batch.
"""

from collections.abc import Callable
from pathlib import Path

import psutil
import torch
from torch import Tensor

__all__ = ["available_bytes", "kept_bytes", "memory_in_use"]


def kept_bytes(forward: Callable[[], Tensor], *, frozen: set[int] | None = None) -> int:
    """Bytes that autograd keeps for the backward pass of ``forward``; every storage counts once.

    Args:
        forward: Builds a graph and returns its loss; nothing is run backwards.
        frozen: Addresses of storages that exist anyway (parameters).

    >>> x = torch.ones(1000, requires_grad=True)
    >>> kept_bytes(lambda: x.exp().sin().sum())
    4000
    """
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if not frozen or storage.data_ptr() not in frozen:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = forward()
    total = sum(seen.values())
    del loss
    return total


def available_bytes(device: torch.device | None = None, *, root: Path = Path("/")) -> int:
    """Free memory of the device; for a CPU what the system calls available, and no more than the control group leaves.

    Args:
        device: CPU if None.
        root: Where ``proc`` and ``sys`` are mounted.
    """
    if device is not None and device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    return min(_system(root), *_groups(root))


def memory_in_use(device: torch.device) -> int:
    """Bytes that this process holds: on an accelerator those of its tensors, else its resident memory.

    >>> memory_in_use(torch.device("cpu")) > 10_000_000
    True
    """
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    return int(psutil.Process().memory_info().rss)


def _system(root: Path) -> int:
    """MemAvailable; where there is no /proc (macOS, Windows), what the system calls available there."""
    try:
        for line in (root / "proc/meminfo").read_text("utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return int(psutil.virtual_memory().available)


def _groups(root: Path) -> list[int]:
    """What control groups (v2, then v1) leave; no entry where there is no limit."""
    left = [1 << 62]
    for limit, used in (
        ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            most = (root / limit).read_text("utf-8").strip()
            if most != "max":
                left.append(max(0, int(most) - int((root / used).read_text("utf-8"))))
        except (OSError, ValueError):
            continue
    return left
