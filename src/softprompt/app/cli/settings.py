"""From a settings file and flags to one mapping of settings: flags win over the file, ``--set`` over the named flags.

Only spelling is checked here (``KEY=VALUE``, times); what the keys mean and which exist, the settings classes say.
"""

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softprompt.app.cli.failures import usage_error

if TYPE_CHECKING:
    from softprompt.app.config import RunConfig

__all__ = ["parse_labels", "parse_seconds", "parse_sets", "read_config", "with_changes"]

#: A section that may be written as one word, and the key that the word stands for.
SHORT_FORMS: Mapping[str, str] = {"model": "name", "template": "text", "method": "name", "teacher": "name"}

_TIME = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(s|sec|m|min|h)?", re.IGNORECASE)


def parse_seconds(text: str) -> float:
    """A time span in seconds.

    Raises:
        ConfigError: ``config.usage``.

    >>> parse_seconds("90"), parse_seconds("1.5h"), parse_seconds("10 min")
    (90.0, 5400.0, 600.0)
    """
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise usage_error(f"{text!r} is no time", cure="write seconds, or 90s, 10m, 1.5h")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[(found[2] or "")[:1].lower()]


def parse_labels(text: str) -> list[str] | dict[str, str]:
    """Labels as one writes them in a flag: names with commas between them, or ``name=answer text``.

    Raises:
        ConfigError: ``config.usage`` when only some have an answer text.

    >>> parse_labels("good, bad"), parse_labels("B_01=billing,D_02=delivery")
    (['good', 'bad'], {'B_01': 'billing', 'D_02': 'delivery'})
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    said = [part.split("=", 1) for part in parts]
    if not any(len(pair) == 2 for pair in said):
        return parts
    if bare := [pair[0] for pair in said if len(pair) == 1]:
        message = f"--labels: {bare[0]!r} has no answer text and others have"
        raise usage_error(message, cure="write name=text for all labels or for none")
    return {name.strip(): say.strip() for name, say in said}


def parse_sets(items: Iterable[str]) -> dict[str, Any]:
    """``KEY=VALUE`` of ``--set``: dots go down, the value is YAML.

    Raises:
        ConfigError: ``config.usage``, ``config.unreadable``.

    >>> parse_sets(["training.steps=100", "task.labels=[yes, no]", "notes="])
    {'training.steps': 100, 'task.labels': ['yes', 'no'], 'notes': ''}
    """
    from softprompt.app.yaml import parse_yaml

    changes: dict[str, Any] = {}
    for item in items:
        key, mark, value = item.partition("=")
        key = key.strip()
        if not mark or not all(key.split(".")):
            cure = "write KEY=VALUE, for example --set training.steps=100"
            raise usage_error(f"--set {item!r} is no setting", cure=cure)
        changes[key] = parse_yaml(value, where=f"--set {key}") if value.strip() else ""
    return changes


def with_changes(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A nested mapping with the values at dotted keys replaced.

    >>> with_changes({"model": "embedded", "name": "a"}, {"model.dtype": "bf16", "data.train": "rows.csv"})
    {'model': {'name': 'embedded', 'dtype': 'bf16'}, 'name': 'a', 'data': {'train': 'rows.csv'}}
    """
    result = deepcopy(dict(data))
    for path, value in changes.items():
        place = result
        *parents, last = path.split(".")
        for parent in parents:
            below = place.get(parent)
            if isinstance(below, str) and parent in SHORT_FORMS:
                below = {SHORT_FORMS[parent]: below}
            place[parent] = below if isinstance(below, dict) else {}
            place = place[parent]
        place[last] = value
    return result


def read_config(path: Path | None, changes: Mapping[str, Any]) -> "RunConfig":
    """The settings of a run from a file, from flags, or from both.

    A run without a name is named after its file, or after its rows and what is asked of them.

    Args:
        path: YAML; None: flags alone.
        changes: Values by dotted key; they win.

    Raises:
        ConfigError: ``config.unreadable``, ``config.unknown_key``, ``config.invalid``.
    """
    from softprompt.app.yaml import read_yaml

    data = with_changes(read_yaml(path) if path else {}, changes)
    if path is None and not data.get("data"):
        cure = "softprompt tune run.yaml, or softprompt tune --train rows.csv --target label"
        raise usage_error("neither a settings file nor --train was given", cure=cure)
    from softprompt.app.config import RunConfig

    data.setdefault("name", path.stem if path else _name_of(data))
    return RunConfig.parse(data, where=str(path) if path else "command line")


def _name_of(data: Mapping[str, Any]) -> str:
    """A name from the training file and the target, for runs that only flags describe."""
    rows, task = data.get("data"), data.get("task")
    train = rows.get("train") if isinstance(rows, Mapping) else None
    target = task.get("target") if isinstance(task, Mapping) else None
    stem = Path(str(train)).name.split(".")[0] if train else ""
    return "-".join(part for part in (stem, str(target or "")) if part) or "run"
