"""Whether a second round of training pays: pseudo-labels and a teacher, 100 labelled rows and 2,000 without answers.

    python benchmarks/unlabelled.py                                five minutes on one core
    python benchmarks/unlabelled.py --seeds 1 --rows 200 --print   to see that it works; nothing is written

News by topic (ag_news, four labels) and encyclopedia texts by kind (dbpedia14, fourteen) of the shared public data, the
embedded model, rows of 96 tokens, three folds, 60 steps at a fixed rate, one thread; every seed draws other labelled
rows. Three runs a seed over the same rows: without a second round, with pseudo-labels (``second.precision`` 0.8), and
with a teacher: a prompt of the same model that has learnt from 800 other rows. What counts is the test score of what
the rule saves. The page is written anew after every seed.

Knows recipes; no trainers.
"""

import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.rig.machine import load_average, sentence
from benchmarks.rig.results import parser_of, publish
from benchmarks.rig.rows import public_file, rows_in
from softprompt.app.config import RunConfig
from softprompt.app.recipes.tune import TuneReport, tune

__all__ = ["WAYS", "Run", "main", "measured", "page"]

DATA, WAYS = ("ag_news", "dbpedia14"), ("one round", "pseudo-labels", "teacher")
LABELLED, TAUGHT, TEST, TOKENS = 100, 800, 400, 96
TRAINING = {"steps": 60, "rate": 0.1, "seeds": (0,), "evaluations": 2}

Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Run:
    """One run: the test score of what it saved, processor seconds, and what it says of its second round."""

    score: float
    seconds: float
    second: Mapping[str, Any] | None


def rows_of(name: str, part: str) -> Rows:
    """Texts and labels of a data set."""
    found = rows_in(public_file(name, part))
    return [{"text": f"{row['title']}. {row['text']}", "label": row["label"]} for row in found]


def learnt(folder: Path, sources: Mapping[str, Rows], **settings: Any) -> TuneReport:
    """One run of the package's own."""
    config = RunConfig.parse(
        {
            "data": {"train": "train", "folds": "none" if "validation" in sources else 3},
            "task": {"labels": sorted({row["label"] for rows in sources.values() for row in rows if "label" in row})},
            "max_tokens": TOKENS,
            "training": TRAINING,
            "baselines": False,
            "output": str(folder),
            **settings,
        }
    )
    return tune(config, sources=sources)


def teacher(name: str, folder: Path) -> Path:
    """A prompt that knows more: of the last rows of the training part, which no seed draws from."""
    learnt(
        folder,
        {"train": rows_of(name, "train")[-TAUGHT:], "validation": rows_of(name, "train")[-TAUGHT - 100 : -TAUGHT]},
    )
    return folder / "prompt"


def measured(name: str, *, seed: int, unlabelled: int, taught: Path) -> dict[str, Run]:
    """The runs of one data set and seed by way."""
    mixed = rows_of(name, "train")[: -TAUGHT - 100]
    random.Random(seed).shuffle(mixed)
    sources = {"train": mixed[:LABELLED], "test": rows_of(name, "test")[:TEST]}
    more = [{"text": row["text"]} for row in mixed[LABELLED : LABELLED + unlabelled]]
    found = {}
    for way in WAYS:
        with tempfile.TemporaryDirectory() as folder:
            begun = time.process_time()
            rows = sources if way == "one round" else {**sources, "unlabelled": more}
            settings = {"teacher": str(taught)} if way == "teacher" else {}
            report = learnt(Path(folder), rows, **settings)
        second = report.finding.second
        seconds = time.process_time() - begun
        told = None if second is None else replace(second, teacher="the teacher" if second.teacher else "").to_dict()
        found[way] = Run(report.headline.estimate, seconds, told)
        print(name, seed, way, f"{report.headline.estimate:.3f} {seconds:.0f} s", *(second.sentences if second else ()))
    return found


def page(found: Mapping[str, Mapping[str, Sequence[Run]]], *, unlabelled: int, load: float) -> str:
    """Scores by seed, their mean gain over one round, and what every second round said of itself."""
    lines = [
        "| rows | way | macro-F1 on test rows, by seed | mean gain | processor seconds |",
        "| --- | --- | --- | ---: | ---: |",
    ]
    told = []
    for name, ways in found.items():
        for way, runs in ways.items():
            gains = [run.score - one.score for run, one in zip(runs, ways["one round"], strict=True)]
            gain = "" if way == "one round" else f"{fmean(gains):+.3f}"
            scores = ", ".join(f"{run.score:.3f}" for run in runs)
            lines.append(f"| {name} | {way} | {scores} | {gain} | {fmean(run.seconds for run in runs):.0f} |")
            told += [
                f"- {name}, {way}, seed {n}: {'; '.join(run.second['sentences'])}"
                for n, run in enumerate(runs)
                if run.second is not None
            ]
    about = f"{LABELLED} labelled and {unlabelled:,} unlabelled rows. {sentence(load)}"
    return "\n".join([*lines, "", *told, "", about]) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    parser = parser_of(__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=2000, help="without answers")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    found: dict[str, dict[str, list[Run]]] = {name: {way: [] for way in WAYS} for name in DATA}
    with tempfile.TemporaryDirectory() as folder:
        teachers = {name: teacher(name, Path(folder, name)) for name in DATA}
        for seed in range(options.seeds):
            for name in DATA:
                runs = measured(name, seed=seed, unlabelled=options.rows, taught=teachers[name])
                for way, run in runs.items():
                    found[name][way].append(run)
            text = page(found, unlabelled=options.rows, load=load_average())
            publish("unlabelled", "A second round", text, only_print=options.print)


if __name__ == "__main__":
    main()
