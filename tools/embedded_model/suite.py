"""The judge's tasks: which rows a method learns from and which it is asked about. Knows nothing of models.

A task is an entry of `suite.toml`; a sample is one seeded draw of its training rows with all of its test rows.
"""

import json
import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "src" / "softprompt" / "assets" / "example"


@dataclass(frozen=True)
class Sample:
    """Training and test rows of one task, as texts and labels."""

    train_texts: list[str]
    train_labels: list[str]
    test_texts: list[str]
    test_labels: list[str]


@dataclass(frozen=True)
class SuiteTask:
    """Where a task's rows stand (JSON lines), which fields make the text, and which field is asked for."""

    name: str
    train: Path
    test: Path
    texts: tuple[str, ...]
    label: str

    def sample(self, *, num_rows: int, seed: int, most_test_rows: int | None = None) -> Sample | None:
        """A draw of `num_rows` training rows, or None if there are not so many; test rows in file order."""
        train, test = _read_rows(self.train), _read_rows(self.test)[:most_test_rows]
        if len(train) < num_rows:
            return None
        chosen = [train[i] for i in np.random.default_rng(seed).permutation(len(train))[:num_rows]]
        return Sample(self._texts(chosen), self._labels(chosen), self._texts(test), self._labels(test))

    def _texts(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        return [" ".join(row[name] for name in self.texts) for row in rows]

    def _labels(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        return [str(row[self.label]) for row in rows]


def read_suite(path: Path) -> list[SuiteTask]:
    """The tasks of a suite file; `{shared}` and `{example}` in its paths are filled in.

    >>> [task.label for task in read_suite(HERE / "suite.toml")]
    ['topic', 'sentiment', 'urgent', 'label', 'label', 'label']
    """
    places = {"shared": os.environ.get("SOFTPROMPT_SHARED", str(HERE.parents[1].parent / "shared")), "example": EXAMPLE}
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["task"]
    return [
        SuiteTask(
            name=entry["name"],
            train=Path(entry["train"].format_map(places)),
            test=Path(entry["test"].format_map(places)),
            texts=tuple(entry["texts"]),
            label=entry["label"],
        )
        for entry in entries
    ]


def _read_rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]
