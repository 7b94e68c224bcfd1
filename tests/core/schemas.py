"""Random schemas and objects of them."""

from typing import Any

from hypothesis import strategies as st

from softprompt.core.schema import DIGITS, Property, Schema

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5).filter(str.strip)
KINDS = st.sampled_from(["string", "integer", "number", "boolean", "enum", "array"])
OPTIONS = st.one_of(st.text(max_size=4), st.booleans(), st.integers(-50, 50)).filter(
    lambda text: not isinstance(text, str) or text.isprintable()
)
INTEGERS = st.integers(-(10**DIGITS) + 1, 10**DIGITS - 1)
NUMBERS = st.one_of(INTEGERS, st.decimals(-9999, 9999, places=4).map(float))


@st.composite
def schemas(draw: st.DrawFn, *, most: int = 4) -> dict[str, Any]:
    """A schema of a few fields with short strings, as plain data."""
    fields: dict[str, Any] = {}
    for name in draw(st.lists(NAMES, min_size=1, max_size=most, unique=True)):
        kind = draw(KINDS)
        found: dict[str, Any] = {"type": kind, "nullable": draw(st.booleans())}
        length = draw(st.integers(1, 6))
        if kind == "enum":
            found["enum"] = draw(st.lists(OPTIONS, min_size=1, max_size=4, unique_by=repr))
            del found["type"]
        if kind == "string":
            found["maxLength"] = length
        if kind == "array":
            found |= {"items": {"type": "string", "maxLength": length}, "maxItems": draw(st.integers(1, 3))}
        fields[name] = found
    return {"type": "object", "properties": fields}


def values(field: Property) -> st.SearchStrategy[Any]:
    """Values of a field."""
    strings = st.text(st.characters(codec="utf-8"), max_size=field.max_length)
    found: dict[str, st.SearchStrategy[Any]] = {
        "string": strings,
        "integer": INTEGERS,
        "number": NUMBERS,
        "boolean": st.booleans(),
        "array": st.lists(strings, max_size=field.max_items),
    }
    value = st.sampled_from(field.options) if field.kind == "enum" else found[field.kind]
    return st.none() | value if field.nullable else value


def objects(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    """Objects of a schema."""
    return st.fixed_dictionaries({field.name: values(field) for field in schema.properties})
