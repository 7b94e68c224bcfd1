"""Worked examples as tokens: exactly as long as asked, whole, with their answers, from rows that may be shown."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.errors import TrainingError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.lab.demonstrations import Demonstrations, packed, said_of
from softprompt.model.templates.rows import RowBuilder
from softprompt.model.templates.template import Template
from softprompt.testing import tiny

TASK = Task.classify(["no", "yes"])
ROWS = [Example({"text": f"row {i}"}, target="yes" if i % 3 else "no") for i in range(9)]


def builder(task: Any = TASK, text: str = "{bos}<soft 4>{text}: {answer}") -> RowBuilder:
    return RowBuilder(Template.parse(text), task, tiny("llama").tokenizer, max_tokens=200)


def shown(length: int, *, seed: int = 0, rows: Any = ROWS) -> str:
    made = builder()
    special = frozenset({256, 257, 258})
    ids = Demonstrations(made, rows, special=special)(length, torch.Generator().manual_seed(seed))
    assert len(ids) == length
    assert not special & set(ids)
    return made.tokenizer.decode(list(ids))


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6).map(tuple), min_size=1, max_size=6), st.data())
def test_texts_fill_the_room_whole_and_from_behind(texts: list[tuple[int, ...]], data: st.DataObject):
    length = data.draw(st.integers(1, 40))
    ids = packed(texts, length)
    assert len(ids) == length
    if len(texts[0]) <= length:
        assert ids[-len(texts[0]) :] == texts[0]
    else:
        assert ids == texts[0][-length:]


def test_examples_stand_as_the_template_writes_them_with_their_answers():
    text = shown(60)
    parts = text.split("\n\n")
    assert parts[-1] == ""
    right = {f"row {i}: {one.target}" for i, one in enumerate(ROWS)}
    assert set(parts[1:-1]) <= right
    assert any(part.endswith("yes") for part in parts[1:-1])
    assert any(part.endswith("no") for part in parts[1:-1])


def test_the_seed_decides_which():
    assert shown(60) == shown(60)
    assert shown(60) != shown(60, seed=1)


@pytest.mark.parametrize("length", [5, 40, 60, 500])
def test_it_says_which_rows_stand_there(length: int):
    """Those alone, a part of one in front included, by their places among all rows."""
    rows = [None, *ROWS, None]
    drawn = Demonstrations(builder(), rows, special=frozenset({256, 257, 258}))
    places = drawn.shown(length, torch.Generator().manual_seed(0))
    words = shown(length, rows=rows)
    whole = {
        int(part.split(":")[0].removeprefix("row ")) + 1 for part in words.split("\n\n") if part.startswith("row ")
    }
    assert whole <= places
    assert len(places - whole) <= 1
    assert (len(places) == len(ROWS)) is (length == 500)


def test_rows_that_are_left_out_or_have_no_answer_are_not_shown():
    kept = [None, Example({"text": "bare"}), ROWS[1], None]
    assert set(shown(40, rows=kept).split("\n\n")[1:-1]) == {"row 1: yes"}
    with pytest.raises(TrainingError, match=r"no training row has an answer to show \[training.no_rows\]"):
        shown(10, rows=kept[:2])


@pytest.mark.parametrize(
    ("task", "target", "said"),
    [
        (TASK, "no", "no"),
        (Task.generate(target="label"), "It is late.", "It is late."),
        (Task.multilabel(["a", "b", "c"], target="label"), ["a", "c"], "a, c"),
        (Task.multilabel(["a", "b", "c"], target="label"), [], ""),
    ],
)
def test_answers_in_words(task: Any, target: Any, said: str):
    assert said_of(task, Example({"text": ""}, target=target)) == said
