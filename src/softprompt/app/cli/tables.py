"""Tables of results: what stands beside what, with intervals. All take plain data, as ``--json`` shows it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from softprompt.core.cards import Table as Rows
from softprompt.core.cards.card import WIDE
from softprompt.core.cards.tables import class_rows, comparison_rows, metric_rows, suspect_rows
from softprompt.core.cards.views import plan_facts
from softprompt.core.words import age, duration, interval

__all__ = [
    "PIPE_WIDTH",
    "class_table",
    "comparison_table",
    "grid",
    "metric_table",
    "plan_lines",
    "run_table",
    "slice_table",
    "suspect_table",
    "table_of",
]

Cell = str | Text

PIPE_WIDTH = 160  #: columns where nobody looks through a window: wide enough that no table is folded


def grid(*head: str, numbers: Sequence[int] = ()) -> Table:
    """An empty table; columns in ``numbers`` are aligned to the right, they and nameless ones are never folded."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for index, name in enumerate(head):
        right = index in numbers
        bounds = not name and index > 0  # an interval stands beside its score without a name of its own
        table.add_column(name, justify="right" if right else "left", no_wrap=right or bounds, overflow="fold")
    return table


def table_of(rows: Rows, *, width: int = PIPE_WIDTH) -> Table:
    """Rows of text as they are drawn in a window of so many columns."""
    shown = rows.fitting(width)
    numbers = [index for index, column in enumerate(shown.columns) if column.number]
    table = grid(*(column.name for column in shown.columns), numbers=numbers)
    for index, row in enumerate(shown.rows):
        cells = [
            Text(cell, style="dim") if column.bounds else cell for cell, column in zip(row, shown.columns, strict=True)
        ]
        table.add_row(*cells, style="bold" if index == shown.strong else "")
    return table


def metric_table(evaluations: Sequence[Mapping[str, Any]], *, width: int = PIPE_WIDTH) -> Table:
    """Metrics with intervals: a line a metric, or of several evaluations a line each with as many metrics as fit."""
    if len(evaluations) == 1:
        return table_of(metric_rows(evaluations[0]), width=width)
    names = list(dict.fromkeys(name for one in evaluations for name in (*one["metrics"], *one["calibration"])))
    names = names[: max(1, (width - 16) // 24)]
    table = grid("prompt", *names, numbers=range(1, len(names) + 1))
    for one in evaluations:
        scores = {**one["metrics"], **one["calibration"]}
        table.add_row(one["name"], *(interval(scores[name]) if name in scores else "" for name in names))
    return table


def class_table(classes: Sequence[Mapping[str, Any]], *, width: int = PIPE_WIDTH) -> Table:
    """Recall, precision and F1 a class, with the rows behind them; precision goes where there is no room."""
    return table_of(class_rows(classes), width=width)


def suspect_table(suspects: Sequence[Mapping[str, Any]]) -> Table:
    """Rows whose label is probably wrong, with both labels and their probabilities."""
    return table_of(suspect_rows(suspects))


def slice_table(found: Mapping[str, Any]) -> Table:
    """The score by the values of a column; slices that are significantly worse stand out."""
    table = grid(found["column"], "rows", found["metric"], "", numbers=(1, 2))
    for one in found["slices"]:
        table.add_row(one["value"], f"{one['rows']:,}", *_score(one["score"]), style="yellow" if one["worse"] else "")
    return table


def run_table(runs: Sequence[Mapping[str, Any]], *, width: int = PIPE_WIDTH) -> Table:
    """A line a run; in a narrow window only what it reached and when."""
    wide = width >= WIDE
    table = grid("run", "state", "score", *(["", "rows", "took"] if wide else []), "when", numbers=(2, 5))
    for run in runs:
        value, _, bounds = interval(run["score"]).partition(" ") if run["score"] else ("", "", "")
        took = "" if run["seconds"] is None else duration(run["seconds"])
        table.add_row(
            str(run["folder"]),
            run["state"],
            f"{run['metric']} {value}" if value else "",
            *([bounds, run["split"] or "", took] if wide else []),
            age(datetime.fromisoformat(run["changed"])),
        )
    return table


def comparison_table(comparison: Mapping[str, Any], *, width: int = PIPE_WIDTH) -> Table:
    """The contenders by the score that decides, with what each took and weighs; the prompt itself stands out.

    Args:
        comparison: Of a report.
        width: Columns there are; where they are too few, the times go.
    """
    return table_of(comparison_rows(comparison), width=width)


def plan_lines(plan: Mapping[str, Any]) -> list[str]:
    """What a run would do and cost."""
    lines = [f"{name:<10} {value}" for name, value in plan_facts(plan)]
    warnings = plan["data"]["warnings"]
    return lines + (["", "look at this", *(f"  {line}" for line in warnings)] if warnings else [])


def _score(found: Mapping[str, Any]) -> tuple[Cell, Cell]:
    """Estimate and bounds as two cells, so that points stand below points."""
    estimate, _, bounds = interval(found).partition(" ")
    return estimate, Text(bounds, style="dim")
