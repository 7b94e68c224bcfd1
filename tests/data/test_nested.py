from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.errors import DataError
from softprompt.core.tasks import Task
from softprompt.data.inference import infer_labels
from softprompt.data.nested import NOWHERE, follow, paths_among
from softprompt.data.sources import load


def trees(alphabet: str) -> st.SearchStrategy[Any]:
    keys = st.text(alphabet, min_size=1, max_size=3)
    return st.dictionaries(keys, st.recursive(st.integers(), lambda below: st.dictionaries(keys, below)), max_size=4)


def leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(".".join(path), value)]
    return [leaf for key, below in value.items() for leaf in leaves(below, (*path, key))]


@given(trees("ab"))
def test_every_leaf_is_at_its_path(tree: dict[str, Any]) -> None:
    assert all(follow(tree, path) == value for path, value in leaves(tree))
    assert follow(tree, "a.c") is NOWHERE


@given(trees("ab."))
def test_keys_with_dots_can_be_followed(tree: dict[str, Any]) -> None:
    assert all(follow(tree, path) is not NOWHERE for path, _ in leaves(tree))


def test_a_literal_column_wins_for_all_rows() -> None:
    rows = [{"a.b": 1}, {"a": {"b": 2}}]
    assert paths_among({"a.b"}, rows) == (
        set(),
        ["the column 'a.b' is read as it stands; the path a → b leads somewhere too"],
    )


def test_paths_are_columns_and_the_answers_object_is_none() -> None:
    rows = [{"meta": {"subject": "Parcel", "topic": name}, "body text": "x"} for name in ("a", "b")]
    task = Task.classify(infer_labels(rows, "meta.topic"), target="meta.topic")
    data = load(rows, task, columns={"text": "meta.subject", "body": "body text"})
    assert data[0].fields == {"text": "Parcel", "body": "x"}
    assert [row.target for row in data] == ["a", "b"]
    with pytest.raises(DataError, match=r"field \{meta\}"):
        load(rows, task, template_fields={"meta"})
    with pytest.raises(DataError, match=r"'meta.topik' for the answer is not in the data"):
        infer_labels(rows, "meta.topik")


def test_what_is_read_otherwise_is_told() -> None:
    rows = [{"a.b": "literal", "a": {"b": "path"}, "label": name} for name in ("x", "y")]
    data = load(rows, Task.classify(["x", "y"]), template_fields={"a.b"})
    assert data[0].fields == {"a.b": "literal"}
    assert len(data.notes) == 1
