"""Settings as a file that people read: keys in the order of a run, each with the reason why it stands there.

At most :data:`MOST_LINES` lines, whatever the number of labels. Knows how YAML is written, not how settings are found.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

__all__ = ["MOST_LINES", "flow", "write_settings"]

MOST_LINES = 30
ONE_A_LINE = 12  #: labels up to which each has a line of its own
WIDTH = 110


class _OneLine(yaml.SafeDumper):
    """Line breaks are written as such, so that no text is folded."""

    def represent_str(self, text: str) -> yaml.ScalarNode:
        style = '"' if "\n" in text else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_OneLine.add_representer(str, _OneLine.represent_str)


def flow(value: Any) -> str:
    r"""A value on one line.

    >>> flow({"text": "Ticket text", "yes": ["1", "a: b"]}), flow("no")
    ("{text: Ticket text, 'yes': ['1', 'a: b']}", "'no'")
    >>> print(flow("one\ntwo"))
    "one\ntwo"
    """
    text = yaml.dump(
        [value], Dumper=_OneLine, default_flow_style=True, allow_unicode=True, width=10**9, sort_keys=False
    )
    return text.strip()[1:-1]


def write_settings(head: Sequence[str], settings: Mapping[str, Any], reasons: Mapping[str, str]) -> str:
    """The file.

    Args:
        head: Comment lines to begin with.
        settings: Sections; a section of plain values stands on one line, ``data`` and ``task`` have a line a key.
        reasons: Dotted key -> comment behind its line.

    >>> print(write_settings(["A run."], {"task": {"kind": "classify", "labels": ["a", "b"]}, "model": "embedded"},
    ...                      {"task.labels": "3 rows", "model": "English"}))
    # A run.
    task:
      kind: classify
      labels: [a, b]  # 3 rows
    model: embedded  # English
    <BLANKLINE>
    """
    lines = [f"# {_one_line(text)}" for text in head]
    for section, value in settings.items():
        if section not in {"data", "task"}:
            lines.append(_line(section, value, reasons.get(section)))
            continue
        lines.append(f"{section}:")
        for key, inner in value.items():
            path = f"{section}.{key}"
            if path == "task.labels":
                continue
            lines.append("  " + _line(key, inner, reasons.get(path)))
        if "labels" in value:
            spare = MOST_LINES - len(lines) - sum(name not in {"data", "task"} for name in settings)
            lines += _labels(value["labels"], reasons, spare=spare)
    return "\n".join(lines) + "\n"


def _line(key: str, value: Any, why: str | None) -> str:
    return f"{key}: {flow(value)}" + (f"  # {_one_line(why)}" if why else "")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _labels(labels: Any, reasons: Mapping[str, str], *, spare: int) -> list[str]:
    """Labels with a line each where they are few or say more than their name, else side by side."""
    why = f"  # {_one_line(reasons['task.labels'])}" if "task.labels" in reasons else ""
    if isinstance(labels, Mapping) and len(labels) <= min(ONE_A_LINE, spare - 1):
        named = {f"task.labels.{name}": name for name in labels}
        rows = [_line(flow(name), labels[name], reasons.get(path)) for path, name in named.items()]
        return [f"  labels:{why}", *("    " + row for row in rows)]
    if isinstance(labels, Mapping):
        left, right, parts = "{", "}", [f"{flow(name)}: {flow(given)}" for name, given in labels.items()]
    else:
        left, right, parts = "[", "]", [flow(name) for name in labels]
    folded = _folded(parts, most=max(1, spare))
    if len(folded) == 1:
        return [f"  labels: {left}{folded[0]}{right}{why}"]
    return [f"  labels: {left}{why}", *("    " + line for line in folded[:-1]), f"    {folded[-1]}{right}"]


def _folded(parts: Sequence[str], *, most: int) -> list[str]:
    """Parts with commas between them in lines about :data:`WIDTH` wide, wider where the lines do not suffice."""
    width = WIDTH
    while True:
        lines = [""]
        for number, part in enumerate(parts, 1):
            piece = part + ("," if number < len(parts) else "")
            if lines[-1] and len(lines[-1]) + 1 + len(piece) > width:
                lines.append("")
            lines[-1] += (" " if lines[-1] else "") + piece
        if len(lines) <= max(1, most - 1):
            return lines
        width *= 2
