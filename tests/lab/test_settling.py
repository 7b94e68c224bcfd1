"""What is chosen on rows that were not learnt from: no row is judged by what was chosen on it."""

from dataclasses import replace

import numpy as np

from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.lab.settling import decided, decided_apart, parts_of, settled
from softprompt.model.prediction import Prediction

TASK = Task.multilabel(["late", "angry"])


def made(count: int) -> tuple[list[Prediction], Dataset]:
    rng = np.random.default_rng(1)
    p = rng.random((count, 2))
    held = rng.random((count, 2)) < p * 0.6
    rows = tuple(
        Example({"text": str(i)}, tuple(name for name, has in zip(TASK.names, row, strict=True) if has))
        for i, row in enumerate(held)
    )
    said = [Prediction("", (), dict(zip(TASK.names, row, strict=True)), 0.0) for row in p.tolist()]
    return said, Dataset(rows, classes=TASK.names)


def test_a_row_has_no_say_in_what_it_is_judged_by() -> None:
    said, rows = made(60)
    parts = parts_of(rows)
    before = decided_apart(TASK, said, rows, parts)
    fold = parts[2]
    turned = Dataset(
        tuple(
            replace(row, target=tuple(name for name in TASK.names if name not in row.target))
            if i in fold.held_out
            else row
            for i, row in enumerate(rows)
        ),
        classes=TASK.names,
    )
    after = decided_apart(TASK, said, turned, parts)
    assert [before[i].text for i in fold.held_out] == [after[i].text for i in fold.held_out]
    assert [one.text for one in before] != [one.text for one in after]


def test_what_is_kept_is_chosen_on_all_rows() -> None:
    said, rows = made(60)
    task = settled(TASK, said, rows)
    assert isinstance(task, type(TASK))
    again = decided(said, rows, task)
    assert [one.text for one in again] == [
        task.decode(list((one.probabilities or {}).values()), rows[0]) for one in said
    ]
    assert settled(task, said, rows) is task


def test_tasks_with_nothing_to_choose_are_left_alone() -> None:
    said, rows = made(10)
    task = Task.classify(["late", "angry"])
    assert settled(task, said, rows) is task
    assert decided_apart(task, said, rows, ()) == said
