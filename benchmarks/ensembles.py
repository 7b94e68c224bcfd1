"""What K prompts after one text cost in one batch, against K runs of one prompt each.

    python benchmarks/ensembles.py                       five repeats: a few minutes on one core
    python benchmarks/ensembles.py --repeats 1 --print   to see that it works; nothing is written

16 example messages, and each four times in a row, the embedded model, 20 soft tokens after the text
and label vectors, one thread. Together: an ensemble of K prompts, one call of the package's own predictor. One by one:
K predictors of one prompt, each of which reads the texts. Both sides run in turns, so that a disturbance hits both;
vectors are random, since time does not depend on what they say. Before anything is timed, the ensemble's
probabilities are compared with the mean of the single ones.

Knows prompts and predictors; no settings files and no reports.
"""

import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

from benchmarks.rig.machine import load_average, sentence
from benchmarks.rig.results import parser_of, publish
from benchmarks.rig.rows import example_file, rows_in
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.core.tensors import Head, PromptTensors, SlotTensors
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.loading import load
from softprompt.model.ensemble import Pooling
from softprompt.model.prediction import Ask, Prediction, Predictor
from softprompt.model.templates import RowBuilder, Template

__all__ = ["main", "page"]

SIZES, STRETCHES, ROWS = (1, 5, 20), (1, 4), 16


def asks_of(backbone: Backbone, number: int) -> list[Ask]:
    """Prompts with vectors of their own."""
    task = Task.classify(["delivery", "product", "billing", "returns", "account"], target="topic")
    template = Template.preset("classify", place="after", fields=("text",), length=20)
    builder = RowBuilder(template, task, backbone.tokenizer, max_tokens=backbone.spec.max_positions, answers="vectors")
    width = backbone.output_vectors(torch.tensor([0]))[0].shape[1]
    asks = []
    for seed in range(number):
        rng = torch.Generator().manual_seed(seed)
        soft = SlotTensors(embed=0.02 * torch.randn(20, backbone.spec.embed_dim, generator=rng))
        head = Head(0.02 * torch.randn(5, width, generator=rng), torch.zeros(5))
        asks.append(Ask(builder, PromptTensors({"soft": soft}, head), name=f"p{seed}"))
    return asks


def together(backbone: Backbone, asks: Sequence[Ask], rows: Sequence[Example]) -> list[Prediction]:
    """The ensemble's answers."""
    whole = Ask(asks[0].builder, members=tuple(asks), pooling=Pooling(weights=(1.0,) * len(asks)))
    return [one for (one,) in Predictor(backbone, [whole]).predict(rows)]


def one_by_one(backbone: Backbone, asks: Sequence[Ask], rows: Sequence[Example]) -> list[list[Prediction]]:
    """By prompt its answers, each in a run of its own."""
    return [[one for (one,) in Predictor(backbone, [ask]).predict(rows)] for ask in asks]


def require_equal(found: Sequence[Prediction], single: Sequence[Sequence[Prediction]]) -> None:
    """Refuse to time two sides that do different things."""
    for n, one in enumerate(found):
        mean = np.mean([list((said[n].probabilities or {}).values()) for said in single], axis=0)
        gap = float(np.abs(mean - list((one.probabilities or {}).values())).max())
        if gap > 1e-4:
            raise SystemExit(f"row {n}: the two sides differ by {gap:.2g}")


def measured(backbone: Backbone, stretch: int, repeats: int) -> Iterator[dict[str, float]]:
    """A line a number of prompts: medians of the processor's seconds and of those on the clock."""
    rows = [
        Example({"text": " ".join([row["text"]] * stretch)}, id=row["id"]) for row in rows_in(example_file("test"))
    ][:ROWS]
    for number in SIZES:
        asks = asks_of(backbone, number)
        require_equal(together(backbone, asks, rows), one_by_one(backbone, asks, rows))  # also warms up
        times: dict[str, list[tuple[float, float]]] = {"together": [], "one by one": []}
        for _ in range(repeats):
            for name, side in (("together", together), ("one by one", one_by_one)):
                begun, cpu = time.perf_counter(), time.process_time()
                side(backbone, asks, rows)
                times[name].append((time.process_time() - cpu, time.perf_counter() - begun))
        line: dict[str, float] = {"stretch": stretch, "prompts": number, "tokens": _tokens(backbone, rows)}
        for name, found in times.items():
            cpus, walls = zip(*found, strict=True)
            line |= {name: statistics.median(cpus), f"{name}, clock": statistics.median(walls)}
        yield line


def _tokens(backbone: Backbone, rows: Sequence[Example]) -> float:
    return statistics.mean(len(backbone.tokenizer.encode(row.fields["text"])) for row in rows)


def page(lines: Sequence[dict[str, float]], *, load: float, repeats: int) -> str:
    """The table."""
    head = ["tokens a text", "prompts", "together", "one by one", "ratio", "a prompt more", "ratio on the clock"]
    table = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    alone = {line["stretch"]: line["together"] for line in lines if line["prompts"] == 1}
    for line in lines:
        one, several, count = line["together"], line["one by one"], int(line["prompts"])
        more = (one - alone[line["stretch"]]) / (count - 1) / alone[line["stretch"]] if count > 1 else None
        cells = [
            f"{line['tokens']:.0f}",
            str(count),
            f"{one:.2f} s",
            f"{several:.2f} s",
            f"{several / one:.2f}",
            "" if more is None else f"{100 * more:.0f} % of the first",
            f"{line['one by one, clock'] / line['together, clock']:.2f}",
        ]
        table.append(f"| {' | '.join(cells)} |")
    about = f"Seconds of the processor for {ROWS} texts, medians of {repeats}."
    return "\n".join([*table, "", f"{about} {sentence(load)}"]) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    parser = parser_of(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    backbone = load("embedded", dtype="fp32")
    lines = list(chain.from_iterable(measured(backbone, stretch, options.repeats) for stretch in STRETCHES))
    text = page(lines, load=load_average(), repeats=options.repeats)
    publish("ensembles", "Several prompts over one reading", text, only_print=options.print)


if __name__ == "__main__":
    main()
