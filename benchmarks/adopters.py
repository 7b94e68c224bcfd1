"""A picture for adopters: score against labelled rows on eight public sets, for what one would try.

    python benchmarks/adopters.py --work runs/adopters                 all of it: 90 minutes of one core; it resumes
    python benchmarks/adopters.py --work runs/adopters --minutes 15    a piece of 15 processor minutes
    python benchmarks/adopters.py --work runs/adopters --page          results/adopters.{md,json,svg} of what is there

TF-IDF, embeddings, a few-shot text prompt, a soft prompt and LoRA, all on the embedded model and with the settings that
``softprompt curve`` has, learn from 16 to 2,000 rows of five draws and are judged on the same 300 rows. Public data is
read from ``SOFTPROMPT_SHARED``; sets that are not there are missing in the page, which says so.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.adopting.cells import kept, measured, places, put, remember, remembered
from benchmarks.adopting.page import write
from benchmarks.adopting.sets import SETS, ground
from benchmarks.rig.results import RESULTS
from softprompt.model.backbones import loading

__all__ = ["main", "work"]


def work(folder: Path, names: Sequence[str], *, minutes: float | None = None) -> int:
    """Measure what is not measured yet, round by round over all sets; returns how many cells.

    Args:
        folder: Where cells are kept.
        names: Of the sets.
        minutes: Of the processor, after which no further cell is begun.
    """
    torch.set_num_threads(1)
    backbone = loading.load("embedded")
    grounds = {}
    for name in names:
        try:
            grounds[name] = ground(name, backbone)
        except FileNotFoundError as error:
            print(error)
    known, done = {cell.place for cell in kept(folder)}, 0
    remember(folder, {name: (len(on.pool), len(on.stage.task.names)) for name, on in grounds.items()}, backbone)
    wanted = [
        one for on in grounds.values() for one in places(on.name, pool=len(on.pool), labels=len(on.stage.task.names))
    ]
    for _, place in sorted(wanted, key=lambda one: (one[0], one[1].seed)):
        if place in known:
            continue
        if minutes is not None and time.process_time() > 60 * minutes:
            break
        cell = measured(place, grounds[place.name])
        put(folder, cell)
        done += 1
        score = "-" if cell.score is None else f"{cell.score:.3f}"
        print(time.strftime("%H:%M:%S"), place.file, score, f"{cell.fit:.1f} s", cell.why, flush=True)
    return done


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="A picture for adopters, on eight public sets.")
    parser.add_argument("--work", type=Path, default=Path("runs/adopters"), help="where cells are kept")
    parser.add_argument("--minutes", type=float, help="of the processor, after which no further cell is begun")
    parser.add_argument("--datasets", nargs="+", choices=list(SETS), default=list(SETS), metavar="NAME")
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page of what is there")
    options = parser.parse_args(arguments)
    if not options.page:
        print(f"{work(options.work, options.datasets, minutes=options.minutes)} cells measured")
    write(RESULTS / "adopters.json", kept(options.work), pools=remembered(options.work))


if __name__ == "__main__":
    main()
