from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.data.duplicates import duplicates, fold, text_key, without_duplicates
from softprompt.data.sources import load


def dataset(*texts: str, target: str = "a") -> Dataset:
    return Dataset(tuple(Example({"text": text}, target) for text in texts))


@pytest.mark.parametrize(
    ("one", "other"), [("Hi  there!", "hi, THERE"), ("Straße", "STRASSE"), ("ﬁne", "fine"), ("a\u00a0b", "a b")]
)
def test_what_is_folded(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), [("कि", "का"), ("👍", "👎"), ("C++", "C"), ("5 + 3", "5 3"), ("1", "2")])
def test_what_stays_apart(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@given(st.text(max_size=30))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert fold(f"  {text.upper().lower()}\t!") == fold(text.upper().lower())


def test_texts_of_punctuation_stand_for_themselves() -> None:
    assert duplicates({"train": dataset(":-)", ":-(", ":-)")})[0].places == (("train", 0), ("train", 2))


def test_within_and_across_exact_and_folded() -> None:
    train, test = dataset("Hi!", "bye", "hi"), dataset("BYE.", "new", target="b")
    first, second = duplicates({"train": train, "test": test})
    assert (first.places, first.exact, first.conflicting, first.parts) == (
        (("train", 0), ("train", 2)),
        False,
        False,
        ("train",),
    )
    assert (second.parts, second.conflicting) == (("train", "test"), True)
    assert duplicates({"a": dataset("x"), "b": dataset("x")})[0].exact


def test_fields_are_compared_by_name() -> None:
    rows = Example({"a": "x", "b": "y"}), Example({"a": "y", "b": "x"}), Example({"b": "y", "a": "x"})
    (twins,) = duplicates({"train": Dataset(rows)})
    assert [index for _, index in twins.places] == [0, 2]


@given(
    st.lists(st.sampled_from(["a", "A!", "b", "c", "d."]), max_size=10), st.lists(st.sampled_from("abcd"), max_size=5)
)
def test_dropping_from_train_leaves_no_leak_and_nothing_else_out(train: list[str], test: list[str]) -> None:
    cleaned = without_duplicates(dataset(*train), against=[dataset(*test)])
    left = {text_key(row) for row in cleaned}
    assert not left & {text_key(row) for row in dataset(*test)}
    assert [row.fields["text"] for row in cleaned] == [text for text in train if fold(text) not in test]


def test_real_leaks_are_found(shared: Path) -> None:
    task = Task.generate(target="label")
    parts = {name: load(shared / f"data/tasks/emotion/{name}.jsonl", task) for name in ("validation", "test")}
    leaks = [twins for twins in duplicates(parts) if len(twins.parts) > 1]
    assert leaks
    cleaned = without_duplicates(parts["validation"], against=[parts["test"]])
    assert len(cleaned) < len(parts["validation"])
    assert not [twins for twins in duplicates({"validation": cleaned, "test": parts["test"]}) if len(twins.parts) > 1]
