"""The comparison of quality.py on your model and your rows.

    python benchmarks/adopt.py --model ID --data FILE [--target COLUMN ...] [--text COLUMN ...] [--rows N] [--json FILE]

The file (csv, tsv, jsonl, json) holds texts and one or several columns of labels; 30 % of its rows are judged, unless
``--judged`` names a file of their own. Every target is a contest of its own. An interrupted run goes on where it
stopped.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.contest.command import add_flags, contest
from benchmarks.contest.problems import from_file
from softprompt.core.errors import SoftpromptError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description="Soft prompts beside PEFT, TF-IDF and a probe, on your model and rows."
    )
    parser.add_argument("--model", required=True, help="embedded, a folder, or a hub id")
    parser.add_argument("--data", required=True, type=Path, help="csv, tsv, jsonl or json file")
    parser.add_argument("--judged", type=Path, help="file whose rows are judged; without it 30 %% of --data")
    parser.add_argument("--target", nargs="+", default=["label"], metavar="COLUMN", help="columns of labels")
    parser.add_argument(
        "--text", nargs="+", default=[], metavar="COLUMN", help="columns to read; default: text, or all"
    )
    parser.add_argument("--rows", type=int, help="labelled rows, of which a fifth chooses; without it all")
    add_flags(parser, work=Path("runs/adopt"))
    args = parser.parse_args(arguments)
    try:
        problems = [
            from_file(args.data, target=target, fields=args.text, rows=args.rows, judged=args.judged)
            for target in args.target
        ]
        report = args.json or args.work / f"{args.data.stem}.json"
        title = f"{args.data.name} on {args.model}"
        contest(args, args.model, problems, skipped={}, report=report, title=title)
    except SoftpromptError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    print(report.with_suffix(".md"))


if __name__ == "__main__":
    main()
