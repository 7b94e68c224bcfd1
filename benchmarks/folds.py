"""What a cross-validation costs in one pass, against a training a fold, by the length of texts and prompts.

    python benchmarks/folds.py                                     all lengths, once: an hour of one core
    python benchmarks/folds.py --parts                             the same put together from 20 steps: some minutes
    python benchmarks/folds.py --tokens 256 --work found.json      one length; what is in the file is not measured again
    python benchmarks/folds.py --parts --tokens 0 --print          to see that it works; nothing is written

300 example messages by topic, the embedded model, five folds, ``effort: quick``, tokens after the text. Longer texts
are messages joined with those that follow them; the first one's topic is asked for. Separately: five trainings, each
reads its texts, probes the rate and trains one prompt. In one pass: the texts are read once, one fold probes for all,
and five prompts are trained side by side. Both sides run the package's own ``tune`` as often as each other, in turns,
so that a disturbance hits both; the model is loaded before. Of a stage, processor time is counted.

With ``--parts`` every side reads all its texts and makes a few steps and looks of each stage; their medians are taken
as often as the whole run has them, and one of the five trainings five times.

Knows lessons and folds; no settings files and no reports.
"""

import itertools
import json
import math
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
from softprompt.lab.training.settings import TrainingSettings
from softprompt.lab.tuning import tune
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.loading import load

__all__ = ["Found", "Seconds", "joined", "main", "page", "seconds_of"]

ROWS, STAGES, LENGTHS = 300, ("read", "probe", "train"), (0, 128, 256, 512)

#: Soft tokens: the default, and as few as did as well in ``defaults.py``.
SOFT = (20, 10, 5)
SIDES = SEPARATELY, TOGETHER = "separately", "in one pass"

#: Looks of the probe after its first (the tuning's own number), and what ``--parts`` runs: all texts are read for it.
PROBE_LOOKS, SHORT = 3, {"steps": 20, "probe_steps": 6, "evaluations": 2}

#: The first training of a process pays for more than its own work.
WARM_UP = TrainingSettings(steps=2, rate=0.1, seeds=(0,), evaluations=1, keep="last")


@dataclass
class Seconds:
    """Of one side: processor time by stage, and seconds on the clock; 0 where it is put together from parts."""

    stages: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    wall: float = 0.0

    @property
    def cpu(self) -> float:
        return sum(self.stages.values())


@dataclass
class Found:
    """Of texts and prompts of one length: mean tokens of a text, soft tokens, and the runs by side."""

    tokens: float
    soft: int
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


def prepared(backbone: Backbone, tokens: int, *, soft: int) -> Prepared:
    """The first 300 messages, or longer texts of them, in five folds."""
    rows = joined(
        [row for part in ("train", "validation") for row in rows_in(example_file(part))], tokens, backbone.tokenizer
    )
    data = {"train": "messages", "columns": {"text": "text"}, "folds": 5}
    training = {"effort": "quick", "seeds": (0,), "keep": "last"}
    template = {"place": "after", "length": soft}
    config = RunConfig.parse({"data": data, "task": {"target": "topic"}, "template": template, "training": training})
    return prepare(config, sources={"train": rows}, backbone=backbone)


def sides(ready: Prepared) -> dict[str, list[list[Lesson]]]:
    """Lessons by training, separately and in one pass."""
    whole = Lesson("topic", ready.builder, ready.splits["train"].rows, ())
    together = lessons_of(whole, ready.folds, seed=0)[:-1]
    return {SEPARATELY: [[replace(one, rate_from=None)] for one in together], TOGETHER: [together]}


class Spans:
    """Processor time of every step and look of a stage, and of the reading before."""

    def __init__(self) -> None:
        self._last = time.process_time()
        self.read = 0.0
        self.found: dict[str, dict[str, list[float]]] = {}

    def on_read(self, done: int, total: int) -> None:
        self.read += self._lap()

    def on_event(self, stage: str, event: Event) -> None:
        kinds = self.found.setdefault(stage, {"step": [], "evaluate": []})
        kinds.setdefault(event.kind, []).append(self._lap())

    def _lap(self) -> float:
        before, self._last = self._last, time.process_time()
        return self._last - before

    def whole(self, stage: str) -> float:
        """Of everything that happened."""
        return sum(map(sum, self.found[stage].values()))

    def as_of(self, stage: str, steps: int, looks: int) -> float:
        """Of a stage of so many steps and looks, by the medians."""
        kinds = self.found[stage]
        return steps * statistics.median(kinds["step"]) + looks * statistics.median(kinds["evaluate"])


def seconds_of(ready: Prepared, trainings: Sequence[Sequence[Lesson]], *, parts: bool = False) -> Seconds:
    """What these trainings take, one after the other; in parts, the first of them as often as there are trainings."""
    found = Seconds()
    begun = time.perf_counter()
    settings = ready.config.training.resolved()
    short = settings.model_copy(update=SHORT) if parts else settings
    for lessons in trainings[:1] if parts else trainings:
        spans = Spans()
        tune(
            ready.backbone,
            lessons,
            method=ready.config.method,
            settings=short,
            on_read=spans.on_read,
            on_event=spans.on_event,
        )
        found.stages["read"] += spans.read
        for stage, steps, evaluations in (
            ("probe", settings.probe_steps, PROBE_LOOKS),
            ("train", settings.steps, settings.evaluations),
        ):
            assert steps, "settings are not resolved"
            assert evaluations, "settings are not resolved"
            looks = 1 + math.ceil(steps / math.ceil(steps / evaluations))  # one before the first step
            found.stages[stage] += spans.as_of(stage, steps, looks) if parts else spans.whole(stage)
    if parts:
        found.stages = {stage: len(trainings) * seconds for stage, seconds in found.stages.items()}
    else:
        found.wall = time.perf_counter() - begun
    return found


def _medians(runs: Sequence[Seconds]) -> dict[str, float]:
    columns = [{**one.stages, "cpu": one.cpu, "wall": one.wall} for one in runs]
    return {name: statistics.median(column[name] for column in columns) for name in columns[0]}


def page(found: Sequence[Found], *, load: float) -> str:
    """The table: medians over the repeats, and ratios of them."""
    head = ("soft tokens", "tokens a text", *SIDES, "times less", "on the clock", "reading", "probe", "training")
    lines = [f"| {' | '.join(head)} |", f"|{' ---: |' * len(head)}"]
    for one in sorted(found, key=lambda one: (-one.soft, one.tokens)):
        apart, together = (_medians(one.runs[side]) for side in (SEPARATELY, TOGETHER))
        ratios = [f"{apart[name] / together[name]:.2f}" if together[name] else "" for name in ("cpu", "wall", *STAGES)]
        cells = [f"{one.soft}", f"{one.tokens:.0f}", f"{apart['cpu']:.0f} s", f"{together['cpu']:.0f} s", *ratios]
        lines.append(f"| {' | '.join(cells)} |")
    repeats = min(len(runs) for one in found for runs in one.runs.values())
    about = "Seconds are processor time, and so are the ratios of the stages; looks at held-out rows belong to them. "
    about += "Without a ratio on the clock a row is put together from parts."
    return "\n".join([*lines, "", about, f"Median of {repeats}. {sentence(load)}"]) + "\n"


def _known(work: Path | None) -> dict[str, Found]:
    """What was measured before, by lengths."""
    if work is None or not work.exists():
        return {}
    found = json.loads(work.read_text(encoding="utf-8"))
    return {
        lengths: Found(
            one["tokens"], one["soft"], {side: [Seconds(**run) for run in runs] for side, runs in one["runs"].items()}
        )
        for lengths, one in found.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    parser = parser_of(__doc__)
    parser.add_argument("--tokens", type=int, nargs="+", default=LENGTHS, help="of a text, about; 0: single messages")
    parser.add_argument("--soft", type=int, nargs="+", default=SOFT, help="soft tokens of a prompt")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--parts", action="store_true", help="time a few steps, and put the runs together")
    parser.add_argument("--threads", type=int, default=num_cores(), help="of both sides; all cores where left out")
    parser.add_argument("--work", type=Path, help="JSON file of what was measured: nothing in it is measured again")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    backbone = load("embedded")
    known = _known(options.work)
    for soft, length in itertools.product(options.soft, options.tokens):
        ready = prepared(backbone, length, soft=soft)
        both = sides(ready)
        sizes = [len(backbone.tokenizer.encode(row.fields["text"])) for row in ready.splits["train"].rows]
        one = known.setdefault(f"{soft} after {length}", Found(statistics.fmean(sizes), soft))
        if not all(len(runs) >= options.repeats for runs in one.runs.values()):
            tune(ready.backbone, both[TOGETHER][0][:1], method=ready.config.method, settings=WARM_UP)
        while any(len(runs) < options.repeats for runs in one.runs.values()):
            side = min(one.runs, key=lambda side: len(one.runs[side]))
            one.runs[side].append(seconds_of(ready, both[side], parts=options.parts))
            print(soft, length, side, one.runs[side][-1], flush=True)
            if options.work:
                text = json.dumps({key: asdict(found) for key, found in known.items()})
                options.work.write_text(text, encoding="utf-8")
    whole = [one for one in known.values() if all(one.runs.values())]
    publish("folds", "Folds in one pass", page(whole, load=load_average()), only_print=options.print)


if __name__ == "__main__":
    main()
