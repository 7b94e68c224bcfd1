"""A model card for a hub: front matter that machines read, and what a person has to know before using the prompt.

Takes the manifest of a saved prompt and the report of its run. Nothing is made up: what is not known is left out, and
what the author has to add is named.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from softprompt.app.report.markdown import cell, table
from softprompt.app.report.view import amount
from softprompt.core.cards.views import predict_command

__all__ = ["model_card"]

Document = Mapping[str, Any]

#: Kind of task -> what a hub calls it.
PIPELINES = {
    "classify": "text-classification",
    "multilabel": "text-classification",
    "score": "text-classification",
    "choose": "multiple-choice",
    "generate": "text-generation",
    "dialogue": "text-generation",
    "extract": "text-generation",
}


def model_card(prompt: Document, report: Document) -> str:
    """The card of a saved prompt.

    Args:
        prompt: :meth:`softprompt.model.prompts.prompt.Prompt.to_dict` of it.
        report: The report of its run.
    """
    manifest = prompt["manifest"]
    task, model, name = manifest["task"], manifest["model"], manifest["name"] or "a soft prompt"
    front = yaml.safe_dump(_front(manifest, name), sort_keys=False, allow_unicode=True)
    asked = f"{task.get('kind', '')} {task.get('target', '')}".strip()
    parts = ["---", front.rstrip(), "---", "", f"# {cell(name)}", ""]
    parts += [
        f"A soft prompt: learned vectors that specialise a frozen model to *{cell(asked)}*. The model is not changed.",
        "",
    ]
    parts += [_facts(prompt), "", "## Use", "", "```console"]
    parts += ["$ pip install softprompt", f"$ {predict_command('PATH', _fields(manifest))}", "```", ""]
    parts += [
        f"It belongs to one model, `{cell(model['id'])}` with the fingerprint `{model['fingerprint'][:16]}`;",
        "another is refused, with the difference named.",
        "",
    ]
    parts += ["## How well it does it", "", f"**{cell(report['verdict'])}.**", ""]
    if report["lines"]:
        rows = [_line(line) for line in report["lines"]]
        score = f"{report['metric']}{' %' if report['scale']['share'] else ''}" if report["metric"] else "score"
        heads = ["", cell(score), "95 % interval", "verdict"]
        parts += [table(heads, rows, numbers=[1]), ""]
        parts += [f"Judged on {report['num_rows']:,} {report['split']} rows that it had not learnt from.", ""]
    parts += [f"> {cell(warning)}\n" for warning in report["warnings"]]
    parts += _weak(report["closer"])
    parts += ["## Limits", "", _limits(manifest), ""]
    return "\n".join(parts)


def _front(manifest: Document, name: str) -> dict[str, Any]:
    """What a hub reads."""
    model, task = manifest["model"], manifest["task"]
    kind = PIPELINES.get(str(task.get("kind")), "text-generation")
    metrics = [
        {"type": one["metric"], "value": round(one["value"], 4), "name": f"{one['metric']} ({one['split']})"}
        for one in manifest["scores"]
    ]
    found: dict[str, Any] = {
        "library_name": "softprompt",
        **({"base_model": model["id"]} if model.get("revision") else {}),  # a hub knows its own models, no paths
        "pipeline_tag": kind,
        "tags": ["soft-prompt", "prompt-tuning", str(task.get("kind", ""))],
    }
    if manifest["licence"]:
        found["license"] = manifest["licence"]
    if metrics:
        data = {"name": "held-out rows", "type": "private"}
        result = {"task": {"type": kind}, "dataset": data, "metrics": metrics}
        found["model-index"] = [{"name": name, "results": [result]}]
    return found


def _fields(manifest: Document) -> list[str]:
    """What the prompt reads, as far as its settings name it."""
    data = manifest.get("config", {}).get("data")
    columns = data.get("columns") if isinstance(data, Mapping) else None
    return list(columns) if isinstance(columns, Mapping) else []


def _facts(prompt: Document) -> str:
    manifest = prompt["manifest"]
    pairs = [
        ("labels", ", ".join(map(str, manifest["task"].get("labels", {}) or {}))),
        ("template", str(manifest["template"].get("text", ""))),
        ("method", manifest["method"]["name"]),
        ("numbers", f"{prompt['num_bytes']:,} bytes"),
        ("made", manifest["created"]),
        ("data", manifest["data_hash"][:16]),
        ("author", manifest["author"]),
        ("content hash", prompt["content_hash"][:16]),
    ]
    return table(["", ""], [pair for pair in pairs if pair[1]])


def _line(line: Document) -> list[str]:
    score, against, share = line["score"], line["against"], line["share"]
    bounds = " to ".join(amount(score[end] if score else None, share=share) for end in ("low", "high"))
    return [
        line["name"],
        amount(score["estimate"] if score else None, share=share),
        bounds,
        against["verdict"] if against else ("this prompt" if line["own"] else ""),
    ]


def _weak(closer: Document | None) -> list[str]:
    if closer is None or not closer["by_label"]:
        return []
    name = closer["names"][0]
    rows = [[one["label"], one["rows"], f"{100 * one['scores'][name]['estimate']:.0f}"] for one in closer["by_label"]]
    return ["By label:", "", table(["label", "rows", "right %"], rows, numbers=[1, 2]), ""]


def _limits(manifest: Document) -> str:
    told = [
        "Scores hold for rows like those that judged it; intervals know nothing of other sources, languages or times.",
        "It inherits what the frozen model has learnt, its biases too.",
    ]
    missing = [name for name in ("author", "licence") if not manifest[name]]
    if missing:
        told.append(f"Not stated yet: {', '.join(missing)} (`softprompt tune --set author=... --set licence=...`).")
    if manifest["notes"]:
        told.append(cell(manifest["notes"]))
    return "\n".join(f"- {line}" for line in told)
