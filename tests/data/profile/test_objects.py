"""Columns of objects: the schema that is found accepts every object that it was found from."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.schema import Schema
from softprompt.data.entries import Record
from softprompt.data.profile.objects import holds_tags, objects_in, schema_of

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-999, 999), st.sampled_from([0.5, 2.25]), st.text("ab", max_size=90),
    st.lists(st.text("ab", max_size=3), max_size=10), st.just({"deep": 1}),
)  # fmt: skip
OBJECTS = st.lists(st.dictionaries(st.sampled_from("xyz"), VALUES, min_size=1), min_size=1, max_size=12)


@given(OBJECTS)
def test_a_schema_accepts_what_it_was_found_from(objects: list[dict[str, Any]]) -> None:
    found = schema_of(objects)
    if found:
        schema = Schema.parse(found)
        for one in objects:
            schema.canonical({name: value for name, value in one.items() if name in found})


def test_few_texts_in_many_rows_are_the_values_of_a_field() -> None:
    assert schema_of([{"a": "xy"[n % 2]} for n in range(16)]) == {"a": ["x", "y"]}
    assert schema_of([{"a": "xy"[n % 2]} for n in range(15)]) == {"a": "string"}


@pytest.mark.parametrize(("cells", "count"), [(['{"n": 1}', ""], 1), (["{text}", "hi"], 0), ([{"n": 1}, "hi"], 0)])
def test_a_column_of_objects_holds_little_else(cells: list[Any], count: int) -> None:
    assert len(objects_in([Record("", {"a": cell}) for cell in cells], "a")) == count


@pytest.mark.parametrize(
    ("cells", "tags"),
    [([["O", "B-PER"]], True), (["O O I-LOC"], True), ([["O", "O"]], False), (["B-1"], False), (["O dear"], False)],
)
def test_tags_of_words_are_told_from_labels(cells: list[Any], tags: bool) -> None:
    assert holds_tags([Record("", {"a": cell}) for cell in cells], "a") is tags
