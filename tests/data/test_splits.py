import math
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from softprompt.core.errors import ConfigError, DataError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.data.duplicates import duplicates, text_key
from softprompt.data.inference import infer_labels
from softprompt.data.sources import load
from softprompt.data.splits import folds, k_shot, split

LABELS = ("x", "y", "z")


def plain(counts: dict[str, int]) -> Dataset:
    """Rows with different texts, so that every row is a unit of its own."""
    rows = [(label, i) for label, count in counts.items() for i in range(count)]
    return Dataset(
        tuple(Example({"text": f"{label} {i}"}, label, id=f"{label}{i}") for label, i in rows), classes=LABELS
    )


Rows = list[tuple[str, str, str | None]]
COUNTS = st.fixed_dictionaries({label: st.integers(0, 40) for label in LABELS})
SHARES = st.sampled_from([0.05, 0.1, 0.2, 1 / 3, 0.4])
MESSY = st.lists(
    st.tuples(
        st.sampled_from(["A!", *"abcdefghijklmno"]),
        st.sampled_from(LABELS),
        st.sampled_from([None, None, None, None, "1", "2", "3"]),
    ),
    min_size=2,
    max_size=25,
)


def messy(rows: Rows) -> Dataset:
    """Rows with equal texts, groups and labels that cross each other."""
    examples = (Example({"text": text}, label, str(i), group=group) for i, (text, label, group) in enumerate(rows))
    return Dataset(tuple(examples), classes=LABELS)


def attempt(make: Callable[[], Any]) -> Any:
    """What is made, or the code of the error."""
    try:
        return make()
    except DataError as error:
        return error.code


def ids(data: Dataset) -> list[str]:
    return [row.id for row in data]


@given(COUNTS, SHARES, st.sampled_from([0.0, 0.1, 0.25]), st.integers(0, 9))
def test_a_split_is_a_partition_with_every_label_within_one_row(
    counts: dict[str, int], validation: float, test: float, seed: int
) -> None:
    data = plain(counts)
    assume(len(data) >= 60)
    parts = split(data, validation=validation, test=test, seed=seed)
    assert list(parts) == ["train", "validation", *(["test"] if test else [])]
    assert sorted(i for part in parts.values() for i in ids(part)) == sorted(ids(data))
    shares = {"train": 1 - validation - test, "validation": validation, "test": test}
    for name, part in parts.items():
        for label, count in part.labels().items():
            assert (
                math.floor(shares[name] * counts[label] + 1e-6)
                <= count
                <= math.ceil(shares[name] * counts[label] - 1e-6)
            )
        assert abs(len(part) - shares[name] * len(data)) < 2, "the totals stay near their shares too"
        places = [ids(data).index(i) for i in ids(part)]
        assert places == sorted(places), "rows keep their order"


@given(MESSY, st.integers(0, 9))
def test_groups_and_equal_texts_are_never_torn_apart(rows: Rows, seed: int) -> None:
    data = messy(rows)
    parts = attempt(lambda: split(data, validation=0.3, test=0.2, seed=seed))
    assume(isinstance(parts, dict))
    assert sorted(i for part in parts.values() for i in ids(part)) == sorted(ids(data))
    groups = [{row.group for row in part if row.group is not None} for part in parts.values()]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert all(len(twins.parts) == 1 for twins in duplicates(parts))


@given(MESSY, st.integers(2, 4), st.integers(0, 9))
def test_folds_cover_and_never_tear_groups(rows: Rows, k: int, seed: int) -> None:
    data = messy(rows)
    parts = attempt(lambda: folds(data, k=k, seed=seed))
    assume(isinstance(parts, tuple))
    assert sorted(i for part in parts for i in part.held_out) == list(range(len(data)))
    for part in parts:
        assert sorted(part.train + part.held_out) == list(range(len(data)))
        sides = {"train": data.select(part.train), "held out": data.select(part.held_out)}
        assert not {r.group for r in sides["train"] if r.group} & {r.group for r in sides["held out"] if r.group}
        assert all(len(twins.parts) == 1 for twins in duplicates(sides))


@given(COUNTS, st.integers(2, 6), st.integers(0, 9))
def test_folds_are_stratified_and_even(counts: dict[str, int], k: int, seed: int) -> None:
    data = plain(counts)
    assume(len(data) >= k)
    parts = [data.select(fold.held_out) for fold in folds(data, k=k, seed=seed)]
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    for label in LABELS:
        held = [part.labels()[label] for part in parts]
        assert max(held) - min(held) <= 1


@given(MESSY, st.randoms(use_true_random=False), st.integers(0, 3))
def test_the_order_of_the_file_changes_nothing(rows: Rows, rng: random.Random, seed: int) -> None:
    data = messy(rows)
    order = list(range(len(data)))
    rng.shuffle(order)
    shuffled = data.select(order)

    def outcome(rows: Dataset) -> object:
        parts = attempt(lambda: split(rows, validation=0.3, seed=seed))
        return (
            parts
            if isinstance(parts, str)
            else {
                name: Counter((text_key(r), r.fields["text"], r.target, r.group) for r in part)
                for name, part in parts.items()
            }
        )

    assert outcome(shuffled) == outcome(data)


def test_seeds_differ_and_repeat() -> None:
    data = plain({"x": 50, "y": 50})
    choices = [tuple(ids(split(data, seed=seed)["validation"])) for seed in (0, 1, 2, 0)]
    assert choices[0] == choices[3]
    assert len(set(choices)) == 3


def test_the_choice_itself_is_pinned() -> None:
    """A run that is repeated years later must have the same split."""
    assert ids(split(plain({"x": 6, "y": 4}), seed=1)["validation"]) == ["x3", "y1"]


def test_small_classes() -> None:
    two = split(plain({"x": 30, "y": 2}), validation=0.5)
    assert (two["train"].labels()["y"], two["validation"].labels()["y"]) == (1, 1)
    for seed in range(5):
        one = split(plain({"x": 30, "y": 1}), validation=0.9, seed=seed)
        assert one["train"].labels()["y"] == 1, "the only row of a label is learnt from"
    assert sorted(len(f.held_out) for f in folds(plain({"x": 4, "y": 2}), k=3)) == [2, 2, 2]


def test_without_strata_free_texts_are_parted_by_number() -> None:
    rows = tuple(Example({"text": str(i)}, f"summary {i}") for i in range(50))
    assert {name: len(part) for name, part in split(Dataset(rows), validation=0.2).items()} == {
        "train": 40,
        "validation": 10,
    }
    mixed = split(plain({"x": 25, "y": 25}), validation=0.2, stratify=False)
    assert len(mixed["validation"]) == 10


def test_a_heavy_group_goes_where_there_is_room() -> None:
    rows = [Example({"text": f"big {i}"}, "x", group="big") for i in range(60)]
    rows += [Example({"text": f"small {i}"}, "x", group=str(i // 4)) for i in range(40)]
    parts = split(Dataset(tuple(rows), classes=LABELS), validation=0.2)
    assert {name: len(part) for name, part in parts.items()} == {"train": 80, "validation": 20}
    assert sum(row.group == "big" for row in parts["train"]) == 60


@pytest.mark.parametrize("shares", [{"validation": 1.0}, {"validation": -0.1}, {"validation": 0.5, "test": 0.5}])
def test_shares_that_leave_nothing(shares: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="leave rows for train"):
        split(plain({"x": 9}), **shares)


def test_labels_with_a_single_row_are_named_where_nothing_is_left_to_judge() -> None:
    answers = tuple(f"answer {i}" for i in range(9))
    rows = tuple(Example({"text": f"about {answer}"}, answer) for answer in answers)
    free = Dataset(rows, classes=answers)
    with pytest.raises(DataError, match=r"9 of 9 labels have a single row, which train keeps.*name another column"):
        split(free, validation=0.2)


def test_too_few_rows_say_so() -> None:
    with pytest.raises(DataError, match=r"no row is left for validation: 1 row with 1 different text"):
        split(plain({"x": 1}))
    grouped = Dataset(tuple(Example({"text": f"{n}"}, "x", group="one") for n in range(9)), classes=LABELS)
    with pytest.raises(DataError, match=r"9 rows in 1 group .*, which no split divides"):
        split(grouped)
    same = Dataset(tuple(Example({"text": "same"}, "x") for _ in range(9)), classes=LABELS)
    with pytest.raises(
        DataError, match=r"2 folds need 2 groups or different texts, the data has 1 \[data.too_few_rows"
    ):
        folds(same, k=2)
    with pytest.raises(ConfigError, match="at least 2"):
        folds(same, k=1)


@given(COUNTS.filter(lambda counts: min(counts.values()) >= 5), st.integers(1, 4), st.integers(0, 9))
def test_k_shot_is_exact_and_grows(counts: dict[str, int], k: int, seed: int) -> None:
    data = plain(counts)
    few, more = k_shot(data, k=k, seed=seed), k_shot(data, k=k + 1, seed=seed)
    assert few.labels() == dict.fromkeys(LABELS, k)
    assert set(ids(few)) < set(ids(more))
    assert ids(few) == [i for i in ids(data) if i in ids(few)], "rows keep their order"


def test_k_shot_takes_different_texts_and_says_what_is_too_small() -> None:
    rows = [Example({"text": text}, "x") for text in ("same", "Same!", "same", "other")]
    data = Dataset((*rows, *plain({"y": 3}).rows), classes=("x", "y"))
    assert len({text_key(row) for row in k_shot(data, k=2)}) == 4
    with pytest.raises(DataError, match=r"3 rows .* 'x' has 2 \[data.class_too_small\]; ask for at most 2"):
        k_shot(data, k=3)
    with pytest.raises(DataError, match=r"'z' has 0 .*; add rows of these labels"):
        k_shot(plain({"x": 3, "y": 3}), k=3)
    with pytest.raises(DataError, match="the data has 4"):
        k_shot(Dataset(plain({"x": 4}).rows), k=5)
    with pytest.raises(ConfigError, match="at least 1"):
        k_shot(data, k=0)
    assert len(k_shot(Dataset(plain({"x": 4}).rows), k=3)) == 3


def test_real_groups(shared: Path) -> None:
    """Questions about six articles: a whole article stands on one side."""
    squad = shared / "data/tasks/squad_v1_dev_by_article/validation.jsonl"
    data = load(squad, Task.generate(target="answers"), roles={"group": "title"})
    parts = split(data, validation=0.2)
    assert not {row.group for row in parts["train"]} & {row.group for row in parts["validation"]}
    assert abs(len(parts["validation"]) / len(data) - 0.2) < 0.1


def test_real_labels_are_stratified(shared: Path) -> None:
    banking = shared / "data/tasks/banking77/validation.jsonl"
    data = load(banking, Task.classify(infer_labels(banking, "label")))
    parts = split(data, validation=0.1, seed=3)
    assert abs(len(parts["validation"]) - 100) <= 3
    for label, count in data.labels().items():
        assert abs(parts["validation"].labels()[label] - count / 10) <= 1.5
    assert all(len(twins.parts) == 1 for twins in duplicates(parts))
