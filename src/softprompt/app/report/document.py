"""A report as plain data, and the forms it takes.

Everything that the page, the Markdown and the JSON say comes from one document, so they cannot differ. Two reports of
the same runs are equal but for ``created``.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import fmean
from typing import Any

from softprompt.app.report.beside import Beside
from softprompt.app.report.beside import beside as side_by_side
from softprompt.app.report.closer import by_label, calibration, confusion, flips, slices, surest_mistakes
from softprompt.app.report.sources import Entry
from softprompt.core.errors import ConfigError, nearest
from softprompt.core.metrics import make_metric
from softprompt.lab.comparison.table import Against, Line

__all__ = ["SCHEMA", "Report", "make_report"]

SCHEMA = 1


@dataclass(frozen=True)
class Report:
    """One report.

    Attributes:
        document: All of it.
    """

    document: Mapping[str, Any]

    @property
    def verdict(self) -> str:
        """One sentence."""
        return str(self.document["verdict"])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dict(self.document)

    def to_html(self) -> str:
        """The page."""
        from softprompt.app.page.templates import environment
        from softprompt.app.report.view import view

        page = environment("softprompt.app.report").get_template("report.html.j2")
        return page.render({**self.document, **view(self.document)})

    def to_markdown(self) -> str:
        """The same in short."""
        from softprompt.app.report.markdown import markdown

        return markdown(self.document)

    def _repr_html_(self) -> str:
        """What a notebook shows: the page in a frame of its own, so that its sheet stays inside."""
        from markupsafe import escape

        return (
            '<iframe title="softprompt report" style="width:100%;height:46rem;border:0" '
            f'srcdoc="{escape(self.to_html())}"></iframe>'
        )


def make_report(
    entries: Sequence[Entry],
    *,
    reference: str | None = None,
    beside: str | None = None,
    metric: str | None = None,
    texts: Mapping[str, str] | None = None,
    columns: Mapping[str, Mapping[str, str]] | None = None,
    now: datetime | None = None,
) -> Report:
    """Put runs beside each other.

    Args:
        entries: At least one.
        reference: Name of the line that all stand beside.
        beside: Name of the line that is looked at closely beside it; None: the best of the others.
        metric: The score that decides.
        texts: Of the judged rows, by id; without them rows are named by their ids.
        columns: To show scores by: column -> value by id of the row.
        now: The date; None: that of today.

    Raises:
        ConfigError, DataError: as :func:`~softprompt.app.report.beside.beside`; ``config.unknown_name`` also for a line
            to look at that is not there, or not on the same rows.
    """
    table = side_by_side(entries, reference=reference, metric=metric)
    curves = [one.curve for one in entries if one.curve is not None]
    verdict = table.verdict or (curves[0].sentences[0] if curves and curves[0].sentences else "nothing was measured")
    return Report(
        {
            "schema": SCHEMA,
            "kind": "report",
            "title": ", ".join(one.name for one in entries),
            "verdict": verdict,
            "created": (now or datetime.now(UTC)).isoformat(timespec="seconds"),
            "softprompt": version("softprompt"),
            "metric": table.metric,
            "scale": _scale(table),
            "reference": table.reference,
            "same_rows": table.same_rows,
            "num_rows": table.num_rows,
            "split": next((one.split for one in entries if one.lines), "test"),
            "warnings": list(dict.fromkeys(table.warnings)),
            "lines": [_line(line, table) for line in table.lines],
            "left_out": [
                {"name": line.name, "run": one.name, "why": line.left_out}
                for one in entries
                for line in one.lines
                if line.left_out
            ],
            "closer": _closer(table, texts or {}, columns or {}, beside),
            "curves": [{**one.to_dict(), "name": one.name} for one in curves],
            "runs": [_run(one) for one in entries],
        }
    )


def _scale(table: Beside) -> dict[str, Any]:
    """What the score runs over; where lines share none, each has its own."""
    if not table.metric:
        return {"higher_is_better": True, "share": all(_of_line(line, table)["share"] for line in table.lines)}
    return {key: value for key, value in _of_line(table.lines[0], table).items() if key != "metric"}


def _of_line(line: Line, table: Beside) -> dict[str, Any]:
    """The score of one line: its name, whether more is better, and whether it is a share of one."""
    first = line.runs[0].evaluation
    name = table.metric or next(iter(first.metrics))
    metric = make_metric(name, labels=first.labels)
    return {"metric": name, "higher_is_better": metric.higher_is_better, "share": metric.bounds == (0.0, 1.0)}


def _line(line: Line, table: Beside) -> dict[str, Any]:
    """One line of the table."""
    against = next((one for one in table.against if one.name == line.name), None)
    costs = [run.cost for run in line.runs]
    first = line.runs[0].evaluation
    return {
        "name": line.name,
        "run": table.of[line.name],
        "kind": line.kind,
        "own": line.name == table.reference,
        **{key: value for key, value in _of_line(line, table).items() if key != "higher_is_better"},
        "score": None if line.score is None else line.score.as_dict(),
        "seeds": [run.seed for run in line.runs],
        "by_seed": [one.metrics[table.metric].estimate for one in (run.evaluation for run in line.runs)]
        if table.metric
        else [],
        "spread": line.spread,
        "rows": len(first.items),
        "against": None if against is None else _against(against),
        "scores": {name: one.as_dict() for name, one in {**first.metrics, **first.calibration}.items()},
        "abstained": first.abstained,
        "cost": {
            "fit_seconds": fmean(one.fit_seconds for one in costs),
            "predict_seconds": fmean(one.predict_seconds for one in costs),
            **{
                name: _mean([getattr(one, name) for one in costs])
                for name in ("latency_ms", "num_trained", "num_bytes", "peak_bytes", "tokens", "joules", "usd")
            },
        },
        "note": line.runs[0].note,
    }


def _against(one: Against) -> dict[str, Any]:
    return {**asdict(one), "difference": one.difference.as_dict()}


def _mean(values: Sequence[float | int | None]) -> float | None:
    """None where it is unknown of one of them."""
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def _closer(
    table: Beside, texts: Mapping[str, str], columns: Mapping[str, Mapping[str, str]], beside: str | None
) -> dict[str, Any] | None:
    """The reference, and beside it the line that was named, or that a reader will ask about: the best by score.

    It is looked at, not chosen: verdicts stand in the table and count all lines.
    """
    if not table.lines:
        return None
    own = table.line(table.reference) if table.reference else table.lines[0]
    first = own.runs[0].evaluation
    sign = 1 if _scale(table)["higher_is_better"] else -1
    others = [one for one in table.lines if one.name != own.name and table.same_rows and one.score is not None]
    names = [one.name for one in others]
    if beside is not None and beside not in names:
        message = f"no line called {beside!r} stands beside {own.name!r}; {nearest(beside, names)}"
        raise ConfigError("config.unknown_name", message)
    if beside is not None:
        other = next((one for one in others if one.name == beside), None)
    else:
        other = max(others, key=lambda one: sign * (one.score.estimate if one.score else 0.0), default=None)
    pair = {own.name: first, **({} if other is None else {other.name: other.runs[0].evaluation})}
    return {
        "names": list(pair),
        "seed": own.runs[0].seed if len(own.runs) > 1 else None,
        "confusion": {name: found for name, one in pair.items() if (found := confusion(one)) is not None},
        "calibration": {name: found for name, one in pair.items() if (found := calibration(one)) is not None},
        "by_label": by_label(pair),
        "slices": slices(pair, texts, columns),
        "flips": None
        if other is None
        else flips(first, other.runs[0].evaluation, names=(own.name, other.name), texts=texts),
        "mistakes": surest_mistakes(first, texts),
        "texts": bool(texts),
    }


def _run(entry: Entry) -> dict[str, Any]:
    """Where the numbers come from."""
    evaluations = [run.evaluation for line in entry.lines for run in line.runs]
    judged = [[item.id, repr(item.reference)] for item in evaluations[0].items] if evaluations else []
    return {
        "name": entry.name,
        "kind": entry.kind,
        "path": str(entry.path),
        "rows": dict(entry.rows),
        "judged_hash": hashlib.sha256(json.dumps(judged).encode()).hexdigest() if judged else "",
        "environment": dict(entry.environment),
        "config": entry.config,
        "config_hash": hashlib.sha256(entry.config.encode()).hexdigest() if entry.config else "",
        "prompt": None if entry.prompt is None else str(entry.prompt),
    }
