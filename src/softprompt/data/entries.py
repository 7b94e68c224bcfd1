"""What reading yields: records in the order of the file, and in their place the rows that cannot be read.

Knows nothing of files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from softprompt.data.dataset import BadRow

__all__ = ["Entry", "Record"]


@dataclass(frozen=True, slots=True)
class Record:
    """One row as the file has it: cells by column, and ``file:line`` where it begins."""

    source: str
    values: Mapping[str, Any]


Entry = Record | BadRow
