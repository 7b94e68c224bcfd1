"""Schemas of extracted objects: one canonical text an object, and reasons for everything else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.errors import ConfigError, DataError
from softprompt.core.schema import Schema
from tests.core.schemas import objects, schemas

INVOICE = Schema.parse(
    {
        "type": "object",
        "properties": {
            "customer": {"type": "string", "maxLength": 20},
            "amount": {"type": ["number", "null"]},
            "count": "integer",
            "paid": "boolean",
            "urgency": {"enum": ["low", "high", 3]},
            "items": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
        },
    }
)
GOOD: dict[str, Any] = {"customer": "Ada", "amount": None, "count": 2, "paid": True, "urgency": "low", "items": []}


@given(st.data())
def test_canonical_text_is_the_object_again(data: st.DataObject) -> None:
    schema = Schema.parse(data.draw(schemas()))
    value = data.draw(objects(schema))
    text = schema.canonical(value)
    assert json.loads(text) == value
    assert schema.take(text) == text == schema.canonical(dict(reversed(value.items())))
    assert Schema.parse(json.loads(json.dumps(schema.to_dict()))) == schema


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("customer", 7, "a string is needed"),
        ("customer", "x" * 21, "has 21 characters, maxLength is 20"),
        ("customer", "\ud800", "half a surrogate pair"),
        ("amount", "3", "a number is needed"),
        ("amount", True, "a number is needed"),
        ("amount", float("inf"), "JSON has no number"),
        ("amount", 1e20, "at most 15 digits"),
        ("count", 2.5, "an integer is needed"),
        ("count", None, "is null, an integer is needed"),
        ("paid", "true", "a boolean is needed"),
        ("urgency", "LOW", 'one of "low", "high", 3 is needed'),
        ("items", ["a", "b", "c"], "holds 3 strings, maxItems is 2"),
        ("items", "a", "a list of strings is needed"),
        ("items", [1], "a list of strings is needed"),
    ],
)
def test_a_wrong_field_is_named_with_the_reason(field: str, value: Any, reason: str) -> None:
    with pytest.raises(DataError, match="not_in_schema") as caught:
        INVOICE.canonical(GOOD | {field: value})
    assert f"the field {field!r}" in caught.value.message
    assert reason in caught.value.message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hello", "no JSON object"),
        ("[1]", "an object is needed"),
        ('{"count": 1, "count": 2}', "'count' stands twice"),
        (json.dumps(GOOD | {"more": 1}), "'more' is not in the schema"),
        (json.dumps({"customer": "Ada"}), "'count' is not there"),
    ],
)
def test_a_text_that_is_no_such_object(text: str, reason: str) -> None:
    with pytest.raises(DataError, match="not_in_schema") as caught:
        INVOICE.take(text)
    assert reason in caught.value.message


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ([], "schema:"),
        ({}, "schema:"),
        ({"a": "date"}, "schema.a.type: 'date'"),
        ({"a": {"type": "string", "pattern": "x"}}, "schema.a.pattern"),
        ({"a": {"type": "string", "verbatim": True}}, "schema.a.verbatim: this word cannot be used here; known: "),
        ({"a": {"type": ["string", "integer"]}}, "schema.a.type: 'string' or 'integer'"),
        ({"a": {"type": "array", "items": {"type": "integer"}}}, "schema.a.items"),
        ({"a": {"type": "array"}}, "schema.a.items"),
        ({"a": {"enum": []}}, "schema.a.enum"),
        ({"a": {"enum": ["x", "x"]}}, "schema.a.enum: a value stands twice"),
        ({"a": {"enum": [["x"]]}}, "schema.a.enum"),
        ({"a": {"type": "string", "maxLength": 0}}, "schema.a.maxLength"),
        ({"a": 7}, "schema.a:"),
        ({"properties": {"a": "string"}, "allOf": []}, "schema.allOf"),
        ({"properties": {"a": "string"}, "additionalProperties": True}, "schema:"),
        ({"properties": {"a": "string"}, "required": ["b"]}, "schema.required: 'b' is no field"),
    ],
)
def test_what_a_schema_cannot_say_is_refused_with_its_path(schema: Any, path: str) -> None:
    with pytest.raises(ConfigError, match="invalid") as caught:
        Schema.parse(schema)
    assert caught.value.message.startswith(path)


def test_a_field_that_is_not_required_may_be_null() -> None:
    schema = Schema.parse({"properties": {"a": "integer", "b": "string"}, "required": ["a"]})
    assert schema.canonical({"a": 1}) == '{"a":1,"b":null}'


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("integer", "3", 3),
        ("integer?", float("nan"), None),
        ("number", " 2.50 ", 2.5),
        ("boolean", "TRUE", True),
        ("string", 7.0, "7"),
        ("string", " ", " "),
        ("string?", " ", None),
        ("array", '["a"]', ["a"]),
        ("array", "", []),
        (["low", "high"], " low ", "low"),
        ([1, 2], "2", 2),
        ("integer", "three", "three"),
    ],
)
def test_cells_of_a_table_stand_for_values(kind: Any, cell: Any, value: Any) -> None:
    assert Schema.parse({"a": kind}).of_cells({"a": cell}) == {"a": value}
