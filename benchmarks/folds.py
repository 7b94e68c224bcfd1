"""What a cross-validation costs in one pass, against a training a fold, by the length of the texts.

    python benchmarks/folds.py                                     all lengths, once: half an hour of one core
    python benchmarks/folds.py --tokens 256 --work found.json      one length; what is in the file is not measured again
    python benchmarks/folds.py --steps 3 --tokens 0 --print        to see that it works; nothing is written

300 example messages by topic, the embedded model, five folds, ``effort: quick``, tokens after the text. Longer texts
are messages joined with those that follow them; the first one's topic is asked for. Separately: five trainings, each
reads its texts, probes the rate and trains one prompt. In one pass: the texts are read once, one fold probes for all,
and five prompts are trained side by side. Both sides run the package's own ``tune`` as often as each other, in turns,
so that a disturbance hits both; the model is loaded before. Of a stage, processor time is counted.

Knows lessons and folds; no settings files and no reports.
"""

import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.rig.machine import load_average, sentence
from benchmarks.rig.results import parser_of, publish
from benchmarks.rig.rows import example_file, rows_in
from softprompt.app.config import RunConfig
from softprompt.app.recipes.prepare import Prepared, prepare
from softprompt.core.machine import num_cores
from softprompt.core.tokens import Tokenizer
from softprompt.lab.folds import lessons_of
from softprompt.lab.lessons import Lesson
from softprompt.lab.training.outcome import Event
from softprompt.lab.tuning import tune
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.loading import load

__all__ = ["Found", "Seconds", "joined", "main", "page", "seconds_of"]

ROWS, STAGES, LENGTHS = 300, ("read", "probe", "train"), (0, 128, 256, 512)
SEPARATELY, TOGETHER = "separately", "in one pass"


@dataclass
class Seconds:
    """Of one side: processor time by stage and in all, and on the clock."""

    stages: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    cpu: float = 0.0
    wall: float = 0.0


@dataclass
class Found:
    """Of texts of one length: their mean tokens, and the runs by side."""

    tokens: float
    runs: dict[str, list[Seconds]] = field(default_factory=lambda: {SEPARATELY: [], TOGETHER: []})


def joined(rows: Sequence[Mapping[str, str]], tokens: int, tokenizer: Tokenizer) -> list[dict[str, str]]:
    """Each of the first rows with as many of the following messages behind its own as come nearest to ``tokens``."""
    sizes = [len(tokenizer.encode(row["text"])) for row in rows]
    found = []
    for i in range(ROWS):
        count, size = 1, sizes[i]
        while abs(size + sizes[(i + count) % len(rows)] - tokens) < abs(size - tokens):
            size += sizes[(i + count) % len(rows)]
            count += 1
        texts = [rows[(i + n) % len(rows)]["text"] for n in range(count)]
        found.append({**rows[i], "text": " ".join(texts)})
    return found


def prepared(backbone: Backbone, tokens: int, *, steps: int | None = None) -> Prepared:
    """The first 300 messages, or longer texts of them, in five folds."""
    rows = joined(
        [row for part in ("train", "validation") for row in rows_in(example_file(part))], tokens, backbone.tokenizer
    )
    data = {"train": "messages", "columns": {"text": "text"}, "folds": 5}
    training = {"effort": "quick", "seeds": (0,), **({"steps": steps, "probe_steps": steps} if steps else {})}
    config = RunConfig.parse({"data": data, "task": {"target": "topic"}, "training": training})
    return prepare(config, sources={"train": rows}, backbone=backbone)


def sides(ready: Prepared) -> dict[str, list[list[Lesson]]]:
    """Lessons by training, separately and in one pass."""
    whole = Lesson("topic", ready.builder, ready.splits["train"].rows, ())
    together = lessons_of(whole, ready.folds, seed=0)[:-1]
    return {SEPARATELY: [[replace(one, rate_from=None)] for one in together], TOGETHER: [together]}


def seconds_of(ready: Prepared, trainings: Sequence[Sequence[Lesson]]) -> Seconds:
    """What these trainings take, one after the other."""
    found = Seconds()
    begun, cpu = time.perf_counter(), time.process_time()
    settings = ready.config.training.model_copy(update={"keep": "last"})
    for lessons in trainings:
        ends = dict.fromkeys(STAGES, time.process_time())
        start = ends["read"]

        def on_read(done: int, total: int, ends: dict[str, float] = ends) -> None:
            ends["read"] = time.process_time()

        def on_event(stage: str, event: Event, ends: dict[str, float] = ends) -> None:
            ends[stage] = time.process_time()

        tune(
            ready.backbone,
            lessons,
            method=ready.config.method,
            settings=settings,
            on_read=on_read,
            on_event=on_event,
        )
        ends["train"] = time.process_time()
        for stage in STAGES:
            found.stages[stage] += ends[stage] - start
            start = ends[stage]
    found.wall, found.cpu = time.perf_counter() - begun, time.process_time() - cpu
    return found


def _medians(runs: Sequence[Seconds]) -> dict[str, float]:
    columns = [{**one.stages, "cpu": one.cpu, "wall": one.wall} for one in runs]
    return {name: statistics.median(column[name] for column in columns) for name in columns[0]}


def page(found: Sequence[Found], *, load: float) -> str:
    """The table: medians over the repeats, and ratios of them."""
    lines = [
        "| tokens a text | separately | in one pass | times less | on the clock | reading | probe | training |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in sorted(found, key=lambda one: one.tokens):
        apart, together = (_medians(one.runs[side]) for side in (SEPARATELY, TOGETHER))
        ratios = [f"{apart[name] / together[name]:.2f}" for name in ("cpu", "wall", *STAGES) if together[name]]
        lines.append(f"| {one.tokens:.0f} | {apart['cpu']:.0f} s | {together['cpu']:.0f} s | {' | '.join(ratios)} |")
    repeats = min(len(runs) for one in found for runs in one.runs.values())
    about = (
        "Seconds are processor time, and so are the ratios of the stages. A look at held-out rows belongs to its stage."
    )
    return "\n".join([*lines, "", about, f"Median of {repeats}. {sentence(load)}"]) + "\n"


def _known(work: Path | None) -> dict[int, Found]:
    """What was measured before."""
    if work is None or not work.exists():
        return {}
    found = json.loads(work.read_text(encoding="utf-8"))
    return {
        int(length): Found(
            one["tokens"], {side: [Seconds(**run) for run in runs] for side, runs in one["runs"].items()}
        )
        for length, one in found.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    parser = parser_of(__doc__)
    parser.add_argument("--tokens", type=int, nargs="+", default=LENGTHS, help="of a text, about; 0: single messages")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--steps", type=int, help="instead of those of the effort: fewer favour one pass")
    parser.add_argument("--threads", type=int, default=num_cores(), help="of both sides; all cores where left out")
    parser.add_argument("--work", type=Path, help="JSON file of what was measured: nothing in it is measured again")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    backbone = load("embedded")
    known = _known(options.work)
    for length in options.tokens:
        ready = prepared(backbone, length, steps=options.steps)
        both = sides(ready)
        sizes = [len(backbone.tokenizer.encode(row.fields["text"])) for row in ready.splits["train"].rows]
        one = known.setdefault(length, Found(statistics.fmean(sizes)))
        if not all(len(runs) >= options.repeats for runs in one.runs.values()):
            seconds_of(ready, [both[TOGETHER][0][:1]])  # the first training of a process pays for warming up
        while any(len(runs) < options.repeats for runs in one.runs.values()):
            side = min(one.runs, key=lambda side: len(one.runs[side]))
            one.runs[side].append(seconds_of(ready, both[side]))
            print(length, side, one.runs[side][-1], flush=True)
            if options.work:
                text = json.dumps({key: asdict(found) for key, found in known.items()})
                options.work.write_text(text, encoding="utf-8")
    whole = [one for one in known.values() if all(one.runs.values())]
    publish("folds", "Folds in one pass", page(whole, load=load_average()), only_print=options.print)


if __name__ == "__main__":
    main()
