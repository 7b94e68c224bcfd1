"""What is contested: labelled rows to learn from, to choose by and to be judged on.

Every contender gets the same rows: ``rows`` labelled examples drawn from the training part, of which a fifth chooses
(rates, seeds, strengths); the judged part is another file, whole. Training rows whose text is judged are left out.

Knows no contenders.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.rig.rows import example_file, public_file
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.data.duplicates import without_duplicates
from softprompt.data.inference import infer_labels
from softprompt.data.sources import load
from softprompt.data.splits import split

__all__ = ["EXAMPLE", "PUBLIC", "Problem", "example", "from_file", "problem_of", "public"]

#: Public data sets by folder name; their licences do not let us ship them.
PUBLIC = ("sst2", "ag_news", "emotion")

#: Answers of the example messages that ship with the package.
EXAMPLE = ("topic", "sentiment", "urgent")

#: Share of the labelled rows that chooses and is not learnt from.
VALIDATION_SHARE = 0.2


@dataclass(frozen=True)
class Problem:
    """Rows of one question.

    Attributes:
        name: In tables and file names.
        task: Labels and their words.
        fields: What is read.
        train: Learnt from.
        validation: Chooses.
        judged: The score is theirs; no contender sees them before.
    """

    name: str
    task: Task
    fields: tuple[str, ...]
    train: Dataset
    validation: Dataset
    judged: Dataset

    def describe(self) -> dict[str, Any]:
        """For the report."""
        rows = {"train": len(self.train), "validation": len(self.validation), "judged": len(self.judged)}
        return {"labels": list(self.task.names), "fields": list(self.fields), "rows": rows}


def public(name: str, *, rows: int, folder: Path | None = None) -> Problem:
    """A public data set; judged on its validation part, as is usual for those whose test labels are hidden.

    Raises:
        FileNotFoundError: It is not there, with the place where it was looked for.
    """
    train, judged = (public_file(name, part, folder=folder) for part in ("train", "validation"))
    task = Task.classify(infer_labels(train, "label"))
    parts = [load(path, task, template_fields=("text",)) for path in (train, judged)]
    return problem_of(name, task, *parts, rows=rows)


def example(target: str, *, rows: int) -> Problem:
    """One answer of the example messages; judged on their test part."""
    train, judged = example_file("train"), example_file("test")
    task = Task.classify(infer_labels(train, target), target=target)
    parts = [load(path, task, template_fields=("text",)) for path in (train, judged)]
    return problem_of(f"example {target}", task, *parts, rows=rows)


def from_file(
    path: Path, *, target: str, fields: Sequence[str] = (), rows: int | None = None, judged: Path | None = None
) -> Problem:
    """A user's own file.

    Args:
        path: csv, tsv, jsonl or json.
        target: Column of the label.
        fields: Columns to read; none: ``text`` where there is one, else all others.
        rows: Labelled rows to learn from and to choose by; None: all.
        judged: A file of its own; None: 30 % of ``path``.

    Raises:
        DataError: Whatever is wrong with the rows.
    """
    task = Task.classify(infer_labels(path, target), target=target)
    found = load(path, task, template_fields=fields or None)
    columns = tuple(fields) or (("text",) if "text" in found.fields() else found.fields())
    found = load(path, task, template_fields=columns)
    if judged is not None:
        pool, test = found, load(judged, task, template_fields=columns)
    else:
        parts = split(found, validation=0.3)
        pool, test = parts["train"], parts["validation"]
    return problem_of(target, task, pool, test, rows=len(pool) if rows is None else rows, fields=columns)


def problem_of(
    name: str, task: Task, pool: Dataset, judged: Dataset, *, rows: int, fields: tuple[str, ...] = ("text",)
) -> Problem:
    """Draw the labelled rows and part them; the same rows in every run and for every contender.

    >>> from softprompt.core.records import Example
    >>> pool = Dataset(tuple(Example({"text": f"say {i}"}, "ab"[i % 2]) for i in range(40)), classes=("a", "b"))
    >>> problem = problem_of("letters", Task.classify(["a", "b"]), pool[:30], pool[30:], rows=20)
    >>> len(problem.train), len(problem.validation), len(problem.judged)
    (16, 4, 10)
    """
    clean = without_duplicates(pool, against=[judged])
    drawn = sorted(random.Random(0).sample(range(len(clean)), min(rows, len(clean))))
    parts = split(clean.select(drawn), validation=VALIDATION_SHARE)
    return Problem(name, task, fields, parts["train"].require_two_labels(), parts["validation"], judged)
