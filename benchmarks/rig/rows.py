"""The rows that benchmarks learn from and judge by: the example messages, and larger public data where it is there."""

import json
import os
from importlib import resources
from pathlib import Path
from typing import Any

__all__ = ["example_file", "public_file", "rows_in"]


def example_file(part: str) -> Path:
    """The example messages of a part: train, validation, test.

    >>> sorted(rows_in(example_file("test"))[0])
    ['id', 'sentiment', 'summary', 'text', 'topic', 'urgent']
    """
    return Path(str(resources.files("softprompt") / "assets" / "example" / f"messages.{part}.jsonl"))


def public_file(name: str, part: str, *, folder: Path | None = None) -> Path:
    """A part of a public data set, in ``SOFTPROMPT_SHARED``, or in ``shared`` beside the repository.

    Raises:
        FileNotFoundError: It is not there, with the place where it was looked for.
    """
    shared = folder or Path(os.environ.get("SOFTPROMPT_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    path = shared / "data" / "tasks" / name / f"{part}.jsonl"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; set SOFTPROMPT_SHARED to a folder with data/tasks/{name}")
    return path


def rows_in(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
