import pytest

from softprompt.core.errors import DataError
from softprompt.core.records import Example
from softprompt.data.dataset import Dataset

DATA = Dataset(
    tuple(Example({"text": t}, label) for t, label in zip("abcd", "xxyx", strict=True)), classes=("x", "y", "z")
)


def test_it_is_a_sequence() -> None:
    assert len(DATA) == 4
    assert DATA[-1].fields["text"] == "d"
    assert list(DATA[1:3]) == [DATA[1], DATA[2]]
    assert DATA[1] in DATA
    assert DATA[:].hash == DATA.hash


def test_labels_count_every_class_of_the_task() -> None:
    assert DATA.labels() == {"x": 3, "y": 1, "z": 0}
    assert Dataset(DATA.rows).labels() == {}


def test_the_hash_counts_what_is_learnt() -> None:
    row = DATA[0]
    changed = [
        Example({"text": "A"}, "x"),
        Example({"texts": "a"}, "x"),
        Example({"text": "a"}, "y"),
        Example({"text": "a"}, "x", weight=2.0),
        Example({"text": "a"}, "x", group="g"),
        Example({"text": "a"}, "x", candidates=("x", "y")),
        Example({"text": "a"}, ("x",)),
    ]
    hashes = {Dataset((other,)).hash for other in [row, *changed]}
    assert len(hashes) == 1 + len(changed)
    assert Dataset((Example({"text": "a"}, "x", id="7", source="f:1"),), name="n").hash == Dataset((row,)).hash
    assert Dataset((Example({"text": "a"}, ["x"]),)).hash == Dataset((changed[-1],)).hash


def test_one_label_is_nothing_to_learn() -> None:
    assert DATA.require_two_labels() is DATA
    with pytest.raises(
        DataError, match=r"every row has the label 'x', at least two of x, y, z are needed \[data.one_label"
    ):
        DATA.select([0, 1]).require_two_labels()
    with pytest.raises(DataError, match="no row has a label"):
        Dataset((Example({"text": "a"}),), classes=("x", "y")).require_two_labels()
    free = Dataset((Example({"text": "a"}, "a summary"),))
    assert free.require_two_labels() is free
