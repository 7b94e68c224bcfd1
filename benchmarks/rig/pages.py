"""Make the system forget the cached pages of a file, so that reading it again costs what it costs the first time."""

import ctypes
import os
from pathlib import Path

__all__ = ["drop"]

_MADV_DONTNEED = 4


def drop(path: Path) -> None:
    """Write the file out, unmap its pages from this process and drop them from the page cache (Linux).

    Pages that a process still maps are not dropped, hence the middle step; the mapping itself stays valid.
    """
    with path.open("rb") as file:
        os.fsync(file.fileno())
        libc = ctypes.CDLL(None, use_errno=True)
        for line in Path("/proc/self/maps").read_text().splitlines():
            if line.endswith(str(path)):
                first, last = (int(part, 16) for part in line.split()[0].split("-"))
                if libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), _MADV_DONTNEED):
                    raise OSError(ctypes.get_errno(), "madvise")
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
