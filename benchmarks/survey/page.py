"""The page and the data of benchmarks/methods.py, made from what was kept: no model and no rows are needed.

Cells that were not measured are named, not left out silently.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.contest.outcomes import Outcome, Work
from softprompt.core.stats import Interval, verdict

from .findings import Finding, findings, replaces, settled
from .trials import READING
from .ways import WAYS, ways_for

__all__ = ["ABOUT", "PEER", "collected", "page", "places"]

#: Names of what is kept of a model and of a problem beside the trials.
ABOUT = "about"

#: Who else stands in the tables: not a way of ours.
PEER = "PEFT, best rate"


def collected(work: Work, *, problems: Sequence[str]) -> dict[str, Any]:
    """Everything that is kept of one model, as plain data.

    Raises:
        LookupError: Nothing is kept there.
        ValueError: Trials of different lengths are kept, which must not stand in one table.
    """
    model = _kept(work, ABOUT)
    if model is None:
        raise LookupError(f"nothing is kept in {work.folder}; run without --render first")
    found, reading, missing, about, steps = {}, {}, {}, {}, set()
    for problem in problems:
        kept = {name: one for name in (*WAYS, PEER) if (one := _kept(work, problem, name)) is not None}
        missing[problem] = [name for name in ways_for(problem) if name not in kept]
        if not kept:
            continue
        steps |= {one["setting"]["steps"] for one in kept.values()}
        found[problem] = findings({name: Outcome.from_dict(one["result"]) for name, one in kept.items()})
        about[problem] = (_kept(work, problem, ABOUT) or {}).get("result", {})
        reading[problem] = (_kept(work, problem, READING) or {}).get("result", {})
    if len(steps) > 1:
        raise ValueError(f"trials of {sorted(steps)} steps are kept in {work.folder}; give each length a folder")
    return {
        "model": model["result"],
        "steps": min(steps, default=0),
        "problems": about,
        "reading": reading,
        "missing": {problem: names for problem, names in missing.items() if names},
        "ways": found,
    }


def page(models: Mapping[str, Mapping[str, Any]], *, pictures: Mapping[str, str], machine: str) -> str:
    """Markdown.

    Args:
        models: By label: what :func:`collected` gives.
        pictures: File names by label.
        machine: In a sentence.
    """
    parts = [_MEANS]
    for label, one in models.items():
        model, found = one["model"], one["ways"]
        parts.append(f"## {label}")
        parts.append(
            f"{model['parameters'] / 1e6:.1f} M parameters, {model['dtype']}, {one['steps']} steps of 16 rows."
            f"{_reading(one)}"
        )
        parts.append(f"![Score against the cost of training, one panel a data set]({pictures[label]})")
        parts += [_overview(found), _verdicts(found)]
        parts += [
            f"### {problem}\n\n{_rows(one['problems'][problem])}\n\n{_table(by)}" for problem, by in found.items()
        ]
        if one["missing"]:
            lines = [f"* {problem}: {'; '.join(names)}" for problem, names in one["missing"].items()]
            parts.append("\n".join(["Not measured yet:", "", *lines]))
    return "\n\n".join([*parts, machine]) + "\n"


_MEANS = """\
300 labelled rows of which a fifth chooses the rate, 20 soft tokens, label vectors, the package's own probe of three
rates, three seeds. Scores are shares of right answers on the judged rows, mean over seeds; intervals are 95 % and count
the luck of seeds and of rows; *against plain* is paired by row. *Learnt* are the numbers that one training moves (label
vectors among them), *stored* is what is kept of them; *probe* and *train* are processor seconds on one thread, *train*
of one seed out of three that are trained side by side; *live* are the tokens of the median row that a step computes;
*in use* is one request of one text, in processor milliseconds.

*Label vectors alone* have no soft token. Multitask needs several tasks at once and is not in the tables. No cell says
anything of other models: the embedded one is of toy size."""


def places() -> dict[str, str]:
    """Where the soft tokens of every way stand, for the picture.

    >>> places()["label vectors alone"], places()["plain, before"]
    ('none', 'before')
    """
    return {name: way.place if way.length else "none" for name, way in WAYS.items()} | {PEER: "before"}


def _kept(work: Work, *names: str) -> dict[str, Any] | None:
    path = work.path(*names, ending=".json")
    found: dict[str, Any] | None = json.loads(path.read_text("utf-8")) if path.is_file() else None
    return found


def _reading(one: Mapping[str, Any]) -> str:
    """What reading the texts cost, said once: it is shared."""
    texts = [
        f"{name} {found['cpu_seconds']:.0f} s ({found['tokens']:,} tokens)"
        for name, found in one["reading"].items()
        if found
    ]
    return f" Texts were read once for all ways after them, judged rows too: {', '.join(texts)}." if texts else ""


def _rows(about: Mapping[str, Any]) -> str:
    rows = about["rows"]
    return f"{rows['train']} rows learnt from, {rows['validation']} that choose, {rows['judged']} judged."


def _overview(found: Mapping[str, Mapping[str, Finding]]) -> str:
    """Scores of all ways on all problems."""
    names = list(dict.fromkeys(name for by_way in found.values() for name in by_way))
    ordered = [name for name in (*WAYS, PEER) if name in names]
    lines = [f"| | {' | '.join(found)} |", f"| --- |{' ---: |' * len(found)}"]
    for name in ordered:
        cells = [_percent(by_way[name]["score"]) if name in by_way else "" for by_way in found.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _verdicts(found: Mapping[str, Mapping[str, Finding]]) -> str:
    """Which ways are told from plain, and whether the default should change."""
    sides, lines = settled(found), []
    for name, by_word in sides.items():
        words = [f"{word} on {', '.join(by_word[word])}" for word in ("better", "worse") if by_word[word]]
        if words:
            lines.append(f"* {name}: {'; '.join(words)}.")
    told = "\n".join(["Told from plain after the text:", "", *lines]) if lines else "No way is told from plain."
    ours = [name for name in sides if name in WAYS and replaces(sides[name])]
    rule = "better on two data sets at least, worse on none"
    return f"{told}\n\nBy the rule for a new default ({rule}): {', '.join(ours) or 'none'}."


def _table(by_way: Mapping[str, Finding]) -> str:
    head = "way | score | 95 % | against plain | rate | learnt | stored | probe s | train s | live | in use ms"
    lines = [f"| {head} |", f"| --- |{' ---: | --- | --- |'}{' ---: |' * 7}"]
    for name, one in by_way.items():
        low, high = (f"{100 * one['score'][end]:.1f}" for end in ("low", "high"))
        cells = [
            name,
            _percent(one["score"]),
            f"[{low}, {high}]",
            _against(one["difference"]),
            f"{one['rate']:g}",
            f"{one['num_trained']:,}",
            _size(one["bytes"]),
            f"{one['probe_seconds']:.1f}",
            f"{one['train_seconds']:.1f}",
            "" if one["live_tokens"] is None else str(one["live_tokens"]),
            "" if one["request_ms"] is None else f"{one['request_ms']:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _against(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    interval = Interval(**found)
    word = verdict(interval)
    low, high = 100 * interval.low, 100 * interval.high
    said = "" if word == "cannot tell" else f" {word}"
    return f"{100 * interval.estimate:+.1f} [{low:+.1f}, {high:+.1f}]{said}"


def _percent(found: Mapping[str, Any]) -> str:
    return f"{100 * found['estimate']:.1f}"


def _size(count: int | None) -> str:
    return "" if count is None else f"{count / 1024:.0f} kB"
