"""Who may read a file."""

import os
import stat
from pathlib import Path


def for_owner_alone(path: Path) -> bool:
    """Whether nobody else may read a file (0600); on Windows the folder decides that, and files have no modes."""
    return os.name == "nt" or stat.S_IMODE(path.stat().st_mode) == 0o600
