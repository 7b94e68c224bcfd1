"""The page of one comparison: its verdict, what decides, what it costs, and the settings that made it.

The same tables as in the terminal, from ``table.json``; nothing is computed anew. Knows plain data alone.
"""

from collections.abc import Mapping
from typing import Any

from softprompt.app.report.markdown import cell, table
from softprompt.core.cards.card import Table
from softprompt.core.cards.comparison import cost_rows, decision_rows, left_out_rows

__all__ = ["page"]


def page(found: Mapping[str, Any], settings: str) -> str:
    """One comparison as Markdown.

    Args:
        found: Its ``table.json``.
        settings: The YAML that made it; the first line is a comment that says what is asked.
    """
    about, _, rest = settings.partition("\n")
    rows = ", ".join(f"{part['count']:,} {name}" for name, part in found["rows"].items())
    budget = ", ".join(f"{value:,} {name}" for name, value in found["budget"].items())
    environment = found["environment"]
    model = environment["model"]
    versions = ", ".join(f"{name} {version}" for name, version in environment["packages"].items())
    parts = [
        f"# {cell(found['name'])}",
        f"{about.lstrip('# ').rstrip()} Made by `python benchmarks/compare.py {found['name']}`.",
        f"**{cell(found['verdict'][:1].upper() + found['verdict'][1:])}.**",
        f"Rows: {rows}. Budget of whatever is trained: {budget} after a probe of its learning rate, seeds "
        f"{', '.join(map(str, found['seeds']))}. {found['metric'].replace('_', '-')} decides; intervals are 95 %.",
        _table(decision_rows(found)),
        "## What it costs",
        _table(cost_rows(found)),
        f"Wall times of one thread (of {environment['cpus']} cores, on which much else ran): upper bounds, good "
        "for comparing lines and for nothing else. Energy: this machine does not tell.",
    ]
    if (left := left_out_rows(found)).rows:
        parts += ["## Left out", _table(left)]
    if found["warnings"]:
        parts += ["## What must be read with it", "\n".join(f"- {cell(warning)}" for warning in found["warnings"])]
    parts += ["## Settings", f"```yaml\n{rest.strip()}\n```"]
    parts += [f"Model {model['name']}, fingerprint {model['fingerprint'][:16]}, {model['dtype']}; {versions}."]
    return "\n\n".join(parts) + "\n"


def _table(found: Table) -> str:
    """Intervals stand in the cell of their number; columns without a word in them are left out."""
    columns, rows = list(found.columns), [list(row) for row in found.rows]
    for place in reversed(range(len(columns))):
        if columns[place].bounds:
            for row in rows:
                row[place - 1] = f"{row[place - 1]} {row.pop(place)}".strip()
            columns.pop(place)
    said = [n for n, column in enumerate(columns) if not column.name or any(row[n].strip("-? ") for row in rows)]
    numbers = [place for place, n in enumerate(said) if columns[n].number]
    return table([columns[n].name for n in said], [[row[n] for n in said] for row in rows], numbers=numbers)
