"""Tables of results: what stands beside what, with intervals. All take plain data, as ``--json`` shows it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from softprompt.app.cli.words import age, counted, duration, interval, percent, size

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
    "verdict_sentences",
]

Cell = str | Text

PIPE_WIDTH = 160  #: columns where nobody looks through a window: wide enough that no table is folded
WIDE, MIDDLE = 90, 72  #: columns below which a table leaves out what matters least, and next to least


def grid(*head: str, numbers: Sequence[int] = ()) -> Table:
    """An empty table; columns in ``numbers`` are aligned to the right, they and nameless ones are never folded."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for index, name in enumerate(head):
        right = index in numbers
        bounds = not name and index > 0  # an interval stands beside its score without a name of its own
        table.add_column(name, justify="right" if right else "left", no_wrap=right or bounds, overflow="fold")
    return table


def metric_table(evaluations: Sequence[Mapping[str, Any]], *, width: int = PIPE_WIDTH) -> Table:
    """Metrics with intervals: a line a metric, or of several evaluations a line each with as many metrics as fit."""
    names = list(dict.fromkeys(name for one in evaluations for name in (*one["metrics"], *one["calibration"])))
    if len(evaluations) == 1:
        (only,) = evaluations
        table = grid("metric", "score", "", numbers=(1,))
        for name in names:
            found = {**only["metrics"], **only["calibration"]}[name]
            table.add_row(name, *_score(found))
        return table
    names = names[: max(1, (width - 16) // 24)]
    table = grid("prompt", *names, numbers=range(1, len(names) + 1))
    for one in evaluations:
        scores = {**one["metrics"], **one["calibration"]}
        table.add_row(one["name"], *(interval(scores[name]) if name in scores else "" for name in names))
    return table


def class_table(classes: Sequence[Mapping[str, Any]], *, width: int = PIPE_WIDTH) -> Table:
    """Recall, precision and F1 a class, with the rows behind them; precision goes where there is no room."""
    middle = width >= MIDDLE
    table = grid("class", "rows", "recall", "", *(["precision", ""] if middle else []), "F1", numbers=(1, 2, 4, 6))
    for one in classes:
        precision = _score(one["precision"]) if middle else ()
        table.add_row(one["label"], f"{one['n']:,}", *_score(one["recall"]), *precision, f"{one['f1']:.3f}")
    return table


def suspect_table(suspects: Sequence[Mapping[str, Any]]) -> Table:
    """Rows whose label is probably wrong, with both labels and their probabilities."""
    table = grid("row", "label", "p", "rather", "p", numbers=(2, 4))
    for one in suspects:
        numbers = [f"{one[name]:.2f}" for name in ("p_given", "p_suggested")]
        table.add_row(one["source"] or one["id"], one["given"], numbers[0], one["suggested"], numbers[1])
    return table


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
    metric, wide, middle = comparison["metric"], width >= WIDE, width >= MIDDLE
    times = [*(["learning"] if middle else []), *(["answering"] if wide else [])]
    table = grid("", metric, "", *times, "size", numbers=(1, 3, 4, 5))
    for one in comparison["standings"]:
        cells = [
            one["name"],
            *_score(one["evaluation"]["metrics"][metric]),
            *([duration(one["fit_seconds"])] if middle else []),
            *([duration(one["predict_seconds"])] if wide else []),
            size(one["num_bytes"]) if one["num_bytes"] else "-",
        ]
        table.add_row(*cells, style="bold" if one["name"] == comparison["reference"] else "")
    return table


def verdict_sentences(comparison: Mapping[str, Any]) -> list[str]:
    """The verdicts in words, one a contender."""
    return [one["sentence"] for one in comparison["differences"]]


def plan_lines(plan: Mapping[str, Any]) -> list[str]:
    """What a run would do and cost."""
    data, seconds = plan["data"], plan["seconds"]
    rows = ", ".join(f"{name} {page['rows']:,}" for name, page in data["splits"].items())
    tokens = plan["frozen_tokens"] + plan["live_tokens"]
    lines = [
        f"rows       {rows}",
        f"template   {plan['template']}",
        f"answers    {plan['answers']}",
        f"tokens     {counted(tokens, 'token')} a batch: {plan['frozen_tokens']:,} frozen, {plan['live_tokens']:,} live"
        f" ({percent(plan['live_tokens'] / max(1, tokens), digits=0)} computed in every step)",
    ]
    for stage, steps in plan["steps"].items():
        if steps and plan["prompts"][stage]:
            lines.append(
                f"{stage:<10} {counted(steps, 'step')}, {counted(plan['prompts'][stage], 'prompt')} side by side"
            )
    lines += [
        f"time       about {duration(sum(seconds.values()))}"
        f" ({', '.join(f'{stage} {duration(value)}' for stage, value in seconds.items() if value)})",
        f"memory     {size(plan['state_bytes'])} of cached texts; {size(plan['available_bytes'])} available",
        f"disk       {size(plan['disk_bytes'])} in {plan['settings']['output'] or 'runs/' + plan['settings']['name']}",
    ]
    return lines + (["", "look at this", *(f"  {line}" for line in data["warnings"])] if data["warnings"] else [])


def _score(found: Mapping[str, Any]) -> tuple[Cell, Cell]:
    """Estimate and bounds as two cells, so that points stand below points."""
    estimate, _, bounds = interval(found).partition(" ")
    return estimate, Text(bounds, style="dim")
