"""What the system says of this machine: the processors that this process may use, and whether another process runs.

Linux tells which processors; Windows and macOS only how many there are. A signal 0 asks after a process on Linux and
macOS, and on Windows it would end it: nobody else here asks by signals. Free memory is asked in lab/training/memory.py.
"""

import os

import psutil

__all__ = ["is_running", "num_cores"]


def num_cores() -> int:
    """Processors that this process may use, at least 1.

    >>> num_cores() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_running(process: int) -> bool:
    """Whether there is a process of this number, anybody's.

    >>> is_running(os.getpid()), is_running(10**30)
    (True, False)
    """
    try:
        return psutil.pid_exists(process)
    except OverflowError:
        return False
