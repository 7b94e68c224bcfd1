"""JSON to records: one object a line, or one document with its rows somewhere inside, each with its line.

Where the rows of a document stand is a path (``data.items``): found when only one list of objects could be meant, and
asked for when several could.

Knows nothing of encodings, files or what the rows mean.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from softprompt.core.errors import DataError, nearest
from softprompt.data.dataset import BadRow
from softprompt.data.entries import Entry, Record

__all__ = ["find_rows", "is_json_lines", "read_json", "read_json_lines"]

MAX_DEPTH = 5  #: below which lists are parts of rows


def read_json_lines(lines: Iterable[str], name: str) -> Iterator[Entry]:
    r"""One JSON object a line; blank lines are passed over.

    Args:
        lines: Split at line feeds alone: U+2028 may stand inside a JSON string.
        name: For messages; the line is added.

    >>> [entry.source for entry in read_json_lines(['{"a": 1}\n', '\n', '{"a": }\n'], "x")]
    ['x:1', 'x:3']
    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _json_line(line.strip(), f"{name}:{number}")


def _json_line(line: str, source: str) -> Entry:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        return BadRow(source, "data.bad_json", f"the line is no valid JSON: {_json_reason(error)}", line)
    return _object(values, source)


def _object(values: Any, source: str) -> Entry:
    if isinstance(values, dict):
        return Record(source, values)
    return BadRow(
        source,
        "data.bad_json",
        f'the row is of type {type(values).__name__}, an object {{"text": ...}} is needed',
        values,
    )


def _json_reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg[0].lower() + error.msg[1:]} at column {error.colno}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def is_json_lines(text: str) -> bool:
    """Whether a text is several objects or a broken one, said line by line, rather than one document."""
    if not text[_skip(text, 0) :].startswith("{"):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return True
    return False


def find_rows(text: str, *, name: str, rows: str | None = None) -> str:
    """The path to the rows of a document.

    That is what is asked for, else the only list of objects at its top, else the only one anywhere in it; ``""`` is the
    document itself, where it is a list or has none.

    Args:
        text: A document that is no JSON lines.
        name: For messages.
        rows: What the user says.

    Raises:
        DataError: ``data.no_rows_there``: no list of objects stands at the path, or there are several.

    >>> find_rows('{"version": 1, "data": [{"a": 1}]}', name="a.json")
    'data'
    >>> find_rows('[{"a": 1}]', name="a.json")
    ''
    """
    start = _skip(text, 0)
    if text[start : start + 1] == "[" and not rows:
        return ""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return rows or ""  # said where it is read, with the line
    lists = _lists(whole)
    if rows:
        if rows not in lists:
            known = nearest(rows, lists) if lists else "there is none in the file"
            raise DataError("data.no_rows_there", f"no list of objects stands at {rows!r}; {known}").at(name)
        return rows
    at_top = [str(key) for key, value in whole.items() if _is_table(value)] if isinstance(whole, dict) else []
    if len(at_top) == 1:
        return at_top[0]
    below = [path for path in lists if path.count(".") < MAX_DEPTH]
    if len(below) > 1:
        reason = f"several lists could be the rows: {', '.join(below[:8])}"
        cure = f"say which with --read rows={below[0]}"
        raise DataError("data.no_rows_there", reason, cure=cure).at(name)
    return below[0] if below else ""


def _lists(value: Any, path: str = "") -> list[str]:
    """Paths of the lists of objects below a value, the outermost of each branch."""
    if not isinstance(value, dict):
        return []
    found = []
    for key, below in value.items():
        here = f"{path}.{key}" if path else str(key)
        found += [here] if _is_table(below) else _lists(below, here)
    return found


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def read_json(text: str, name: str, *, rows: str = "") -> Iterator[Entry]:
    """The rows of one document.

    Args:
        text: The document.
        name: For messages; the line is added.
        rows: Path to the list, see :func:`find_rows`; ``""``: the document is the list, or one row.

    Raises:
        DataError: ``data.bad_json``, with the line.

    >>> list(read_json('{"data": [{"a": 1},\\n{"a": 2}]}', "x", rows="data"))[1]
    Record(source='x:2', values={'a': 2})
    """
    start = _skip(text, 0)
    for key in _keys(rows, text, start):
        start = _member(text, start, key)
    if text[start : start + 1] == "{":
        yield _object(json.loads(text), f"{name}:1")
    elif text[start : start + 1] == "[":
        yield from _elements(text, start + 1, name)
    else:
        raise DataError("data.bad_json", "the file is neither a JSON list of objects nor JSON lines").at(name)


def _keys(rows: str, text: str, start: int) -> list[str]:
    """The keys on a path; a key with dots in it is one key where the document has it."""
    keys: list[str] = []
    value = json.loads(text) if rows and text[start : start + 1] == "{" else None
    parts = rows.split(".") if rows else []
    while parts and isinstance(value, dict):
        for n in range(len(parts), 0, -1):
            if (key := ".".join(parts[:n])) in value:
                keys.append(key)
                parts, value = parts[n:], value[key]
                break
        else:
            break
    return keys


def _member(text: str, position: int, key: str) -> int:
    """Where the value of ``key`` begins in the valid JSON object that opens at ``position``."""
    decoder = json.JSONDecoder()
    found_at = -1
    while text[position] != "}":
        if text[_skip(text, position + 1)] == "}":
            break
        found, position = decoder.raw_decode(text, _skip(text, position + 1))  # behind "{" or ","
        position = _skip(text, _skip(text, position) + 1)  # behind ":"
        if found == key:
            found_at = position  # the last one of equal keys counts, as for every parser of the standard library
        position = _skip(text, decoder.raw_decode(text, position)[1])
    return found_at


def _elements(text: str, position: int, name: str) -> Iterator[Entry]:
    """Elements of the JSON list that opens just before ``position``, each with the line on which it begins."""
    decoder = json.JSONDecoder()
    line, counted = 1, 0
    while True:
        position = _skip(text, position)
        line, counted = line + text.count("\n", counted, position), position
        if text[position : position + 1] == "]":
            return
        try:
            values, position = decoder.raw_decode(text, position)
            position = _skip(text, position)
            mark = text[position : position + 1]
            if mark not in {",", "]"}:
                raise json.JSONDecodeError("a comma or the end of the list is missing", text, position)
        except (ValueError, RecursionError) as error:
            number = error.lineno if isinstance(error, json.JSONDecodeError) else line
            reason = f"the file is no valid JSON: {_json_reason(error)}"
            raise DataError("data.bad_json", reason).at(f"{name}:{number}") from None
        yield _object(values, f"{name}:{line}")
        position += mark == ","


def _skip(text: str, position: int) -> int:
    """The next position that is no JSON white space."""
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position
