"""Settings files: YAML whose plain words stay words.

YAML 1.1 turns ``yes``, ``no``, ``on`` and ``off`` into booleans, ``12:30`` into 750 and ``2024-01-01`` into a date: a
list of labels ``[yes, no]`` would arrive as ``[True, False]``. Here the core schema of YAML 1.2 holds
(https://yaml.org/spec/1.2.2, section 10.3): null, true and false, decimal, hexadecimal and octal numbers, numbers
with exponents; all else is text, and so are numbers with a leading zero and all keys. A key that stands twice is an
error, since one of the two would silently win.

Knows nothing of settings: what the keys mean is checked by :mod:`softprompt.app.config`.
"""

import math
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from softprompt.core.errors import ConfigError

__all__ = ["parse_yaml", "read_yaml"]

#: Names of files that hold rows, given where settings are wanted.
_OF_ROWS = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".xlsx", ".parquet"})


class _Loader(yaml.SafeLoader):
    """Safe, and with the scalars of the core schema only."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own attribute

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} stands twice", key.start_mark
                    )
                seen.add(key.value)
                key.tag = "tag:yaml.org,2002:str"  # a label called 1 or true is a name as well
        return super().construct_mapping(node, deep)


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node), 0)


def _construct_float(loader: _Loader, node: yaml.ScalarNode) -> float:
    text = loader.construct_scalar(node).lower().lstrip("+")
    return {".inf": math.inf, "-.inf": -math.inf, ".nan": math.nan}.get(text) or float(text)


_SCALARS = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
)
for _name, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(rf"^(?:{_pattern})$"), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)


def parse_yaml(text: str, *, where: str = "") -> Any:
    """The value of one YAML document.

    Args:
        text: The document.
        where: Named in front of the message, e.g. the file.

    Raises:
        ConfigError: ``config.unreadable``, with line and column.

    >>> parse_yaml("labels: [yes, no, 12:30, 2024-01-01, null]")
    {'labels': ['yes', 'no', '12:30', '2024-01-01', None]}
    >>> parse_yaml("rate: 1e-3, 0.5"), parse_yaml("[1e-3, 0x10, true]")
    ({'rate': '1e-3, 0.5'}, [0.001, 16, True])
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader with fewer scalars
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark and where else where
        reason = error.problem or error.context or "it cannot be parsed"
        raise _unreadable(f"this is no valid YAML: {reason}", place) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _unreadable(f"a character that YAML does not allow, #x{error.character:04x}", f"{where}:{line}") from None
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"this is no valid YAML: {error}", where) from None


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The settings in a YAML file (JSON is YAML too): a mapping of keys.

    Raises:
        ConfigError: ``config.unreadable``: no such file, a folder, rows, no text, no YAML (with line and column), no
            mapping.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise _unreadable("there is no such file", str(path), cure=_lookalikes(path)) from None
    except IsADirectoryError:
        raise _unreadable("this is a folder, a file is needed", str(path), cure=_lookalikes(path / "x")) from None
    except OSError as error:
        raise _unreadable(f"the file cannot be read: {error.strerror}", str(path)) from None
    if path.suffix.lower() in _OF_ROWS:
        cure = f"softprompt init {path} writes settings for them; or name them with --train"
        raise _unreadable("these are rows by their name, settings are YAML", str(path), cure=cure)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _unreadable("this is no UTF-8 text", f"{path}:{line}", cure="name a YAML file of settings") from None
    data = parse_yaml(text, where=str(path))
    if not isinstance(data, dict):
        came = "nothing" if data is None else f"a {type(data).__name__}"
        cure = "write keys, for example: data: {train: rows.csv}"
        raise _unreadable(f"settings are a mapping of keys, the file holds {came}", str(path), cure=cure)
    return data


def _unreadable(message: str, where: str, *, cure: str | None = None) -> ConfigError:
    error = ConfigError("config.unreadable", message, cure=cure)
    return error.at(where) if where else error


def _lookalikes(path: Path) -> str:
    """The settings files beside a path that is none."""
    folder = path.parent
    names = sorted(p.name for p in folder.iterdir() if p.suffix in {".yaml", ".yml"})[:8] if folder.is_dir() else []
    return f"{folder} holds {', '.join(names)}" if names else "check the path"
