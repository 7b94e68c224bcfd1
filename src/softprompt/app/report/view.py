"""From a report's plain data to what the page writes: the lines of the table, pictures, legends, words."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from softprompt.app.page.words import capitalize_first, duration, percent, size
from softprompt.app.report.pictures import HUES, Mark, cost_quality, learning_curves, nice_scale, reliability
from softprompt.core.words import counted, two_digits

__all__ = ["amount", "difference", "fact_list", "p_value", "sliced", "view"]

Document = Mapping[str, Any]

DASH = "–"

#: Characters of a verdict that can be read at a glance; labels whose scores all stand open, and how many of more do.
LONGEST, MOST_LABELS, SHOWN = 220, 24, 12


def view(document: Document) -> dict[str, Any]:
    """Everything the template asks for, beside the document's own keys."""
    share = document["scale"]["share"]
    lines, labels = document["lines"], _labels(document["closer"])
    scale = _scale(lines, share=share)
    differences = [line["against"]["difference"] for line in lines if line["against"]]
    return {
        "share": share,
        "factor": 100 if share else 1,
        "score_scale": scale,
        "score_ticks": _ends(scale),
        "difference_scale": (ends := _around(differences)),
        "difference_ticks": [ends[0], 0.0, ends[1]],
        "rows": [_row(line, n + 1) for n, line in enumerate(lines)],
        "headline": capitalize_first(_headline(document)),
        "cost_picture": _cost(lines, scale, share=share) if document["metric"] else None,
        "curve_pictures": [_curve(one) for one in document["curves"]],
        "reliability_picture": _reliability(document["closer"]),
        "matrices": _matrices(document["closer"]),
        "labels": labels if len(labels) <= MOST_LABELS else _weakest(labels),
        "more_labels": labels if len(labels) > MOST_LABELS else [],
        "sliced": [sliced(one, document) for one in (document["closer"] or {}).get("slices", [])],
        "measured_on": _measured_on(document),
        "facts": [fact_list(run) for run in document["runs"]],
    }


def _headline(document: Document) -> str:
    """The verdict; of many lines how many there are of each kind, because their names stand in the table."""
    verdict = str(document["verdict"])
    told = Counter(line["against"]["verdict"] for line in document["lines"] if line["against"])
    if len(verdict) <= LONGEST or not told:
        return verdict
    if set(told) == {"cannot tell"}:
        return f"none of {counted(told.total(), 'line')} can be told from {document['reference']} on these rows"
    parts = [f"{told[kind]} {'is' if told[kind] == 1 else 'are'} {kind}" for kind in ("better", "worse") if told[kind]]
    parts += [f"{told['cannot tell']} cannot be told from it"] if told["cannot tell"] else []
    return f"of {counted(told.total(), 'line')} beside {document['reference']}, {', '.join(parts)}"


def _measured_on(document: Document) -> str:
    if not document["lines"] or not document["same_rows"]:
        return ""
    which = {"test": "test rows", "given": "labelled rows", "validation": "validation rows"}.get(
        document["split"], "training rows, each unseen by what answered it"
    )
    return f"{document['num_rows']:,} {which}"


def _row(line: Document, number: int) -> dict[str, Any]:
    """A line of the table, in words."""
    cost, against, share = line["cost"], line["against"], line["share"]
    learnt = cost["num_trained"] or line["kind"] in {"tfidf", "embeddings", "soft", "lora", "full", "ensemble"}
    return {
        **line,
        "number": number,
        "plain_score": amount(line["score"]["estimate"], share=share) if line["score"] else DASH,
        "bounds": _bounds(line["score"], share=share),
        "verdict": against["verdict"] if against else ("reference" if line["own"] else ""),
        "difference": difference(against["difference"], share=share) if against else "",
        "p": p_value(against["p_adjusted"]) if against else "",
        "decide": _decide(against),
        "learning": duration(cost["fit_seconds"]) if learnt and cost["fit_seconds"] else DASH,
        "request": _request(line),
        "bytes": size(cost["num_bytes"] or 0),
        "seeds_in_words": _seeds(line, share=share),
    }


def _request(line: Document) -> str:
    cost = line["cost"]
    if cost["latency_ms"] is not None:
        return duration(cost["latency_ms"] / 1000)
    return duration(cost["predict_seconds"] / line["rows"]) if cost["predict_seconds"] and line["rows"] else DASH


def _decide(against: Document | None) -> str:
    """How many rows would decide, where nothing is decided."""
    if against is None or against["verdict"] != "cannot tell":
        return ""
    rows = against["rows_to_decide"]
    return "no number of rows can be named" if rows is None else f"about {two_digits(rows):,} rows would decide"


def _seeds(line: Document, *, share: bool) -> str:
    scores = line["by_seed"]
    if len(scores) < 2:
        return ""
    ends = f"{amount(min(scores), share=share)} to {amount(max(scores), share=share)}"
    return f"{counted(len(scores), 'seed')}, {ends}"


def amount(value: float | None, *, share: bool) -> str:
    """A score: in per cent where it is a share.

    >>> amount(0.5134, share=True), amount(31.42, share=False), amount(None, share=True)
    ('51.3', '31.4', '–')
    """
    if value is None:
        return DASH
    return percent(value) if share else f"{value:.3g}"


def difference(interval: Document, *, share: bool) -> str:
    """A signed difference with its interval.

    >>> difference({"estimate": 0.276, "low": 0.172, "high": 0.37}, share=True)
    '+27.6 [+17.2, +37.0]'
    """
    factor, digits = (100, 1) if share else (1, 3)
    told = [
        "∞" if interval[end] is None else f"{factor * interval[end]:+.{digits}f}" for end in ("estimate", "low", "high")
    ]
    return f"{told[0]} [{told[1]}, {told[2]}]"


def p_value(p: float) -> str:
    """A p-value as people write it.

    >>> p_value(0.00001), p_value(0.0214), p_value(1.0)
    ('p < 0.001', 'p = 0.021', 'p = 1')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def _bounds(interval: Document | None, *, share: bool) -> str:
    if interval is None or interval["low"] is None or interval["high"] is None:
        return ""
    return f"[{amount(interval['low'], share=share)}, {amount(interval['high'], share=share)}]"


def _scale(lines: Sequence[Document], *, share: bool) -> tuple[float, float]:
    values = [
        line["score"][end]
        for line in lines
        if line["score"]
        for end in ("estimate", "low", "high")
        if line["score"][end] is not None
    ]
    return nice_scale(values, share=share)


def _ends(scale: tuple[float, float]) -> list[float]:
    return [scale[0], (scale[0] + scale[1]) / 2, scale[1]]


def _around(differences: Sequence[Document]) -> tuple[float, float]:
    """A scale with 0 in its middle."""
    values = [abs(one[end]) for one in differences for end in ("low", "high") if one[end] is not None]
    widest = nice_scale([0.0, *values], share=False)[1] if any(values) else 1.0
    return -widest, widest


def _cost(lines: Sequence[Document], scale: tuple[float, float], *, share: bool) -> Markup | None:
    """Cost against quality; None where fewer than two lines have a cost."""
    marks = [
        Mark(n + 1, line["name"], max(line["cost"]["fit_seconds"], 0.001), line["score"], own=line["own"])
        for n, line in enumerate(lines)
        if line["score"] and line["score"]["estimate"] is not None
    ]
    if len({mark.x for mark in marks}) < 2:
        return None
    return cost_quality(marks, across="time to learn", scale=scale, share=share)


def _curve(curve: Document) -> dict[str, Any]:
    share = curve["higher_is_better"] and all(
        0 <= score["estimate"] <= 1 for one in curve["curves"] for score in one["by_size"].values()
    )
    lines = [one for one in curve["curves"] if one["by_size"]]
    return {
        **curve,
        "picture": learning_curves(curve, share=share) if lines else None,
        "legend": [(n % HUES, one["name"]) for n, one in enumerate(lines)],
    }


def _reliability(closer: Document | None) -> dict[str, Any] | None:
    if closer is None or not closer["calibration"]:
        return None
    found = closer["calibration"]
    return {
        "picture": reliability(found),
        "legend": [(n % HUES, name, one["sentence"], one["scores"]) for n, (name, one) in enumerate(found.items())],
    }


def _matrices(closer: Document | None) -> list[dict[str, Any]]:
    """Confusions with the share of its row in each cell."""
    found = []
    for name, one in (closer["confusion"] if closer else {}).items():
        shares = [[count / max(1, sum(row)) for count in row] for row in one["counts"]]
        cells = [list(zip(row, of, strict=True)) for row, of in zip(one["counts"], shares, strict=True)]
        found.append({**one, "name": name, "cells": list(zip(one["labels"], cells, strict=True))})
    return found


def _labels(closer: Document | None) -> list[dict[str, Any]]:
    if closer is None:
        return []
    return [{**one, "scores": list(one["scores"].items())} for one in closer["by_label"]]


def _weakest(labels: Sequence[Document]) -> list[Document]:
    """Where the first line is right least often, the ones with more rows first."""
    return sorted(labels, key=lambda one: (one["scores"][0][1]["estimate"], -one["rows"]))[:SHOWN]


def sliced(found: Document, document: Document) -> dict[str, Any]:
    """One column's slices in words: value, rows, and the score of each line with its interval.

    >>> score = {"estimate": 0.5, "low": 0.25, "high": 1.0}
    >>> one = {"value": "mail", "rows": 4, "worse": True, "scores": {"ours": score}}
    >>> column = {"column": "channel", "metric": "accuracy", "sentence": "", "slices": [one]}
    >>> sliced(column, {"metric": "accuracy", "scale": {"share": True}})["cells"]
    [('mail', 4, True, ['50.0 [25.0, 100.0]'])]
    """
    share = document["scale"]["share"] and found["metric"] == document["metric"]
    cells = []
    for one in found["slices"]:
        scores = [
            f"{amount(score['estimate'], share=share)} {_bounds(score, share=share)}".strip()
            for score in one["scores"].values()
        ]
        cells.append((one["value"], one["rows"], one["worse"], scores))
    head = f"{found['metric'].replace('_', ' ')}{' %' if share else ''}"
    return {**found, "head": head, "names": list(found["slices"][0]["scores"]), "cells": cells}


def fact_list(run: Document) -> dict[str, Any]:
    """Where the numbers of one run come from, as pairs of words."""
    environment = run["environment"]
    model = environment.get("model", {})
    packages = environment.get("packages", {})
    pairs = [
        ("kind", run["kind"]),
        ("folder", run["path"]),
        ("model", model.get("name", "")),
        ("fingerprint", str(model.get("fingerprint", ""))[:16]),
        ("precision", f"{model['dtype']} on {model.get('device', '')}" if model.get("dtype") else ""),
        ("machine", environment.get("system", "")),
        ("processors", f"{environment['cpus']}" if environment.get("cpus") else ""),
        ("accelerator", environment.get("accelerator") or ""),
        ("python", environment.get("python", "")),
        ("versions", ", ".join(f"{name} {found}" for name, found in packages.items())),
        *((f"rows of {split}", _rows(found)) for split, found in run["rows"].items()),
        ("hash of the judged rows", run["judged_hash"][:16]),
        ("hash of the settings", run["config_hash"][:16]),
    ]
    return {**run, "pairs": [(name, str(value)) for name, value in pairs if value]}


def _rows(found: Any) -> str:
    if not isinstance(found, Mapping):
        return json.dumps(found)
    content = str(found.get("hash", ""))[:16]
    return f"{found.get('count', '?'):,}{f', hash {content}' if content else ''}"
