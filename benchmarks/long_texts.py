"""What a text that is too long should lose: its end, its beginning, its middle, or nothing (windows).

    python benchmarks/long_texts.py                        ten minutes on one core
    python benchmarks/long_texts.py --rows 40 --print      to see that it works; nothing is written

Reviews of 150 tokens and more (yelp5 of the shared public data, without the neutral ones: good or bad), the embedded
model, rows of 128 tokens, so that every text is too long; ``effort: quick``, three seeds, one thread. Every way learns
from the same rows and is judged on the same rows; seconds are processor time of the whole run, baselines left out.

Knows recipes; no trainers.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.rig.machine import load_average, sentence
from benchmarks.rig.results import parser_of, publish
from benchmarks.rig.rows import public_file, rows_in
from softprompt.app.config import RunConfig
from softprompt.app.recipes.tune import tune
from softprompt.core.metrics import compare, make_metric
from softprompt.lab.evaluation import Evaluation
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.loading import load

__all__ = ["WAYS", "Found", "main", "measured", "page"]

ROOM, LONG, SEEDS = 128, 150, (0, 1, 2)

#: Name -> settings of the template.
WAYS: Mapping[str, dict[str, Any]] = {
    "head": {"keep": "head"},
    "tail": {"keep": "tail"},
    "head+tail": {"keep": "head+tail"},
    "windows, mean": {"keep": "windows"},
    "windows, max": {"keep": "windows", "windows": {"pool": "max"}},
}


@dataclass
class Found:
    """Of one way: scores by seed, processor seconds, what was lost."""

    evaluations: list[Evaluation]
    seconds: float
    lost: str

    @property
    def accuracies(self) -> list[float]:
        return [one.metrics["accuracy"].estimate for one in self.evaluations]


def reviews(part: str, count: int, backbone: Backbone) -> list[dict[str, str]]:
    """The first long reviews that are good or bad."""
    found: list[dict[str, str]] = []
    for row in rows_in(public_file("yelp5", part)):
        good = row["label"].removeprefix("very ")
        if good != "neutral" and len(backbone.tokenizer.encode(row["text"])) >= LONG:
            found.append({"text": row["text"], "label": good})
    return found[:count]


def measured(train: Sequence[Any], test: Sequence[Any], backbone: Backbone) -> dict[str, Found]:
    """Every way, on the same rows."""
    found = {}
    for name, template in WAYS.items():
        with tempfile.TemporaryDirectory() as folder:
            config = RunConfig.parse(
                {
                    "data": {"train": "train", "test": "test", "folds": "none"},
                    "task": {"labels": ["negative", "positive"]},
                    "template": template,
                    "max_tokens": ROOM,
                    "training": {"effort": "quick", "seeds": SEEDS},
                    "baselines": False,
                    "output": folder,
                }
            )
            begun = time.process_time()
            report = tune(config, sources={"train": train, "test": test}, backbone=backbone)
            seconds = time.process_time() - begun
        found[name] = Found(list(report.finding.seeds.values()), seconds, report.evaluation.cuts.sentence)
    return found


def page(found: Mapping[str, Found], *, rows: tuple[int, int], load: float) -> str:
    """The table, and each way against the head by the same rows."""
    lines = [
        "| kept | accuracy, mean of seeds | seeds | against head, paired | processor seconds | lost |",
        "| --- | ---: | --- | --- | ---: | --- |",
    ]
    for name, one in found.items():
        said = "" if name == "head" else _against(found["head"].evaluations, one.evaluations)
        seeds = ", ".join(f"{value:.3f}" for value in one.accuracies)
        mean = statistics.fmean(one.accuracies)
        lines.append(f"| {name} | {mean:.3f} | {seeds} | {said} | {one.seconds:.0f} | {one.lost} |")
    about = f"{rows[0]} reviews to learn from, {rows[1]} to judge by; rows of {ROOM} tokens. {sentence(load)}"
    lines += ["", about]
    return "\n".join(lines) + "\n"


def _against(first: Sequence[Evaluation], second: Sequence[Evaluation]) -> str:
    """Difference of the first seeds' accuracies with its paired interval."""
    found = compare(make_metric("accuracy"), second[0].score("accuracy"), first[0].score("accuracy"))
    return f"{found.estimate:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=400, help="to learn from, and to judge by at most")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    backbone = load("embedded")
    train, test = (reviews(part, options.rows, backbone) for part in ("train", "test"))
    found = measured(train, test, backbone)
    text = page(found, rows=(len(train), len(test)), load=load_average())
    publish("long_texts", "Long texts", text, only_print=options.print)


if __name__ == "__main__":
    main()
