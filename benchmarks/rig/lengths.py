"""Steps of several contenders by the length of the texts: measured side by side, and the table of them.

Knows no model and no contender.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.rig.contenders import Contender, Step
from benchmarks.rig.machine import load_average, sentence
from benchmarks.rig.results import parser_of
from benchmarks.rig.timing import interleaved

__all__ = ["Found", "lengths_parser", "measured", "page"]


@dataclass(frozen=True)
class Found:
    """What was measured with texts of one length.

    Attributes:
        steps: By contender.
        read_seconds: Reading the texts once.
    """

    steps: Mapping[str, Sequence[Step]]
    read_seconds: float


def lengths_parser(description: str | None) -> argparse.ArgumentParser:
    """Options of a benchmark by length."""
    parser = parser_of(description)
    parser.add_argument("--tokens", type=int, nargs="+", default=[64, 256, 448])
    parser.add_argument("--repeats", type=int, default=7)
    return parser


def measured(make: Callable[[int], list[Contender]], lengths: Sequence[int], *, repeats: int) -> dict[int, Found]:
    """Every contender with texts of each length; the one called ``after`` reads them once."""
    found = {}
    for tokens in lengths:
        contenders = make(tokens)
        steps = interleaved(contenders, repeats=repeats)
        found[tokens] = Found(steps, next(one.read_seconds for one in contenders if one.name == "after"))
    return found


def page(found: Mapping[int, Found], names: Mapping[str, str], *, rows: int, dtype: str) -> str:
    """Medians by length, and how many times faster than PEFT in training mode.

    Args:
        found: By length.
        names: Contender -> what it is, in the order of the lines.
        rows: Of a step.
        dtype: Of the model.
    """
    lengths = sorted(found)
    lines = [
        "| | " + " | ".join(f"{tokens} tokens" for tokens in lengths) + " |",
        "| --- |" + " --- |" * len(lengths),
    ]
    for name, what in names.items():
        cells = []
        for tokens in lengths:
            times = {one: median(step.cpu_seconds for step in steps) for one, steps in found[tokens].steps.items()}
            cells.append(f"{times[name]:.3f} s ({times['peft'] / times[name]:.1f} x)")
        lines.append(f"| {what} | " + " | ".join(cells) + " |")
    cells = [f"{found[tokens].read_seconds:.3f} s" for tokens in lengths]
    lines += [f"| reading the texts once | {' | '.join(cells)} |", ""]
    repeats = len(next(iter(found[lengths[0]].steps.values())))
    what = f"Seconds of processor time a step of {rows} rows (others do not disturb it), {dtype}, one thread"
    lines.append(f"{what}, median of {repeats}; reading on the clock. {sentence(load_average())}")
    return "\n".join(lines) + "\n"
