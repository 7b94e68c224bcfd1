"""Step time of methods whose soft tokens enter the layers, beside plain vectors, before and after the text.

    python benchmarks/step_time_methods.py                        12 layers of 768, 256 tokens a text, batch 16
    python benchmarks/step_time_methods.py --shape tiny           to try the script

Every repeat runs each contender once, on the same frozen model and the same rows; steps are those of a user's run, with
the texts' states kept in RAM where the tokens stand after the text. Prints a table and writes nothing.
"""

import argparse
import sys
from statistics import median

import torch
from rig import timing
from rig.contenders import Ours
from rig.setting import SHAPES, Setting, backbone_of

from softprompt.model.states import Budget

METHODS = ("plain", "deep", "late")


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="small", help="(small)")
    parser.add_argument("--tokens", type=int, default=256, help="tokens a text (256)")
    parser.add_argument("--batch", type=int, default=16, help="rows a step (16)")
    parser.add_argument("--repeats", type=int, default=5, help="after one warm-up (5)")
    parser.add_argument("--threads", type=int, default=2, help="(2)")
    parser.add_argument("--dtype", default="bf16", help="of the model (bf16)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    setting = Setting(
        tokens=options.tokens, batch=options.batch, shape=options.shape, dtype=options.dtype, threads=options.threads
    )
    backbone = backbone_of(setting)
    large = 1 << 62
    contenders = [
        Ours(
            setting,
            backbone,
            name=f"{method} {'after' if after else 'before'}",
            after=after,
            method=method,
            budget=Budget(device=large, memory=large) if after else None,
        )
        for after in (False, True)
        for method in METHODS
    ]
    steps = timing.interleaved(
        contenders, repeats=options.repeats, on_repeat=lambda n: print(f"repeat {n}", file=sys.stderr)
    )
    print("contender        seconds  processor seconds")
    for name, taken in steps.items():
        wall, cpu = median(step.seconds for step in taken), median(step.cpu_seconds for step in taken)
        print(f"{name:15} {wall:8.3f} {cpu:10.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
