"""Soft prompts beside everything else one could do, on the example messages and four public sets.

    python benchmarks/compare.py [SET ...] [--pages]

Draws the rows of every set once, runs ``softprompt compare benchmarks/comparisons/SET.yaml`` (finished contenders are
kept: an interrupted run goes on where it stopped), and writes ``docs/results/SET.md`` and the picture of all of them.
``--pages`` writes the pages of what is there. Public sets are looked for in ``$SOFTPROMPT_SHARED``.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.comparisons.page import page
from benchmarks.comparisons.picture import picture
from benchmarks.comparisons.rows import SETS, draw

__all__ = ["main"]

HERE = Path(__file__).resolve().parent

#: What the installed command does.
COMMAND = "from softprompt.app.cli import main; main()"

#: Where rows and runs lie: the settings name it.
WORK = Path("runs/compare")

PAGES = HERE.parent / "docs" / "results"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Compare on the example messages and on public sets.")
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(SETS)}; default: all")
    parser.add_argument("--pages", action="store_true", help="run nothing, write the pages of what is there")
    args = parser.parse_args(arguments)
    if unknown := [name for name in args.sets if name not in SETS]:
        parser.error(f"no set is called {unknown[0]!r}; known: {', '.join(SETS)}")
    for name in args.sets or SETS:
        settings = HERE / "comparisons" / f"{name}.yaml"
        if not args.pages:
            draw(name, WORK / name)
            subprocess.run([sys.executable, "-c", COMMAND, "compare", str(settings)], check=True)
        if (table := WORK / name / "result" / "table.json").is_file():
            text = page(json.loads(table.read_text("utf-8")), settings.read_text("utf-8"))
            (PAGES / f"{name}.md").write_text(text, encoding="utf-8", newline="\n")
            print(PAGES / f"{name}.md")
    found = {name: WORK / name / "result" / "table.json" for name in SETS}
    tables = {name: json.loads(path.read_text("utf-8")) for name, path in found.items() if path.is_file()}
    (PAGES / "compared.svg").write_text(picture(tables), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
