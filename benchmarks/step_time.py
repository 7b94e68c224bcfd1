"""Step time, peak memory and wall time to N epochs against PEFT prompt tuning, on the same frozen model.

    python benchmarks/step_time.py                          the full run: 64, 256 and 512 tokens (an hour on two cores)
    python benchmarks/step_time.py --quick                  64 tokens, three repeats: a few minutes, nothing is written
    python benchmarks/step_time.py --tokens 256 --json      one length, JSON on the standard output
    python benchmarks/step_time.py --device cuda            on an accelerator

Writes step_time.json, step_time.md and step_time.svg into benchmarks/results. Ratios come from one run: all
contenders share one process and one model, and every repeat runs each of them once. What is compared, and why it is
fair, stands in benchmarks/README.md.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rig import charts, epochs, machine, memory, report, timing
from rig.contenders import CONTENDERS, contender
from rig.setting import SHAPES, Setting, backbone_of

HERE = Path(__file__).resolve()

#: Largest difference of two losses that should be equal, and of their gradients: bf16 has three significant digits.
TOLERANCE = {"bf16": (0.02, 0.10), "fp16": (0.01, 0.05), "fp32": (1e-4, 1e-3)}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write."""
    options = _options().parse_args(arguments)
    if options.child:
        print(json.dumps(memory.child(options.child, Setting(**json.loads(options.setting)))))
        return 0
    if options.quick:
        options.tokens = options.tokens or [64]
        options.repeats = min(options.repeats, 3)
    say = _say if not options.json else _quiet
    result = run(options, say)
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        print(report.page(result))
    if options.out or not options.quick:
        write(result, Path(options.out or HERE.parent / "results"))
    return 0


def run(options: argparse.Namespace, say: Any) -> dict[str, Any]:
    """Everything that was asked for, as plain data."""
    torch.set_num_threads(options.threads)
    base = Setting(
        batch=options.batch,
        shape=options.shape,
        dtype=options.dtype,
        device=options.device,
        threads=options.threads,
        vectors=options.vectors,
    )
    result: dict[str, Any] = {
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": machine.describe(options.device),
        "setting": base.as_dict(),
        "repeats": options.repeats,
        "epochs": options.epochs,
        "budget_gb": options.budget_gb,
        "by_tokens": {},
    }
    backbone = backbone_of(base)
    busy = []
    for tokens in options.tokens or [64, 256, 512]:
        setting = base.to(tokens=tokens)
        one: dict[str, Any] = {}
        if "memory" in options.only:
            say(f"{tokens} tokens: memory, a process each")
            one["memory"] = {name: memory.measure(HERE, name, setting) for name in CONTENDERS}
        say(f"{tokens} tokens: steps")
        contenders = {name: contender(name, setting, backbone) for name in CONTENDERS}
        one["agreement"] = check_agreement(timing.agree(contenders), options.dtype)
        steps = timing.interleaved(
            list(contenders.values()), repeats=options.repeats, on_repeat=lambda n: say(f"  repeat {n}")
        )
        one["steps"] = timing.summary(steps)
        one["load"] = machine.load_average()
        busy += [step.cpu_seconds < 0.75 * options.threads * step.seconds for step in steps["peft"]]
        del contenders, steps
        if "epochs" in options.only:
            say(f"{tokens} tokens: parts of the wall time to N epochs")
            one["epochs"] = wall_time(options, setting, backbone, one["steps"])
        result["by_tokens"][str(tokens)] = one
    result["disturbed"] = options.device == "cpu" and options.shape == "small" and sum(busy) > len(busy) / 2
    return result


def wall_time(options: argparse.Namespace, setting: Setting, backbone: Any, steps: dict[str, Any]) -> dict[str, Any]:
    """Parts, check and table of the wall time to N epochs."""
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        measured = epochs.measure(
            setting, backbone, repeats=options.repeats, sample_texts=options.sample_texts, folder=Path(folder)
        )
    medians = {name: steps[name]["median"] for name in ("peft", "peft_best", "before")}
    return {
        "measured": measured,
        "check": epochs.real_run(setting, backbone, measured, rows=options.check_rows, epochs=3),
        "table": epochs.table(
            setting,
            measured,
            medians,
            rows=options.rows,
            epochs=options.epochs,
            budget_bytes=options.budget_gb * 1e9,
            state_bytes=backbone.spec.kv_bytes,
        ),
    }


def check_agreement(found: dict[str, dict[str, float]], dtype: str) -> dict[str, dict[str, float]]:
    """Refuse to compare contenders that do not compute the same."""
    loss, gradient = TOLERANCE[dtype]
    for pair, one in found.items():
        if not (one["difference"] <= loss and one["gradient"] <= gradient):
            raise SystemExit(f"{pair} does not hold: {one}; allowed: loss {loss}, gradient {gradient}")
    return found


def write(result: dict[str, Any], folder: Path) -> None:
    """JSON, page and picture."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "step_time.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / "step_time.md").write_text(report.page(result).rstrip() + "\n")
    groups = {
        f"{tokens} tokens": {name: found["median"] for name, found in one["steps"].items()}
        for tokens, one in result["by_tokens"].items()
    }
    labels = {
        "peft": "PEFT",
        "peft_best": "PEFT at its best",
        "before": "before the text",
        "after": "after the text",
        "after_no_cache": "after, without cache",
    }
    title = f"Seconds a training step, batch {result['setting']['batch']}, {result['machine']['cpu']}"
    chart = charts.bars(groups, title=title, unit="s", labels=labels, ours=["before", "after", "after_no_cache"])
    (folder / "step_time.svg").write_text(chart)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--tokens", type=int, nargs="+", help="tokens a text (64 256 512)")
    add("--repeats", type=int, default=7, help="interleaved repeats after one warm-up (7)")
    add("--quick", action="store_true", help="64 tokens, three repeats, nothing written unless --out")
    add("--json", action="store_true", help="JSON on the standard output")
    add("--only", nargs="+", choices=["memory", "epochs"], default=["memory", "epochs"], help="beside the steps")
    add("--steps-only", dest="only", action="store_const", const=[], help="neither memory nor epochs")
    add("--device", default="cpu", help="cpu or cuda (cpu)")
    add("--dtype", choices=sorted(TOLERANCE), default="bf16", help="of the model (bf16)")
    add("--threads", type=int, default=2, help="(2)")
    add("--batch", type=int, default=16, help="rows a step (16)")
    add("--vectors", type=int, default=20, help="soft tokens (20)")
    add("--shape", choices=sorted(SHAPES), default="small", help="small: 12 layers of 768; tiny: for trying the script")
    add("--rows", type=int, nargs="+", default=[1000, 5000], help="training rows (1000 5000)")
    add("--epochs", type=int, nargs="+", default=[1, 3, 10, 30], help="(1 3 10 30)")
    add("--budget-gb", type=float, default=8.0, help="RAM that cached states may take (8)")
    add("--sample-texts", type=int, default=64, help="texts read to measure the reading (64)")
    add("--check-rows", type=int, default=96, help="rows of the real run that checks the wall times (96)")
    add("--folder", help="where state files are tried; the system's temporary folder by default")
    add("--out", help="folder of the results (benchmarks/results)")
    add("--child", help=argparse.SUPPRESS)
    add("--setting", help=argparse.SUPPRESS)
    return parser


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _quiet(line: str) -> None:
    return


if __name__ == "__main__":
    sys.exit(main())
