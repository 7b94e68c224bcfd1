"""The committed page of a small benchmark: shown, or written with what made it."""

import argparse
from pathlib import Path

__all__ = ["RESULTS", "parser_of", "publish"]

RESULTS = Path(__file__).resolve().parent.parent / "results"


def parser_of(about: str) -> argparse.ArgumentParser:
    """A parser with ``--print``, which writes nothing.

    >>> parser_of("What it costs.\\n\\nMore.").parse_args(["--print"]).print
    True
    """
    parser = argparse.ArgumentParser(description=about.split("\n", maxsplit=1)[0])
    parser.add_argument("--print", action="store_true", help="show the table and write nothing")
    return parser


def publish(name: str, title: str, text: str, *, only_print: bool) -> None:
    """Show the table of ``benchmarks/NAME.py``; unless it is only to be shown, write ``results/NAME.md``."""
    print(text)
    if not only_print:
        page = f"# {title}\n\nMade by `benchmarks/{name}.py`.\n\n{text}"
        (RESULTS / f"{name}.md").write_text(page, encoding="utf-8")
