"""What rows settle where a task leaves it out, and how sets and numbers go through layouts, counts and splits."""

import pytest

from softprompt.core.errors import DataError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.balance import balanced
from softprompt.data.dataset import Dataset
from softprompt.data.inference import infer_label_sets, infer_scale
from softprompt.data.page import DataPage
from softprompt.data.sources import load
from softprompt.data.splits import folds, k_shot, split

SETS = [("late",), ("late", "angry"), (), ("late",), ("billing",)]
TAGS = Dataset(
    tuple(Example({"text": f"message {i}"}, SETS[i % 5]) for i in range(50)), classes=("late", "billing", "angry")
)


@pytest.mark.parametrize(
    ("values", "said"),
    [(["a", "b", "2.5"], "no number"), ([1, 2.5], "from: 1, to: 2.5"), ([0, 90], "less than 11 apart"), ([3, 3], "3")],
)
def test_a_scale_that_cannot_be_told_has_to_be_written(values, said):
    with pytest.raises(DataError, match=said) as caught:
        infer_scale([{"x": value} for value in values], "x")
    assert caught.value.code == "data.bad_value"


def test_one_name_is_no_choice():
    with pytest.raises(DataError, match="only the label 'a;b'") as caught:
        infer_label_sets([{"x": "a;b"}, {"x": None}], "x")
    assert caught.value.code == "data.one_label"


def test_columns_of_yes_and_no_are_the_answer_and_never_read():
    rows = [{"text": "It broke", "late": 1, "angry": 0}, {"text": "Where is it", "late": 0, "angry": None}]
    task = Task.multilabel(["late", "angry"], written="columns")
    data = load(rows, task)
    assert [row.target for row in data] == [("late",), ()]
    assert data.fields() == ("text",)
    with pytest.raises(DataError) as caught:
        load(rows, task, template_fields=["text", "angry"])
    assert caught.value.code == "data.leaked_answer"
    with pytest.raises(DataError, match="angry"):
        load([{"text": "It broke", "late": 1}], task)


def test_a_row_with_several_labels_counts_for_each():
    assert TAGS.labels() == {"late": 30, "billing": 10, "angry": 10}
    page = DataPage.of({"train": TAGS}, Task.multilabel(TAGS.classes), count_tokens=len)
    assert page.splits["train"].sets == ((0, 10), (1, 30), (2, 10))
    assert any("1.00 in the mean: none in 10, 1 in 30, 2 in 10" in line for line in page.lines())


def test_splits_keep_the_share_of_every_label():
    parts = split(TAGS, validation=0.2, seed=3)
    assert parts["validation"].labels() == {"late": 6, "billing": 2, "angry": 2}
    for fold in folds(TAGS, k=5, seed=1):
        assert TAGS.select(fold.held_out).labels() == {"late": 6, "billing": 2, "angry": 2}


def test_k_shot_has_so_many_rows_of_every_label_and_grows():
    few, more = k_shot(TAGS, k=2), k_shot(TAGS, k=3)
    assert min(few.labels().values()) >= 2
    assert {row.content for row in few} <= {row.content for row in more}


def test_rows_that_are_all_alike_teach_nothing():
    rows = tuple(Example({"text": str(i)}, ("late", "angry")) for i in range(4))
    with pytest.raises(DataError, match="every row has the labels late, angry") as caught:
        Dataset(rows, classes=("late", "angry")).require_two_labels()
    assert caught.value.code == "data.one_label"
    assert TAGS.require_two_labels() is TAGS


def test_weights_by_label_need_one_label_a_row():
    from softprompt.core.errors import ConfigError

    with pytest.raises(ConfigError, match="one of fixed labels a row"):
        balanced(TAGS)


def test_a_number_counts_for_its_nearest_anchor():
    data = load([{"text": str(i), "score": i / 2} for i in range(2, 11)], Task.score([1, 3, 5]))
    assert data.labels() == {"1": 3, "3": 4, "5": 2}
    assert data[1].target == 1.5
