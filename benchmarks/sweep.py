"""64 short trials in one process over one reading of the texts, against 64 in one warm process one after the other.

    python benchmarks/sweep.py                        some minutes on one core
    python benchmarks/sweep.py --trials 8 --print     to see that it works; nothing is written

Example messages by topic (800 to learn from, 100 that judge), the embedded model, one thread, trials of 30 steps by the
default space: length, rate, start, method and noise. Both sides train the same draws, with the same seeds, to the end:
nothing is given up early on either side. One after the other: the package's own ``tune`` a trial, which reads the texts
that it needs; the model and the rows are loaded before. The sweep: the package's own ``search`` with a study in a
database, 16 trials drawn at a time. Beside it the same with successive halving, which trains less, and whose gain is
therefore not the ratio that is asked for.

Knows candidates and studies; no settings files and no reports.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.rig.machine import load_average, sentence
from benchmarks.rig.results import parser_of, publish
from benchmarks.rig.rows import example_file, rows_in
from softprompt.app.config import RunConfig
from softprompt.app.recipes.prepare import prepare
from softprompt.app.recipes.sweep import Searching
from softprompt.app.watch import Watcher
from softprompt.lab.sweep.search import SEEDS
from softprompt.lab.sweep.study import Trial
from softprompt.lab.tuning import tune

__all__ = ["main", "page"]

STEPS = 30


def config_of(folder: Path, trials: int, *, halving: bool) -> RunConfig:
    """The settings of both sides."""
    sweep = {"trials": trials, "together": 16, "halving": halving, "steps": STEPS, "confirm": 0}
    return RunConfig.parse(
        {
            "output": str(folder),
            "model": {"name": "embedded", "dtype": "fp32"},
            "data": {"train": "messages", "validation": "messages", "columns": {"text": "text"}},
            "task": {"target": "topic"},
            "training": {"effort": "quick", "keep": "last", "evaluations": 3},
            "sweep": sweep,
        }
    )


def searching(folder: Path, trials: int, *, halving: bool) -> Searching:
    """A sweep that is ready to begin."""
    sources = {"train": rows_in(example_file("train"))[:800], "validation": rows_in(example_file("validation"))[:100]}
    return Searching(prepare(config_of(folder, trials, halving=halving), sources=sources), folder, Watcher())


def one_by_one(sweep: Searching, trials: Sequence[Trial]) -> dict[int, float]:
    """Scores of the same trials, each trained by itself."""
    found = {}
    for trial in trials:
        made = sweep.candidate(trial.values)
        (lesson,) = made.lessons
        alone = replace(lesson, seeds=(SEEDS + trial.number,), rate=made.settings.rate)
        tuned = tune(sweep.ready.backbone, [alone], method=made.method, settings=made.settings)
        found[trial.number] = tuned.learnt[0].outcomes[0].value
    return found


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the processor and on the clock."""
    begun, cpu = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - cpu, time.perf_counter() - begun


def page(times: dict[str, tuple[float, float]], *, trials: int, apart: float, load: float) -> str:
    """The table."""
    base = times["one after the other"]
    lines = ["| | processor | on the clock | times less, processor | times less, clock |", "|" + " --- |" * 5]
    for name, (cpu, wall) in times.items():
        lines.append(f"| {name} | {cpu:.1f} s | {wall:.1f} s | {base[0] / cpu:.2f} | {base[1] / wall:.2f} |")
    about = f"{trials} trials of {STEPS} steps, once each; scores of the two sides differ by {apart:.3f} at most."
    return "\n".join([*lines, "", f"{about} {sentence(load)}"]) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    parser = parser_of(__doc__)
    parser.add_argument("--trials", type=int, default=64)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        warm = searching(Path(name) / "warm", 1, halving=False)
        warm.search(adopt=False)  # the first training of a process pays for warming up
        times: dict[str, tuple[float, float]] = {}
        shared = searching(Path(name) / "shared", options.trials, halving=False)
        shared_times = timed(lambda: shared.search(adopt=False))
        trials, alone = shared.study.trials(), dict[int, float]()
        times["one after the other"] = timed(lambda: alone.update(one_by_one(shared, trials)))
        times["one sweep"] = shared_times
        halved = searching(Path(name) / "halved", options.trials, halving=True)
        times["one sweep with halving"] = timed(lambda: halved.search(adopt=False))
        apart = max(abs((one.score or 0.0) - alone[one.number]) for one in trials)
    text = page(times, trials=options.trials, apart=apart, load=load_average())
    publish("sweep", "Trials in one process", text, only_print=options.print)


if __name__ == "__main__":
    main()
