"""The committed page of a small benchmark: shown, or written with what made it."""

import argparse
import math
from pathlib import Path

__all__ = ["RESULTS", "parser_of", "publish"]

RESULTS = Path(__file__).resolve().parent.parent / "results"


def parser_of(about: str, *, work: Path | None = None) -> argparse.ArgumentParser:
    """A parser with ``--print``, which writes nothing.

    Args:
        about: The benchmark's docstring; its first line is shown.
        work: Where a benchmark that goes on where it stopped keeps its results: adds ``--work`` and ``--minutes``.

    >>> parser_of("What it costs.\\n\\nMore.").parse_args(["--print"]).print
    True
    >>> parser_of("What it costs.", work=Path("runs")).parse_args(["--minutes", "5"]).minutes
    5.0
    """
    parser = argparse.ArgumentParser(description=about.split("\n", maxsplit=1)[0])
    parser.add_argument("--print", action="store_true", help="show the table and write nothing")
    if work is not None:
        parser.add_argument("--work", type=Path, default=work, help="keeps results, to go on from")
        parser.add_argument("--minutes", type=float, default=math.inf, help="begin no training after so many")
    return parser


def publish(name: str, title: str, text: str, *, only_print: bool) -> None:
    """Show the table of ``benchmarks/NAME.py``; unless it is only to be shown, write ``results/NAME.md``."""
    print(text)
    if not only_print:
        page = f"# {title}\n\nMade by `benchmarks/{name}.py`.\n\n{text}"
        (RESULTS / f"{name}.md").write_text(page, encoding="utf-8")
