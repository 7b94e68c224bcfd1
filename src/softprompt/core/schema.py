"""What an extracted object looks like: a small part of JSON Schema, and the one way in which its objects are written.

An object has named fields in a fixed order; a field is a string, an integer, a number, a boolean, one of given values,
or an array of strings, and may be null where the schema says so. Its canonical text is compact JSON with every field in
the order of the schema, so equal objects have equal texts.

Knows nothing of rows, models and tokens. The words are those of JSON Schema 2020-12 (type, enum, properties, required,
items, maxLength, maxItems, description).
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal, Self, get_args

from softprompt.core.errors import ConfigError, DataError, nearest

__all__ = ["DIGITS", "Kind", "Property", "Schema", "quote"]

Kind = Literal["string", "integer", "number", "boolean", "enum", "array"]

#: Digits of a number, which a double keeps exactly on the way to text and back.
DIGITS = 15

MAX_LENGTH, MAX_ITEMS = 80, 8  #: characters of a string and strings of an array, where the schema says nothing
MOST_LENGTH, MOST_ITEMS, MOST_FIELDS = 2000, 64, 64  #: and at most

_TYPES = tuple(kind for kind in get_args(Kind) if kind != "enum")
_ALLOWED = "string, integer, number, boolean, an enum of values, an array of strings; each with null where wanted"
#: Words of a field, and those that say something to people only.
_WORDS = {"type", "enum", "nullable", "description", "title", "examples"}
_WORDS_OF = {"string": {"maxLength"}, "array": {"items", "maxItems"}}


def quote(text: str) -> str:
    """A string as canonical JSON: only what must be escaped is.

    >>> print(quote('a "b"'), quote("ü"))
    "a \\"b\\"" "ü"
    """
    return json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Property:
    """A field of the objects.

    Attributes:
        name: Its key.
        kind: What it holds.
        nullable: Whether it may be null.
        options: Of an enum.
        max_length: Characters of a string, or of each string of an array.
        max_items: Strings of an array.
        means: Description, for people.
    """

    name: str
    kind: Kind
    nullable: bool = False
    options: tuple[str | int | float | bool, ...] = ()
    max_length: int = MAX_LENGTH
    max_items: int = MAX_ITEMS
    means: str = ""

    def write(self, value: Any) -> str:
        """Canonical text of a value.

        Raises:
            ValueError: What is wrong with the value.

        >>> Property("n", "number").write(2.50), Property("n", "integer", nullable=True).write(None)
        ('2.5', 'null')
        """
        if value is None:
            if self.nullable:
                return "null"
            raise ValueError(f"is null, {self.wanted} is needed")
        if self.kind == "enum":
            if (said := _scalar(value)) in self.written_options:
                return said
            raise ValueError(f"is {_short(value)}, one of {', '.join(self.written_options)} is needed")
        if self.kind == "array":
            if not isinstance(value, (list, tuple)) or not all(isinstance(part, str) for part in value):
                raise ValueError(f"is {_short(value)}, a list of strings is needed")
            if len(value) > self.max_items:
                raise ValueError(f"holds {len(value)} strings, maxItems is {self.max_items}")
            return f"[{','.join(self._string(part) for part in value)}]"
        if self.kind == "string" and isinstance(value, str):
            return self._string(value)
        if self.kind == "boolean" and isinstance(value, bool):
            return _scalar(value)
        if self.kind in ("integer", "number") and isinstance(value, int | float) and not isinstance(value, bool):
            return _number(value, whole=self.kind == "integer")
        raise ValueError(f"is {_short(value)}, {self.wanted} is needed")

    @property
    def wanted(self) -> str:
        """What it holds, in words."""
        return {"enum": "one of its values", "array": "a list of strings", "integer": "an integer"}.get(
            self.kind, f"a {self.kind}"
        )

    @property
    def written_options(self) -> tuple[str, ...]:
        """Canonical texts of an enum's values."""
        return tuple(_scalar(option) for option in self.options)

    def _string(self, text: str) -> str:
        if len(text) > self.max_length:
            raise ValueError(f"has {len(text)} characters, maxLength is {self.max_length}")
        if any("\ud800" <= c <= "\udfff" for c in text):
            raise ValueError("holds half a surrogate pair")
        return quote(text)

    def of_cell(self, cell: Any) -> Any:
        """A cell of a table as the value that it stands for; as it is where it stands for none.

        >>> Property("n", "integer").of_cell(" 3 "), Property("n", "boolean").of_cell("True")
        (3, True)
        """
        if cell is None or (isinstance(cell, float) and math.isnan(cell)):
            cell = ""
        if isinstance(cell, str) and not cell.strip() and (self.nullable or self.kind != "string"):
            return None if self.nullable or self.kind != "array" else []
        if self.kind in ("string", "enum") and not isinstance(cell, str):
            cell = _scalar(cell) if isinstance(cell, int | float) else cell
        if not isinstance(cell, str):
            return cell
        known = {written: option for option, written in zip(self.options, self.written_options, strict=True)}
        if self.kind == "enum":
            return next((known[said] for said in (quote(cell.strip()), cell.strip()) if said in known), cell)
        if self.kind == "string":
            return cell
        try:
            return json.loads(cell.lower() if self.kind == "boolean" else cell)
        except ValueError:
            return cell

    def to_dict(self) -> dict[str, Any]:
        """As JSON Schema."""
        found: dict[str, Any] = {"type": self.kind} if self.kind != "enum" else {"enum": list(self.options)}
        if self.kind == "array":
            found |= {"items": {"type": "string", "maxLength": self.max_length}, "maxItems": self.max_items}
        if self.kind == "string":
            found["maxLength"] = self.max_length
        for word, value in (("nullable", self.nullable), ("description", self.means)):
            if value:
                found[word] = value
        return found


@dataclass(frozen=True)
class Schema:
    """The fields of an object, in the order in which they are written.

    >>> schema = Schema.parse({"customer": "string", "amount": "number or null", "urgency": ["low", "high"]})
    >>> schema.canonical({"urgency": "low", "customer": "Ada"})
    '{"customer":"Ada","amount":null,"urgency":"low"}'
    >>> Schema.parse(schema.to_dict()) == schema
    True
    """

    properties: tuple[Property, ...]

    @classmethod
    def parse(cls, data: Any) -> Self:
        """A schema from JSON Schema, or in short: field -> type (``integer``, ``string or null``) or its values.

        Raises:
            ConfigError: ``config.invalid`` with the path of what cannot be used, and what is allowed.

        >>> Schema.parse({"type": "object", "properties": {"place": {"type": "object"}}})
        Traceback (most recent call last):
        softprompt.core.errors.ConfigError: schema.properties.place.type: 'object' is no type of a field; ...
        """
        if isinstance(data, cls):
            return data
        if not isinstance(data, Mapping) or not data:
            raise _fault("schema", f"a mapping of fields is needed, got {_short(data)}")
        if not isinstance(data.get("properties"), Mapping):
            return cls._of(data, None, "schema")
        known = {"type", "properties", "required", "additionalProperties", "title", "description", "$schema", "$id"}
        for word in data:
            if word not in known:
                raise _fault(f"schema.{word}", f"this word cannot be used here; {nearest(str(word), known)}")
        if data.get("type", "object") != "object" or data.get("additionalProperties") not in (None, False):
            raise _fault("schema", "an object without additional properties is needed")
        required = data.get("required")
        if required is not None:
            if not isinstance(required, Sequence) or isinstance(required, str):
                raise _fault("schema.required", f"a list of fields is needed, got {_short(required)}")
            for name in required:
                if name not in data["properties"]:
                    raise _fault("schema.required", f"{name!r} is no field; {nearest(str(name), data['properties'])}")
        return cls._of(data["properties"], required, "schema.properties")

    @classmethod
    def _of(cls, fields: Mapping[Any, Any], required: Sequence[str] | None, path: str) -> Self:
        if not 0 < len(fields) <= MOST_FIELDS:
            raise _fault(path, f"an object has 1 to {MOST_FIELDS} fields, got {len(fields)}")
        found = []
        for name, given in fields.items():
            if not isinstance(name, str) or not name.strip():
                raise _fault(path, f"a field needs a name, got {_short(name)}")
            found.append(
                _property(name, given, f"{path}.{name}", optional=required is not None and name not in required)
            )
        return cls(tuple(found))

    def to_dict(self) -> dict[str, Any]:
        """As JSON Schema."""
        return {
            "type": "object",
            "properties": {one.name: one.to_dict() for one in self.properties},
            "required": list(self.names),
            "additionalProperties": False,
        }

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Keys, in order."""
        return tuple(one.name for one in self.properties)

    def canonical(self, value: Any) -> str:
        """Canonical text of an object; a field that is absent is null.

        Raises:
            DataError: ``data.not_in_schema`` with the field and the reason.

        >>> Schema.parse({"n": "integer"}).canonical({"n": 2.5})
        Traceback (most recent call last):
        softprompt.core.errors.DataError: the field 'n' is 2.5, an integer is needed [data.not_in_schema]
        """
        if not isinstance(value, Mapping):
            raise DataError("data.not_in_schema", f"the answer is {_short(value)}, an object is needed")
        for name in value:
            if name not in self.names:
                message = f"the field {name!r} is not in the schema; {nearest(str(name), self.names)}"
                raise DataError("data.not_in_schema", message)
        parts = []
        for one in self.properties:
            try:
                parts.append(f"{quote(one.name)}:{one.write(value.get(one.name))}")
            except ValueError as error:
                missing = one.name not in value
                reason = f"is not there, {one.wanted} is needed" if missing else str(error)
                raise DataError("data.not_in_schema", f"the field {one.name!r} {reason}") from None
        return f"{{{','.join(parts)}}}"

    def take(self, value: Any) -> str:
        """Canonical text of an object, or of a JSON text of one.

        Raises:
            DataError: ``data.not_in_schema``.

        >>> Schema.parse({"n": "integer"}).take(' {"n": 7} ')
        '{"n":7}'
        """
        if isinstance(value, str):
            try:
                value = json.loads(value, object_pairs_hook=_no_twins)
            except (ValueError, RecursionError) as error:
                raise DataError("data.not_in_schema", f"the answer is no JSON object: {error}") from None
        return self.canonical(value)

    def read(self, text: str) -> dict[str, Any]:
        """The object of a text.

        Raises:
            DataError: ``data.not_in_schema``.
        """
        found: dict[str, Any] = json.loads(self.take(text))
        return found

    def of_cells(self, cells: Mapping[str, Any]) -> dict[str, Any]:
        """The object that the cells of a table stand for, by field.

        >>> Schema.parse({"n": "integer?", "who": "string"}).of_cells({"n": "", "who": 7})
        {'n': None, 'who': '7'}
        """
        return {one.name: one.of_cell(cells.get(one.name)) for one in self.properties}


def _property(name: str, given: Any, path: str, *, optional: bool) -> Property:
    if isinstance(given, str):
        plain = given.removesuffix("?").removesuffix(" or null").strip()
        given = {"type": plain, "nullable": plain != given.strip()}
        given = given | {"items": {"type": "string"}} if given["type"] == "array" else given
    elif isinstance(given, list | tuple):
        given = {"enum": list(given)}
    if not isinstance(given, Mapping):
        raise _fault(path, f"{_short(given)} is no field; allowed: {_ALLOWED}")
    kinds = given.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    nullable = optional or "null" in kinds or given.get("nullable", False)
    kinds = [kind for kind in kinds if kind != "null"]
    if "enum" in given:
        return _enum(name, given, path, nullable=bool(nullable))
    if len(kinds) != 1 or kinds[0] not in _TYPES:
        came = " or ".join(map(repr, kinds)) or "nothing"
        raise _fault(f"{path}.type", f"{came} is no type of a field; allowed: {_ALLOWED}")
    kind: Kind = kinds[0]
    _only(given, _WORDS | _WORDS_OF.get(kind, set()), path)
    strings = given
    if kind == "array":
        strings = given.get("items", {})
        if not isinstance(strings, Mapping) or strings.get("type") != "string":
            raise _fault(f"{path}.items", f"{_short(strings)}: an array holds strings")
        _only(strings, {"type", "maxLength", "description"}, f"{path}.items")
    return Property(
        name,
        kind,
        bool(nullable),
        max_length=_bound(strings, "maxLength", MAX_LENGTH, MOST_LENGTH, path),
        max_items=_bound(given, "maxItems", MAX_ITEMS, MOST_ITEMS, path),
        means=str(given.get("description", "")),
    )


def _enum(name: str, given: Mapping[str, Any], path: str, *, nullable: bool) -> Property:
    _only(given, _WORDS, path)
    options = given["enum"]
    if not isinstance(options, list | tuple) or not options:
        raise _fault(f"{path}.enum", f"a list of values is needed, got {_short(options)}")
    kept = tuple(option for option in options if option is not None)
    for option in kept:
        if not isinstance(option, str | int | float):
            raise _fault(f"{path}.enum", f"{_short(option)}: values are strings, numbers, booleans or null")
    try:
        written = [_scalar(option) for option in kept]
    except ValueError as error:
        raise _fault(f"{path}.enum", f"a value {error}") from None
    if len(set(written)) < len(written) or not written:
        raise _fault(f"{path}.enum", "a value stands twice" if written else "a value that is not null is needed")
    means = str(given.get("description", ""))
    return Property(name, "enum", nullable or len(kept) < len(options), options=kept, means=means)


def _only(given: Mapping[str, Any], words: set[str], path: str) -> None:
    for word in given:
        if word not in words:
            raise _fault(f"{path}.{word}", f"this word cannot be used here; {nearest(str(word), words)}")


def _bound(given: Mapping[str, Any], word: str, default: int, most: int, path: str) -> int:
    value = given.get(word, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise _fault(f"{path}.{word}", f"a number from 1 to {most} is needed, got {_short(value)}")
    return value


def _fault(path: str, message: str) -> ConfigError:
    return ConfigError("config.invalid", f"{path}: {message}", cure="see docs/task-kinds.md")


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number(value, whole=False)
    return quote(value) if isinstance(value, str) else _short(value)


def _number(value: int | float, *, whole: bool) -> str:
    """At most :data:`DIGITS` digits, no exponent; what is finer than a double keeps is rounded away."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"is {value}, which JSON has no number for")
    if whole and value != int(value):
        raise ValueError(f"is {value!r}, an integer is needed")
    exact = Decimal(value) if isinstance(value, int) else Decimal(f"{value:.{DIGITS}g}")
    text = format(exact, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    text = "0" if text == "-0" else text
    if sum(c.isdigit() for c in text) > DIGITS:
        raise ValueError(f"is {value!r}: a number has at most {DIGITS} digits")
    return text


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the field {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return found


def _short(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
