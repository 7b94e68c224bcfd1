"""The report of a contest: JSON for machines, a page for people, a picture.

Wins and losses are told by the same rule and in the same words. The JSON keeps which row each seed answered right, so
that every number of the page can be computed again.
"""

import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.rig.machine import describe, load_average
from softprompt.core.stats import Interval, verdict
from softprompt.model.backbones.base import Backbone

from .bootstrap import difference, score
from .outcomes import Outcome
from .picture import draw
from .plan import CONTENDERS, Plan
from .problems import Problem

__all__ = ["MARGIN", "OURS", "PEER", "page", "report_of", "write_report"]

#: What the targets are about.
OURS, PEER = ("after", "before"), "peft_best"

#: Ours may be this much worse than the peer's best at most, with 95 % confidence.
MARGIN = 0.01

TOY = (
    "The embedded model is of toy size (20 million parameters): what wins here does not predict what wins on yours; "
    "`python benchmarks/adopt.py --model ID --data FILE` repeats the comparison on your model and your rows."
)


def write_report(
    path: Path,
    *,
    title: str,
    backbone: Backbone,
    problems: Sequence[Problem],
    plan: Plan,
    found: Mapping[str, Mapping[str, Outcome]],
    skipped: Mapping[str, str],
) -> dict[str, Any]:
    """Write ``path`` (JSON) and the page and picture of the same name beside it; returns the report."""
    report = report_of(title=title, backbone=backbone, problems=problems, plan=plan, found=found, skipped=skipped)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    path.with_suffix(".svg").write_text(draw(report), "utf-8")
    path.with_suffix(".md").write_text(page(report, picture=path.with_suffix(".svg").name), "utf-8")
    return report


def report_of(
    *,
    title: str,
    backbone: Backbone,
    problems: Sequence[Problem],
    plan: Plan,
    found: Mapping[str, Mapping[str, Outcome]],
    skipped: Mapping[str, str],
) -> dict[str, Any]:
    """Everything as plain data."""
    spec = backbone.spec
    machine = describe(spec.device.type)
    machine["versions"] |= {"scikit-learn": metadata.version("scikit-learn")}
    clock = "cpu_seconds" if spec.device.type == "cpu" and machine["threads"] == 1 else "seconds"
    return {
        "title": title,
        "model": {
            "name": spec.name,
            "parameters": spec.num_parameters,
            "dtype": str(spec.dtype).removeprefix("torch."),
            "fingerprint": spec.fingerprint,
        },
        "machine": machine | {"load_average": load_average()},
        "plan": plan.describe(),
        "clock": clock,
        "skipped": dict(skipped),
        "problems": [_problem(problem, found[problem.name]) for problem in problems],
    }


def _problem(problem: Problem, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    contenders = {
        name: outcome.to_dict()
        | {"score": score(outcome.table).as_dict(), "by_seed": [round(float(one.mean()), 4) for one in outcome.table]}
        for name, outcome in outcomes.items()
    }
    differences: dict[str, dict[str, dict[str, Any]]] = {
        ours: {
            other: difference(outcomes[ours].table, outcome.table).as_dict()
            for other, outcome in outcomes.items()
            if other != ours
        }
        for ours in OURS
        if ours in outcomes
    }
    reached = {ours: found[PEER]["low"] > -MARGIN for ours, found in differences.items() if PEER in found}
    return {
        "name": problem.name,
        **problem.describe(),
        "contenders": contenders,
        "differences": differences,
        "target_reached": reached,
    }


# --- the page


def page(report: Mapping[str, Any], *, picture: str) -> str:
    """Markdown."""
    parts = [f"# {report['title']}", TOY if report["model"]["name"] == "embedded" else "", _setting(report)]
    parts += [f"![Score against time, one panel a data set]({picture})", "## All scores", _overview(report)]
    parts += [_section(report, problem) for problem in report["problems"]]
    if report["skipped"]:
        parts += ["## Left out", *(f"* {name}: {why}" for name, why in report["skipped"].items())]
    return "\n\n".join(part for part in parts if part) + "\n"


def _setting(report: Mapping[str, Any]) -> str:
    plan, machine, model = report["plan"], report["machine"], report["model"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    by_cpu = report["clock"] == "cpu_seconds"
    clock = "processor time on one thread, which other work lengthens less than wall time" if by_cpu else "wall time"
    return (
        f"Model {model['name']} ({model['parameters'] / 1e6:.1f} M parameters, {model['dtype']}). Every prompt: 20 "
        f"vectors, {plan['steps']} steps of {plan['batch_size']} rows; {plan['seeds']} seeds. PEFT's grid: "
        f"{', '.join(plan['grid'])}. Scores are the share of right answers on the judged rows, mean over seeds; "
        f"intervals are 95 %, over seeds and rows. Seconds are {clock}; *choose* is what finding the rate (and reading "
        f"the texts) took, *train* all seeds together.\n\n"
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['threads']} thread(s) used, "
        f"{machine['memory_gb']} GB, load {machine['load_average']} when written. "
        f"Python {machine['python']}, {versions}."
    )


def _overview(report: Mapping[str, Any]) -> str:
    names = [name for name in CONTENDERS if any(name in one["contenders"] for one in report["problems"])]
    lines = [f"| data | {' | '.join(CONTENDERS[name] for name in names)} |", f"| --- |{' ---: |' * len(names)}"]
    for problem in report["problems"]:
        cells = [_percent(problem["contenders"].get(name)) for name in names]
        lines.append(f"| {problem['name']} | {' | '.join(cells)} |")
    sentence = _target_sentence(report)
    return "\n".join(lines) + (f"\n\n{sentence}" if sentence else "")


def _target_sentence(report: Mapping[str, Any]) -> str:
    """Which targets are met, and which are not."""
    sentences = []
    for ours in OURS:
        found = {one["name"]: one["target_reached"].get(ours) for one in report["problems"]}
        met = [name for name, reached in found.items() if reached]
        missed = [name for name, reached in found.items() if reached is False]
        if met or missed:
            where = f"; missed on {', '.join(missed)}" if missed else ""
            sentences.append(
                f"* Target (lower bound of the difference to PEFT's best above -1 point), {CONTENDERS[ours]}: "
                f"met on {len(met)} of {len(met) + len(missed)} data sets{where}."
            )
    return "\n".join(sentences)


def _section(report: Mapping[str, Any], problem: Mapping[str, Any]) -> str:
    rows = problem["rows"]
    head = (
        f"## {problem['name']}\n\n{rows['train']} rows learnt from, {rows['validation']} that choose, {rows['judged']} "
        f"judged; labels: {', '.join(problem['labels'])}."
    )
    table = ["| | score | 95 % | lowest and highest seed | choose s | train s | learnt numbers | chosen |"]
    table.append("| --- | ---: | --- | --- | ---: | ---: | ---: | --- |")
    for name, one in problem["contenders"].items():
        low, high = one["score"]["low"], one["score"]["high"]
        seeds = f"{100 * min(one['by_seed']):.1f} to {100 * max(one['by_seed']):.1f}" if len(one["seeds"]) > 1 else ""
        spent = [f"{one[part][report['clock']]:.1f}" for part in ("search", "train")]
        cells = [CONTENDERS[name], _percent(one), f"[{100 * low:.1f}, {100 * high:.1f}]", seeds, *spent]
        table.append(f"| {' | '.join(cells)} | {one['num_trained']:,} | {_chosen(one)} |")
    return "\n\n".join([head, "\n".join(table), _differences(problem)])


def _differences(problem: Mapping[str, Any]) -> str:
    if not problem["differences"]:
        return ""
    columns = list(problem["differences"])
    others = [name for name in CONTENDERS if any(name in found for found in problem["differences"].values())]
    lines = [f"| difference in points | {' | '.join(CONTENDERS[ours] for ours in columns)} |"]
    lines.append(f"| --- |{' --- |' * len(columns)}")
    for other in others:
        cells = [_difference(problem["differences"][ours].get(other)) for ours in columns]
        lines.append(f"| against {CONTENDERS[other]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _difference(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    interval = Interval(**found)
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.estimate:+.1f} [{low:+.1f}, {high:+.1f}] {verdict(interval)}"


def _percent(one: Mapping[str, Any] | None) -> str:
    return "" if one is None else f"{100 * one['score']['estimate']:.1f}"


def _chosen(one: Mapping[str, Any]) -> str:
    details = one["details"]
    if "rate" in details:
        return f"rate {details['rate']:g}, answers: {details['answers']}"
    return str(details.get("recipe") or details.get("note") or "")
