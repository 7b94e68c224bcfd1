"""What quality.py and adopt.py share: flags, the model, progress on standard error, and where the report goes."""

import argparse
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from softprompt.core.stats import Interval
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.loading import load

from .bootstrap import score
from .contest import play
from .outcomes import Outcome, Work
from .plan import CONTENDERS, GRID, Plan
from .problems import Problem
from .report import write_report

__all__ = ["add_flags", "contest", "plan_from"]


def add_flags(parser: argparse.ArgumentParser, *, work: Path) -> None:
    """The flags of both commands; ``work`` is where results are kept unless said otherwise."""
    parser.add_argument("--seeds", type=int, default=5, help="prompts a learned contender")
    parser.add_argument(
        "--steps", type=int, default=Plan().steps, help="optimiser steps of each training, on both sides"
    )
    parser.add_argument("--batch", type=int, default=16, help="rows a step, on both sides")
    parser.add_argument(
        "--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), help="who takes part now"
    )
    parser.add_argument("--work", type=Path, default=work, help="keeps results, to go on from")
    parser.add_argument("--threads", type=int, default=1, help="one makes processor time the time of a quiet machine")
    parser.add_argument("--dtype", choices=("auto", "bf16", "fp16", "fp32"), default="auto", help="of the frozen model")
    parser.add_argument("--device", default="auto", help="cpu, cuda, ...")
    parser.add_argument("--json", type=Path, metavar="FILE", help="report; .md and .svg are written beside it")
    parser.add_argument("--render", action="store_true", help="train nothing; report what is kept, of any defaults")
    parser.add_argument("--quick", action="store_true", help="a minute to see that everything works; no result")


def plan_from(args: argparse.Namespace) -> Plan:
    """How the contest is run."""
    if args.quick:
        return Plan(seeds=2, steps=8, grid=GRID[::4], contenders=args.contenders, ours={"probe_steps": 3})
    return Plan(seeds=args.seeds, steps=args.steps, batch_size=args.batch, contenders=args.contenders)


def contest(
    args: argparse.Namespace,
    model: str,
    problems: Sequence[Problem],
    *,
    skipped: Mapping[str, str],
    report: Path,
    title: str,
) -> dict[str, Any]:
    """Play and write the report; results of contenders that stood before are in it too."""
    torch.set_num_threads(args.threads)
    work = Work(args.work, only_kept=args.render)
    with threadpool_limits(args.threads), warnings.catch_warnings():
        # PEFT and transformers warn about what they set themselves
        warnings.simplefilter("ignore")
        backbone = _load(model, args, work)
        plan = plan_from(args)
        found = play(backbone, problems, plan, work, on_outcome=_tell)
    return write_report(
        report, title=title, backbone=backbone, problems=problems, plan=plan, found=found, skipped=skipped
    )


def _load(model: str, args: argparse.Namespace, work: Work) -> Backbone:
    """The model in the dtype that the first run in this folder found fastest."""
    backbone = load(model, dtype=args.dtype, device=args.device)
    setting = {"model": backbone.spec.fingerprint, "asked": args.dtype, "device": backbone.spec.device.type}
    dtype = str(backbone.spec.dtype).removeprefix("torch.")
    kept = work.once("dtype", setting=setting, make=lambda: {"dtype": dtype})["dtype"]
    if kept != dtype:
        short = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}[kept]
        backbone = load(model, dtype=short, device=args.device)
    return backbone


def _tell(problem: str, outcome: Outcome, seconds: float) -> None:
    interval: Interval = score(outcome.table)
    print(
        f"{problem:>18}  {CONTENDERS[outcome.contender]:<28} {interval}  {seconds:7.1f} s", file=sys.stderr, flush=True
    )
