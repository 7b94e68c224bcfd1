"""64 short trials in one process over one reading of the texts, against 64 in one warm process one after the other.

    python benchmarks/sweep.py --work FOLDER --next    measure the next piece, some minutes at most, and keep it there
    python benchmarks/sweep.py --work FOLDER           the page of the pieces that are there
    python benchmarks/sweep.py --trials 4 --tokens 0 --print       all at once, to see that it works

Example messages by topic (100 to learn from, 50 that judge), as they are and joined with others of their topic to be
longer; the embedded model, one thread, trials of 15 steps by the default space: length, rate, start, method and noise.
Both sides train the same random draws, with the same seeds, to the end: nothing is given up early on either side. One
after the other: the package's own ``tune`` a trial, which reads the texts that it needs; the model and the rows are
loaded before. The sweep: the package's own ``search`` with a study in a database, 16 trials drawn at a time. Beside it
the same with successive halving, which trains less, and whose gain is therefore not the ratio that is asked for.

Knows candidates and studies; no settings files and no reports.
"""

import json
import random
import statistics
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.rig.machine import load_average, sentence
from benchmarks.rig.results import parser_of, publish
from benchmarks.rig.rows import example_file, rows_in
from softprompt.app.config import RunConfig
from softprompt.app.recipes.prepare import prepare
from softprompt.app.recipes.searching import Searching
from softprompt.app.watch import Watcher
from softprompt.core.files import write_whole
from softprompt.lab.sweep.passes import SEEDS
from softprompt.lab.sweep.study import Trial
from softprompt.lab.tuning import tune
from softprompt.model.backbones.loading import load

__all__ = ["Piece", "joined", "main", "page", "pieces"]

STEPS, TRAIN, VALIDATION, TOGETHER = 15, 100, 50, 16
CHUNK = 4  #: trials one after the other in a piece
TOKENS = (0, 160, 256)
ALONE = "one after the other"
SIDES = {"one sweep": False, "one sweep with halving": True}


@dataclass(frozen=True)
class Piece:
    """What one process measures: a sweep, or some trials of it one after the other.

    Attributes:
        tokens: Of a text, at least; 0: messages as they are.
        side: ``one sweep``, ``one sweep with halving`` or ``one after the other``.
        first: The first trial.
        last: Behind the last one.
    """

    tokens: int
    side: str
    first: int
    last: int

    @property
    def name(self) -> str:
        """For its file."""
        return f"{self.tokens}-{self.side.replace(' ', '-')}-{self.first}-{self.last}"

    @classmethod
    def of(cls, name: str) -> Self:
        """From the name of its file.

        >>> Piece.of(Piece(40, "one sweep", 0, 64).name).side
        'one sweep'
        """
        tokens, *side, first, last = name.split("-")
        return cls(int(tokens), " ".join(side), int(first), int(last))


def pieces(trials: int, tokens: Sequence[int]) -> list[Piece]:
    """All that is measured, the sweeps before what they are held against.

    >>> [piece.name for piece in pieces(6, [40])][1:]
    ['40-one-after-the-other-0-4', '40-one-after-the-other-4-6', '40-one-sweep-with-halving-0-6']
    """
    found = [Piece(length, "one sweep", 0, trials) for length in tokens]
    for first in range(0, trials, CHUNK):
        found += [Piece(length, ALONE, first, min(first + CHUNK, trials)) for length in tokens]
    return [*found, *(Piece(length, "one sweep with halving", 0, trials) for length in tokens)]


def joined(rows: Sequence[Mapping[str, Any]], tokens: int, count: Callable[[str], int]) -> list[dict[str, Any]]:
    """The rows, each joined with others of its topic until its text has so many tokens.

    >>> rows = [{"text": "a b", "topic": "x"}, {"text": "c d", "topic": "x"}]
    >>> [len(row["text"].split()) for row in joined(rows, 5, lambda text: len(text.split()))]
    [6, 6]
    """
    draw, pool = random.Random(tokens), dict[str, list[str]]()
    for row in rows:
        pool.setdefault(row["topic"], []).append(row["text"])
    found = []
    for row in rows:
        text = row["text"]
        while count(text) < tokens:
            text = f"{text} {draw.choice(pool[row['topic']])}"
        found.append({**row, "text": text})
    return found


def config_of(folder: Path, trials: int, *, halving: bool) -> RunConfig:
    """The settings of both sides."""
    sweep = {"trials": trials, "together": TOGETHER, "halving": halving, "steps": STEPS, "confirm": 0}
    return RunConfig.parse(
        {
            "output": str(folder),
            "model": {"name": "embedded", "dtype": "fp32"},
            "data": {"train": "messages", "validation": "messages", "columns": {"text": "text"}},
            "task": {"target": "topic"},
            "training": {"effort": "quick", "keep": "last", "evaluations": 3},
            "sweep": {**sweep, "sampler": "random"},
        }
    )


def searching(folder: Path, trials: int, *, tokens: int, halving: bool) -> tuple[Searching, float]:
    """A sweep that is ready to begin, and the median length of its texts."""
    backbone = load("embedded", dtype="fp32")

    def count(text: str) -> int:
        return len(backbone.tokenizer.encode(text))

    rows = {"train": rows_in(example_file("train"))[:TRAIN], "validation": rows_in(example_file("validation"))}
    sources = {name: joined(part, tokens, count) for name, part in rows.items()}
    sources["validation"] = sources["validation"][:VALIDATION]
    lengths = [count(row["text"]) for part in sources.values() for row in part]
    ready = prepare(config_of(folder, trials, halving=halving), sources=sources, backbone=backbone)
    return Searching(ready, folder, Watcher()), statistics.median(lengths)


def measured(piece: Piece) -> dict[str, Any]:
    """Seconds of the processor and on the clock, and the score of every trial.

    What is drawn depends on the settings alone, so both sides draw the same.
    """
    with tempfile.TemporaryDirectory() as name:
        warm, _ = searching(Path(name) / "warm", 1, tokens=0, halving=False)
        warm.search(adopt=False)  # the first training of a process pays for warming up
        halving = SIDES.get(piece.side, False)
        sweep, length = searching(Path(name) / "sweep", piece.last, tokens=piece.tokens, halving=halving)
        drawn = [sweep.study.draw(wave=None, size=1) for _ in range(piece.last if piece.side == ALONE else 0)]
        begun, cpu = time.perf_counter(), time.process_time()
        if piece.side == ALONE:
            found = [replace(trial, score=_alone(sweep, trial)) for trial in drawn[piece.first :]]
        else:
            sweep.search(adopt=False)
            found = sweep.study.trials()
        seconds = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - begun}
    trials = [{"number": one.number, "values": dict(one.values), "score": one.score} for one in found]
    return {**seconds, "tokens": length, "trials": trials, "load": load_average()}


def _alone(sweep: Searching, trial: Trial) -> float:
    """The score of a trial that is trained by itself, and reads its texts by itself."""
    made = sweep.candidates(trial.values)
    (lesson,) = made.lessons
    alone = replace(lesson, seeds=(SEEDS + trial.number,), rate=made.settings.rate)
    tuned = tune(sweep.ready.backbone, [alone], method=made.method, settings=made.settings)
    return tuned.learnt[0].outcomes[0].value


def page(found: Mapping[Piece, Mapping[str, Any]]) -> str:
    """The table: a line a sweep, held against the mean of the trials that were measured one after the other."""
    head = (
        "tokens a text",
        "",
        "trials",
        "processor",
        "one after the other",
        "times less, processor",
        "times less, clock",
    )
    lines = ["| " + " | ".join(head) + " |", "| ---: | --- |" + " ---: |" * 5]
    apart, counts = 0.0, dict[str, int]()
    for piece, facts in sorted(found.items(), key=lambda pair: (pair[0].tokens, pair[0].side, pair[0].last)):
        alone = [other for one, other in found.items() if one.side == ALONE and one.tokens == piece.tokens]
        scores = {one["number"]: one["score"] for other in alone for one in other["trials"]}
        if piece.side == ALONE or not scores:
            continue
        length, trials = f"{facts['tokens']:.0f}", len(facts["trials"])
        counts[length] = len(scores)
        base = {clock: sum(other[clock] for other in alone) / len(scores) * trials for clock in ("cpu", "wall")}
        times = " | ".join(f"{base[clock] / facts[clock]:.1f}" for clock in ("cpu", "wall"))
        lines.append(f"| {length} | {piece.side} | {trials} | {facts['cpu']:.0f} s | {base['cpu']:.0f} s | {times} |")
        if not SIDES[piece.side]:
            pairs = [(one["score"], scores[one["number"]]) for one in facts["trials"] if one["number"] in scores]
            apart = max(apart, *(abs(one - other) for one, other in pairs))
    load = max(facts["load"] for facts in found.values())
    told = ", ".join(f"{count} of {length} tokens" for length, count in counts.items())
    about = (
        f"Trials of {STEPS} steps, {TRAIN} texts to learn from and {VALIDATION} that judge. Sweeps were measured once; "
        f"one after the other is the mean of the trials that were measured so ({told}), times their number. Scores of "
        f"the two sides differ by {apart:.3f} at most."
    )
    return "\n".join([*lines, "", f"{about} {sentence(load)}"]) + "\n"


def _chosen(missing: Sequence[Piece], options: Namespace) -> Sequence[Piece]:
    """The first of a side, all where nothing is kept, or none where what is there is shown."""
    if options.next is None:
        return () if options.work else missing
    return [piece for piece in missing if piece.side.startswith(options.next)][:1]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    parser = parser_of(__doc__)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--tokens", type=int, nargs="+", default=list(TOKENS))
    parser.add_argument("--work", type=Path, help="folder that keeps the pieces")
    parser.add_argument("--next", nargs="?", const="", metavar="SIDE", help="measure one piece that is not there yet")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = options.work or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        asked = pieces(options.trials, options.tokens)
        files = {piece: folder / f"{piece.name}.json" for piece in asked}
        missing = [piece for piece in asked if not files[piece].exists()]
        for piece in _chosen(missing, options):
            write_whole(files[piece], json.dumps(measured(piece)).encode())
        if options.next is None:
            there = {Piece.of(path.stem): json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")}
            publish("sweep", "Trials in one process", page(there), only_print=options.print)


if __name__ == "__main__":
    main()
