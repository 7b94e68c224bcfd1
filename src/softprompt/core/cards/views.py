"""From plain data, as ``--json`` shows it, to cards: one function a kind of thing.

The command line takes its facts and sentences from here too, so that both tell the same.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from softprompt.core.cards.card import Card, Column, Notice, Table
from softprompt.core.cards.tables import (
    class_rows,
    comparison_rows,
    label_rows,
    metric_rows,
    score_rows,
    suspect_rows,
    token_rows,
)
from softprompt.core.words import counted, duration, interval, percent, size

__all__ = [
    "OUT_OF_FOLD",
    "data_card",
    "evaluation_card",
    "origin_words",
    "plan_card",
    "plan_facts",
    "predict_command",
    "prompt_card",
    "prompt_facts",
    "run_card",
    "run_headline",
    "run_notices",
    "run_sentences",
    "task_card",
    "verdict_sentences",
    "withheld_sentence",
]

Document = Mapping[str, Any]

OUT_OF_FOLD = "out of fold"
SHOWN = 5  #: suspects, of which all stand in a file


# ---------------------------------------------------------------- task


def task_card(task: Document) -> Card:
    """A task: what is asked, and its labels with what stands for them.

    >>> card = task_card({"kind": "classify", "target": "topic", "labels": {"B1": {"say": "billing"}}})
    >>> card.title, card.tables[0].rows
    ('classify topic', (('B1', 'billing'),))
    """
    facts = [(name.replace("_", " "), _listed(value)) for name, value in task.items() if name not in {"kind", "labels"}]
    labels = task.get("labels")
    return Card(
        "task",
        f"{task.get('kind', 'task')} {task.get('target', '')}".strip(),
        facts=tuple((name, value) for name, value in facts if value),
        tables=[_labels(labels)] if isinstance(labels, Mapping) else [],
    )


def _labels(labels: Document) -> Table:
    """A line a label with everything that is said of it."""
    plain = {name: said if isinstance(said, Mapping) else {"say": said} for name, said in labels.items()}
    keys = list(dict.fromkeys(key for said in plain.values() for key in said))
    heads = {"say": "answer", "from": "other spellings"}
    rows = [(str(name), *(_listed(said.get(key)) for key in keys)) for name, said in plain.items()]
    return Table((Column("label"), *(Column(heads.get(key, key)) for key in keys)), tuple(rows))


def _listed(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


# ---------------------------------------------------------------- rows


def data_card(page: Document) -> Card:
    """The page before training."""
    splits = page["splits"]
    facts = [(name, counted(split["rows"], "row")) for name, split in splits.items()]
    tables = [label_rows(splits), token_rows(splits)]
    return Card(
        "data",
        ", ".join(f"{name} {split['rows']:,}" for name, split in splits.items()),
        facts=(*facts, *([("room", counted(page["max_tokens"], "token"))] if page["max_tokens"] else [])),
        tables=[table for table in tables if table.rows],
        notices=[
            *(Notice(warning, "look") for warning in page["warnings"]),
            *(Notice(note) for note in page.get("notes", ())),
        ],
    )


def plan_card(plan: Document) -> Card:
    """What a run would do and cost."""
    warnings = plan["data"]["warnings"]
    took = f"about {duration(sum(plan['seconds'].values()))}"
    return Card("plan", took, facts=tuple(plan_facts(plan)), notices=[Notice(warning, "look") for warning in warnings])


def plan_facts(plan: Document) -> list[tuple[str, str]]:
    """The same as pairs of words; a plan with its settings says where the run would write."""
    seconds, settings = plan["seconds"], plan.get("settings")
    tokens = plan["frozen_tokens"] + plan["live_tokens"]
    where = f" in {settings['output'] or 'runs/' + settings['name']}" if settings else ""
    stages = ", ".join(f"{stage} {duration(value)}" for stage, value in seconds.items() if value)
    return [
        ("rows", ", ".join(f"{name} {page['rows']:,}" for name, page in plan["data"]["splits"].items())),
        ("template", plan["template"]),
        ("answers", plan["answers"]),
        (
            "tokens",
            f"{counted(tokens, 'token')} a batch: {plan['frozen_tokens']:,} frozen, {plan['live_tokens']:,} live"
            f" ({percent(plan['live_tokens'] / max(1, tokens), digits=0)} computed in every step)",
        ),
        *(
            (stage, f"{counted(steps, 'step')}, {counted(plan['prompts'][stage], 'prompt')} side by side")
            for stage, steps in plan["steps"].items()
            if steps and plan["prompts"][stage]
        ),
        ("time", f"about {duration(sum(seconds.values()))} ({stages})"),
        ("memory", f"{size(plan['state_bytes'])} of cached texts; {size(plan['available_bytes'])} available"),
        ("disk", f"{size(plan['disk_bytes'])}{where}"),
    ]


# ---------------------------------------------------------------- saved prompts


def prompt_card(prompt: Document) -> Card:
    """A saved prompt: what it is for, how well it does it, what it belongs to."""
    manifest = prompt["manifest"]
    scores = manifest["scores"]
    return Card(
        "prompt",
        manifest["name"] or prompt.get("path", "") or "a prompt",
        headline=f"{scores[0]['metric']} {interval(scores[0])} on {scores[0]['split']} rows" if scores else "",
        facts=tuple(prompt_facts(prompt)),
        tables=[score_rows(scores)] if scores else [],
    )


def prompt_facts(prompt: Document) -> list[tuple[str, str]]:
    """What is worth a line of a saved prompt; what is not known has none."""
    manifest, model = prompt["manifest"], prompt["manifest"]["model"]
    task = manifest["task"]
    slots = ", ".join(f"{length} in {name!r}" for name, length in prompt["slots"].items())
    place = f", {manifest['placement']} the text" if manifest["placement"] in ("before", "after") else ""
    vectors = f", {prompt['label_vectors']} label vectors" if prompt["label_vectors"] else ""
    facts = [
        ("path", prompt.get("path", "")),
        ("task", f"{task.get('kind', '?')} {task.get('target', '')}".strip()),
        ("labels", ", ".join(task.get("labels", {}))),
        ("template", str(manifest["template"].get("text", "")).replace("\n", "⏎")),
        ("soft tokens", f"{slots or 'none'}{place}{vectors}" if "ensemble" not in manifest else ""),
        ("ensemble", ensemble_sentence(manifest["ensemble"]) if "ensemble" in manifest else ""),
        ("method", manifest["method"]["name"]),
        ("model", f"{model['id']}{' at ' + model['revision'] if model.get('revision') else ''}, {model['dtype']}"),
        ("fingerprint", f"{model['fingerprint'][:12]}, tokenizer {model['tokenizer'][:12]}"),
        ("size", f"{size(prompt['num_bytes'])} of numbers"),
        ("made", f"{manifest['created']} by softprompt {manifest['softprompt']}"),
        ("data", manifest["data_hash"][:12]),
        ("from", origin_words(manifest)),
        ("judged", "not yet with this model" if manifest.get("unevaluated") else ""),
        ("parents", ", ".join(parent[:12] for parent in manifest["parents"])),
        ("author", manifest["author"]),
        ("licence", manifest["licence"]),
        ("notes", manifest["notes"]),
        ("hash", prompt["content_hash"][:12]),
    ]
    return [(name, value) for name, value in facts if value]


def ensemble_sentence(ensemble: Document) -> str:
    """The members of an ensemble with their weights, in a line.

    >>> ensemble_sentence({"by": "mean", "weights": [1, 3], "members": [{"name": "a"}, {"name": "b"}]})
    'by mean: a 25 %, b 75 %'
    """
    total = sum(ensemble["weights"])
    pairs = zip(ensemble["members"], ensemble["weights"], strict=True)
    return f"by {ensemble['by']}: " + ", ".join(f"{one['name'] or '?'} {100 * w / total:.0f} %" for one, w in pairs)


def origin_words(manifest: Document) -> str:
    """Where a prompt comes from that was not trained here; empty for the others.

    >>> origin_words({"origin": {"kind": "imported", "format": "peft", "source": "tone", "model": "gpt2"}})
    'imported from peft tone for gpt2'
    """
    origin = manifest.get("origin")
    if not origin:
        return ""
    told = f"{origin['kind']} from {origin['format']} {origin['source']}".replace("  ", " ").strip()
    return f"{told} for {origin['model']}" if origin["model"] else told


# ---------------------------------------------------------------- evaluations


def evaluation_card(evaluation: Document) -> Card:
    """What predictions are worth: every score with its interval, and the classes."""
    metric, score = next(iter(evaluation["metrics"].items()), ("", {}))
    withheld = withheld_sentence(evaluation)
    return Card(
        "evaluation",
        evaluation["name"] or "answers",
        headline=f"{metric} {interval(score)}" if metric else "",
        facts=(("rows", f"{len(evaluation['items']):,}"), ("time", duration(evaluation["seconds"]))),
        tables=[metric_rows(evaluation), *([class_rows(evaluation["classes"])] if evaluation["classes"] else [])],
        sentences=[withheld] if withheld else [],
        notices=_lost(evaluation),
    )


def _lost(evaluation: Document) -> list[Notice]:
    """What of the texts was lost; a window of each is no reason to look."""
    return [Notice(evaluation["lost"], "look" if evaluation["cut"] else "note")] if evaluation["lost"] else []


def withheld_sentence(evaluation: Document) -> str:
    """How many answers were withheld, and what the others are worth; empty where none was."""
    if not evaluation["abstained"]:
        return ""
    given = f"; of those given {interval(evaluation['answered'])} are right" if evaluation["answered"] else ""
    return f"{counted(evaluation['abstained'], 'answer')} withheld{given}"


# ---------------------------------------------------------------- runs


def run_card(report: Document, *, size_bytes: int = 0, picture: str = "") -> Card:
    """A run: the score, what it beats, classes, curves, and what to do next.

    Args:
        report: Of a run, as report.json keeps it.
        size_bytes: Of the saved prompt's numbers.
        picture: Its curves.
    """
    comparison, classes, suspects = report["comparison"], report["evaluation"]["classes"], report["suspects"]
    name, _, headline = run_headline(report).partition(": ")
    tables = [comparison_rows(comparison)] if comparison else []
    tables += [class_rows(classes)] if classes else []
    if suspects:
        found = suspect_rows(suspects[:SHOWN])
        where = f"{counted(len(suspects), 'row')} in all: {report['folder']}/suspects.csv"
        tables.append(Table(found.columns, found.rows, title="labels to check", note=where))
    return Card(
        "run",
        name,
        headline=headline,
        facts=(
            ("kept", report["saved"]),
            ("saved", f"{report['prompt']}, {size(size_bytes)}"),
            ("took", duration(report["seconds"]["total"])),
        ),
        tables=tables,
        sentences=[*(verdict_sentences(comparison) if comparison else ()), *run_sentences(report)],
        notices=[*run_notices(report), *_lost(report["evaluation"])],
        picture=picture,
        commands=[predict_command(report["prompt"], report.get("fields", ()))],
    )


def predict_command(prompt: str, fields: Sequence[str] = ()) -> str:
    """How to ask a prompt: about a text, or about rows where its template reads several fields.

    >>> predict_command("runs/a/prompt"), predict_command("p", ["premise", "hypothesis"])
    ('softprompt predict runs/a/prompt --text "..."', 'softprompt predict p --input rows.jsonl')
    """
    return f"softprompt predict {prompt} " + ("--input rows.jsonl" if len(fields) > 1 else '--text "..."')


def run_headline(report: Document) -> str:
    """Name, score with its interval, and the rows that it is of."""
    evaluation = report["evaluation"]
    metric, score = next(iter(evaluation["metrics"].items()))
    folds = report["folds"] or ()
    which = f"training rows, each unseen by its prompt ({len(folds)} folds)" if report["split"] == OUT_OF_FOLD else ""
    which = which or f"{report['split']} rows"
    return f"{evaluation['name']}: {metric} {interval(score)} on {len(evaluation['items']):,} {which}"


def run_sentences(report: Document) -> list[str]:
    """Spread over seeds, the cross-validation, spread over folds: as far as there is any."""
    metric = next(iter(report["evaluation"]["metrics"]))
    found = []
    if len(report["seeds"]) > 1:
        values = [scores[metric]["estimate"] for scores in report["seeds"].values()]
        found.append(
            f"{counted(len(values), 'seed')}: {metric} {fmean(values):.3f} in the mean, "
            f"from {min(values):.3f} to {max(values):.3f}"
        )
    if report["held_out"] and report["split"] != OUT_OF_FOLD:
        held, score = next(iter(report["held_out"]["metrics"].items()))
        found.append(
            f"cross-validation: {held} {interval(score)} over all training rows, each judged by a prompt "
            "that had not seen it"
        )
    if folds := report["folds"]:
        found.append(f"by fold: {metric} from {min(folds):.3f} to {max(folds):.3f}")
    return found


def run_notices(report: Document) -> list[Notice]:
    """What a user should know of a run; what ended it early comes first."""
    found = [Notice(note) for note in report["notes"]]
    if diverged := report["stopped"].count("diverged"):
        what = f"{diverged} of {counted(len(report['stopped']), 'prompt')} came to numbers that are not finite"
        found.insert(0, Notice(f"{what}; the best before is kept; a lower training.rate may help", "look"))
    if report["interrupted"]:
        why = "the time was up" if "time" in report["stopped"] else "it was interrupted"
        found.insert(0, Notice(f"cut short before the last step, because {why}: this is the best so far", "stop"))
    return found


def verdict_sentences(comparison: Document) -> Sequence[str]:
    """The verdicts in words, one a contender."""
    return [one["sentence"] for one in comparison["differences"]]
