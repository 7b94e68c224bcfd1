"""Quality on real tasks: our defaults beside PEFT prompt tuning, TF-IDF and a linear probe, on the embedded model.

    python benchmarks/quality.py [--datasets NAME ...] [--rows 300] [--seeds 5] [--steps 400] [--json FILE] [--quick]

Public data is read from ``SOFTPROMPT_SHARED`` (default: ``shared`` beside the repository); what is not there is
skipped, and the report says so. Results are kept one by one, so a run that was interrupted goes on where it stopped.
What is measured and how is in benchmarks/README.md.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.contest.command import add_flags, contest
from benchmarks.contest.problems import EXAMPLE, PUBLIC, Problem, example, public

__all__ = ["main"]

RESULTS = Path(__file__).resolve().parent / "results"
DATASETS = (*PUBLIC, *(f"example {target}" for target in EXAMPLE))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Quality on real tasks, on the embedded model.")
    parser.add_argument("--datasets", nargs="+", metavar="NAME", help=f"of: {', '.join(DATASETS)}, example (all three)")
    parser.add_argument("--rows", type=int, default=300, help="labelled rows; a fifth of them chooses")
    add_flags(parser, work=Path("runs/quality"))
    args = parser.parse_args(arguments)
    problems, skipped = problems_of(args.datasets or (["example"] if args.quick else DATASETS), rows=args.rows)
    if not problems:
        parser.error("no data set is there: " + "; ".join(skipped.values()))
    if args.quick:
        problems = [replace(problem, judged=problem.judged[:100]) for problem in problems[:1]]
    report = args.json or (args.work / "quick.json" if args.quick else RESULTS / "quality.json")
    contest(args, "embedded", problems, skipped=skipped, report=report, title="Quality on the embedded model")


def problems_of(names: Sequence[str], *, rows: int) -> tuple[list[Problem], dict[str, str]]:
    """The problems that are there, and why others are not."""
    wanted = [one for name in names for one in (DATASETS[len(PUBLIC) :] if name == "example" else (name,))]
    problems, skipped = [], {}
    for name in wanted:
        try:
            kind, _, target = name.partition(" ")
            problems.append(example(target, rows=rows) if kind == "example" else public(name, rows=rows))
        except FileNotFoundError as error:
            skipped[name] = str(error)
    return problems, skipped


if __name__ == "__main__":
    main()
