"""The tables of a comparison as rows of text: what decides first, then what it costs.

Takes the plain data of a ``ComparisonTable`` (see lab/comparison/table.py), so reports and the command line show the
same.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from softprompt.core.cards.card import MIDDLE, WIDE, Column, Table
from softprompt.core.words import duration, interval, size, two_digits

__all__ = ["cost_rows", "decision_rows", "left_out_rows"]

Document = Mapping[str, Any]

#: Characters of a window that shows every column.
FULL = 132

#: Bytes below which memory is what a process does anyway.
LEAST_MEMORY = 1_000_000

UNKNOWN = "?"
NONE = "-"


def decision_rows(table: Document) -> Table:
    """A line a contender: better, worse or cannot tell; by how much; the rows that would decide; then the scores."""
    metric = table["metric"]
    against = {one["name"]: one for one in table["verdicts"]}
    several = any(line["spread"] is not None for line in table["contenders"])
    calibrated = any(run["evaluation"]["calibration"] for line in table["contenders"] for run in line["runs"])
    columns = [
        Column(""),
        Column(f"than {table['reference']}"),
        Column("by", number=True),
        Column("", bounds=True, from_width=WIDE),
        Column("p", number=True, from_width=FULL),
        Column("rows to decide", number=True, from_width=WIDE),
        Column(metric, number=True),
        Column("", bounds=True, from_width=MIDDLE),
    ]
    columns += [Column("seeds ±", number=True, from_width=FULL)] if several else []
    columns += [Column(name, number=True, from_width=FULL) for name in ("ECE", "Brier")] if calibrated else []
    rows = []
    for line in _judged(table):
        one = against.get(line["name"])
        row = [line["name"], *_decision(one), *_score(line["score"])]
        row += [NONE if line["spread"] is None else f"{line['spread']:.3f}"] if several else []
        row += [_calibration(line, name) for name in ("ece", "brier")] if calibrated else []
        rows.append(tuple(row))
    names = [line["name"] for line in _judged(table)]
    strong = names.index(table["reference"]) if table["reference"] in names else None
    return Table(tuple(columns), tuple(rows), strong)


def cost_rows(table: Document) -> Table:
    """A line a contender: what it learnt, weighs and took. A question mark: this machine, or this API, does not say."""
    lines = _judged(table)
    paid = any(_mean(line, "usd") is not None for line in lines)
    columns = [
        Column(""),
        Column("learnt", number=True),
        Column("to store", number=True),
        Column("learning", number=True),
        Column("memory", number=True, from_width=WIDE),
        Column("tokens", number=True, from_width=MIDDLE),
        Column("a request", number=True),
        Column("energy", number=True, from_width=FULL),
    ]
    columns += [Column("paid", number=True)] if paid else []
    rows = []
    for line in lines:
        tokens = [_mean(line, name) for name in ("tokens", "tokens_out")]
        row = [
            line["name"],
            _count(_mean(line, "num_trained")),
            size(_mean(line, "num_bytes") or 0) if _mean(line, "num_bytes") else NONE,
            _learning(line),
            _or(_mean(line, "peak_bytes"), lambda peak: size(peak) if peak >= LEAST_MEMORY else NONE),
            NONE if tokens[0] is None else f"{tokens[0] + (tokens[1] or 0):,.0f}",
            _or(_mean(line, "latency_ms"), lambda ms: duration(ms / 1000)),
            _or(_mean(line, "joules"), _joules),
        ]
        row += [NONE if (usd := _mean(line, "usd")) is None else f"${usd:.4f}"] if paid else []
        rows.append(tuple(row))
    return Table(tuple(columns), tuple(rows), title="what it costs")


def left_out_rows(table: Document) -> Table:
    """The contenders without numbers, and why."""
    rows = [(line["name"], line["left_out"]) for line in table["contenders"] if not line["runs"]]
    return Table((Column(""), Column("why")), tuple(rows), title="left out")


def _judged(table: Document) -> list[Document]:
    return [line for line in table["contenders"] if line["runs"]]


def _decision(one: Document | None) -> tuple[str, str, str, str, str]:
    """Verdict, difference, its bounds, p and the rows that would decide; all empty for the reference."""
    if one is None:
        return ("reference", "", "", "", "")
    estimate, bounds = _score(one["difference"], signed=True)
    rows = one["rows_to_decide"]
    return (
        one["verdict"],
        estimate,
        bounds,
        f"{one['p_adjusted']:.2g}",
        NONE if rows is None else f"{two_digits(rows):,}",
    )


def _score(found: Document | None, *, signed: bool = False) -> tuple[str, str]:
    if found is None:
        return NONE, ""
    estimate, _, bounds = interval(found).partition(" ")
    return (f"+{estimate}" if signed and (found["estimate"] or 0) > 0 else estimate), bounds


def _calibration(line: Document, name: str) -> str:
    """Mean over the runs; a dash where answers have no probabilities."""
    found = [run["evaluation"]["calibration"].get(name) for run in line["runs"]]
    values = [one["estimate"] for one in found if one is not None and one["estimate"] is not None]
    return f"{sum(values) / len(values):.3f}" if values else NONE


def _learning(line: Document) -> str:
    """Of all seeds together; a dash where there is nothing to learn."""
    seconds = sum(run["cost"]["fit_seconds"] for run in line["runs"])
    return duration(seconds) if seconds >= 0.01 else NONE


def _mean(line: Document, name: str) -> int | float | None:
    found: Sequence[int | float] = [value for run in line["runs"] if (value := run["cost"][name]) is not None]
    return sum(found) / len(found) if found else None


def _or(value: int | float | None, shown: Any) -> str:
    return UNKNOWN if value is None else str(shown(value))


def _count(number: int | float | None) -> str:
    """Learnt numbers, three digits.

    >>> _count(0), _count(21_760), _count(6.5e6), _count(1.2e9)
    ('-', '21.8 k', '6.5 M', '1.2 G')
    """
    if not number:
        return NONE
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= factor:
            return f"{number / factor:.3g} {unit}"
    return f"{number:.0f}"


def _joules(value: int | float) -> str:
    """Joules or kilojoules.

    >>> _joules(12.3), _joules(4560.0)
    ('12 J', '4.6 kJ')
    """
    return f"{value:.0f} J" if value < 1000 else f"{value / 1000:.1f} kJ"
