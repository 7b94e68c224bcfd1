"""Sets of labels: how rows write them, how probabilities become them, and thresholds."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from softprompt.core.errors import ConfigError, DataError
from softprompt.core.records import Example
from softprompt.core.tasks import Task, parse_task
from softprompt.core.tasks.multilabel import names_in
from softprompt.core.thresholds import choose_thresholds

LABELS = ["late", "billing", "angry"]
TASK = Task.multilabel(LABELS, separator=";")
held = st.lists(st.sampled_from(LABELS), unique=True).map(lambda names: tuple(n for n in LABELS if n in names))


@given(held)
def test_every_way_of_writing_gives_the_same_labels(names):
    assert TASK.read(" ; ".join(reversed(names))) == names
    assert TASK.read(list(names)) == TASK.read(str(list(names))) == names
    flags = [float(label in names) for label in LABELS]
    assert Task.multilabel(LABELS, written="flags").read(flags) == names
    by_column = Task.multilabel(LABELS, written="columns")
    assert by_column.target_columns == tuple(LABELS)
    for yes, no in (("yes", "no"), (True, False), (1, 0), ("1.0", ""), ("x", None)):
        assert by_column.read({label: yes if label in names else no for label in LABELS}) == names
    example = Example({}, target=names)
    assert TASK.answer(example) == tuple(flags)
    assert TASK.decode(flags, example) == TASK.reference(example) == names


def test_nothing_is_a_row_without_labels_and_a_gap_in_the_rows_is_not():
    assert TASK.read("") == TASK.read(None) == TASK.read([]) == ()
    with pytest.raises(DataError) as caught:
        TASK.reference(Example({}))
    assert caught.value.code == "data.no_target"


def test_a_separator_is_never_guessed_but_named():
    with pytest.raises(DataError, match=r"task\.separator: ';'") as caught:
        Task.multilabel(LABELS).read("late;billing")
    assert caught.value.code == "data.unknown_label"


@pytest.mark.parametrize(
    ("settings", "value", "said"),
    [
        ({"written": "flags"}, [1, 0], "3 times 0 or 1"),
        ({"written": "flags"}, [1, 0, 2], "yes or no is needed"),
        ({"written": "columns"}, {"late": "maybe"}, "the column 'late' holds 'maybe'"),
        ({}, "[late", "not in the task"),
        ({}, "[late]", "no list"),
    ],
)
def test_bad_cells_are_named(settings, value, said):
    with pytest.raises(DataError, match=said):
        Task.multilabel(LABELS, **settings).read(value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"thresholds": (0.5,)}, "1 thresholds for 3 labels"),
        ({"written": "flags", "separator": ";"}, "separator is for cells"),
        ({"labels": ["one"]}, "at least two labels"),
        ({"deny": "yes"}, "affirm and deny are both 'yes'"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        parse_task({"kind": "multilabel", "labels": LABELS, **settings})


def test_thresholds_are_chosen_once_and_kept():
    p = [[0.3, 0.1, 0.4], [0.2, 0.2, 0.1]]
    rows = [Example({}, target=("late", "angry")), Example({}, target=("billing",))]
    settled = TASK.settled(p, rows)
    assert TASK.settles
    assert not settled.settles
    assert settled.settled([[0.9] * 3] * 2, rows) is settled
    again = parse_task(settled.model_dump(mode="json", by_alias=True))
    assert again == settled
    assert again.decode(p[0], rows[0]) == ("late", "angry")
    assert "late" in settled.choices


def test_confidence_is_that_of_all_decisions_together():
    assert TASK.confidence([0.9, 0.2, 0.5]) == pytest.approx(0.9 * 0.8 * 0.5)


def test_names_stand_once():
    assert names_in(["late", "late", None, 3.0]) == ("late", "3")


def f1(p, right, bar):
    said = p >= bar
    return 2 * (said & right).sum() / max(1, said.sum() + right.sum())


@given(st.integers(0, 10_000))
def test_a_threshold_has_the_best_f1_of_all(seed):
    rng = np.random.default_rng(seed)
    p = rng.integers(0, 12, size=(30, 2)) / 12
    right = rng.random((30, 2)) < 0.3 + 0.4 * p
    bars = choose_thresholds(p, right, fewest=1)
    for k, bar in enumerate(bars):
        if 0 < right[:, k].sum() < 30:
            best = max(f1(p[:, k], right[:, k], other) for other in np.arange(-0.5, 13) / 12)
            assert f1(p[:, k], right[:, k], bar) == pytest.approx(best)


def test_a_rare_label_takes_the_bar_of_all():
    p = np.linspace(0, 1, 40).reshape(20, 2)
    right = np.zeros((20, 2), dtype=bool)
    right[8:, 0] = True
    right[0, 1] = True
    own, shared = choose_thresholds(p, right, fewest=5)
    assert own == pytest.approx((p[7, 0] + p[8, 0]) / 2)
    assert shared == choose_thresholds(p, right, fewest=99)[0]
