"""A comparison, held: every contender that fits is fitted and judged once, and never again.

What a contender's numbers depend on makes its key; under it its line is kept as soon as it is complete. So a comparison
that was stopped goes on behind the last complete line, and one with a further contender runs that one only. Contenders
that do not fit, or cannot be had, stay in the table with the reason.

Knows entrants, lines and files; no settings of a run.
"""

import hashlib
import json
import math
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from softprompt.core.errors import SoftpromptError
from softprompt.core.files import remove, write_whole
from softprompt.core.records import Example
from softprompt.lab.comparison.asked import Asked
from softprompt.lab.comparison.contenders import Fitted
from softprompt.lab.comparison.deciding import score_of, spread_of
from softprompt.lab.comparison.entrants import Entrant, nobody_fits, reason_against, said_of
from softprompt.lab.comparison.measuring.latency import latency_ms
from softprompt.lab.comparison.measuring.meter import Meter
from softprompt.lab.comparison.stage import Attempt, Stage
from softprompt.lab.comparison.table import CODE, Cost, Line, RunRecord
from softprompt.lab.evaluation import Evaluation, evaluate
from softprompt.lab.settling import decided, settled
from softprompt.model.prediction import Prediction

__all__ = ["Kept", "hold", "key_of"]

#: Test rows whose tokens are counted.
_COUNTED = 200


def key_of(entrant: Entrant) -> str:
    """Content hash of everything that a contender's numbers depend on (32 hex digits)."""
    facts = json.dumps({"code": CODE, **entrant.facts()}, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(facts.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True)
class Kept:
    """Complete lines by key, and the work of those that are not complete.

    Attributes:
        folder: Of the comparison; None keeps nothing.
    """

    folder: Path | None

    def line(self, key: str) -> Line | None:
        """A complete line; None where there is none that can be read."""
        if self.folder is None:
            return None
        try:
            return Line.from_dict(json.loads((self.folder / "lines" / f"{key}.json").read_text("utf-8")))
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def put(self, line: Line) -> None:
        """Keep a complete line, and throw away what it was made from."""
        if self.folder is None:
            return
        place = self.folder / "lines"
        place.mkdir(parents=True, exist_ok=True)
        text = json.dumps(line.to_dict(), ensure_ascii=False, allow_nan=False)
        write_whole(place / f"{line.key}.json", text.encode("utf-8"))
        shutil.rmtree(self.folder / "work" / line.key, ignore_errors=True)

    def work(self, key: str) -> Path | None:
        """Where a contender keeps its checkpoints."""
        if self.folder is None:
            return None
        place = self.folder / "work" / key
        place.mkdir(parents=True, exist_ok=True)
        return place

    def spent(self, key: str, seconds: float = 0.0) -> float:
        """Seconds of work that was cut short, these included."""
        if self.folder is None or not (self.folder / "work" / key).is_dir():
            return seconds
        place = self.folder / "work" / key / "seconds"
        before = float(place.read_text("utf-8")) if place.exists() else 0.0
        if seconds:
            write_whole(place, f"{before + seconds}".encode())
        return before + seconds

    def clear(self) -> None:
        """Forget all lines and all work; what was paid for is kept."""
        if self.folder is not None:
            for name in ("lines", "work"):
                shutil.rmtree(self.folder / name, ignore_errors=True)
            remove(self.folder / "table.json")


def hold(
    stage: Stage,
    entrants: Sequence[Entrant],
    *,
    kept: Kept | None = None,
    metric: str | None = None,
    on_start: Callable[[str], None] = lambda name: None,
    on_line: Callable[[Line, bool], None] = lambda line, fresh: None,
) -> tuple[Line, ...]:
    """Fit and judge everybody.

    Args:
        stage: Rows, model, template.
        entrants: In the order of the table; they have one stage, but for columns that only some of them read.
        kept: Lines that are complete already.
        metric: The score that decides; None: the task's first.
        on_start: Told the name of a contender that is fitted now.
        on_line: Told each line, and whether it is fresh.

    Raises:
        ModelError: ``model.changed``: a contender changed the loaded model.
        ConfigError, TemplateError: A contender's own settings are wrong; nobody was fitted yet.
        ConfigError: ``config.unsupported_method``: nobody can take part.
        KeyboardInterrupt: Lines that are complete are kept, and so are checkpoints.
    """
    kept = kept or Kept(None)
    decides = metric or stage.task.metrics[0]
    lines: dict[int, Line] = {}
    open_: list[int] = []
    # who cannot take part is said before anybody is fitted
    for place, entrant in enumerate(entrants):
        line = _empty(entrant)
        if (found := kept.line(line.key)) is not None:
            line = _renamed(replace(found, kind=line.kind, config=line.config), line.name)
        else:
            line = replace(line, left_out=reason_against(entrant))
        if line.runs or line.left_out:
            lines[place] = line
            on_line(line, False)
        else:
            open_.append(place)
    if entrants and not open_ and not any(line.runs for line in lines.values()):
        raise nobody_fits({line.name: line.left_out for line in lines.values()})
    # what is made of other lines comes after them
    for place in sorted(open_, key=lambda n: bool(entrants[n].made_of)):
        entrant = entrants[place]
        on_start(entrant.settings.called)
        line = _held(entrant, kept, _empty(entrant), decides)
        line = _with_costs_of(line, [one for one in lines.values() if one.name in entrant.made_of])
        if line.runs:
            kept.put(line)
        lines[place] = line
        on_line(line, True)
    return tuple(lines[place] for place in range(len(entrants)))


def _empty(entrant: Entrant) -> Line:
    """A line without numbers yet."""
    return Line(name=entrant.settings.called, kind=_kind(entrant), config=_config(entrant), key=key_of(entrant))


def _with_costs_of(line: Line, others: Sequence[Line]) -> Line:
    """What was learnt for others is part of what a line made of them costs; energy that one cannot tell, none can."""
    learnt = [run.cost for one in others for run in one.runs]
    peak, share = max((cost.peak_bytes or 0 for cost in learnt), default=0), 1 / max(1, len(line.runs))
    seconds = share * sum(cost.fit_seconds for cost in learnt)
    known = [cost.joules for cost in learnt if cost.joules is not None]
    runs = []
    for run in line.runs:
        own = run.cost
        told = own.joules is not None and len(known) == len(learnt)
        cost = replace(
            own,
            fit_seconds=own.fit_seconds + seconds,
            peak_bytes=max(peak, own.peak_bytes or 0),
            joules=(own.joules or 0.0) + share * sum(known) if told else None,
        )
        runs.append(replace(run, cost=cost))
    return replace(line, runs=tuple(runs))


def _held(entrant: Entrant, kept: Kept, line: Line, metric: str) -> Line:
    """The line of a contender, with its numbers or with what kept it from having some."""
    try:
        runs = _runs(entrant, kept, line)
    except SoftpromptError as error:
        if error.code == "model.changed":
            raise
        return replace(line, left_out=said_of(error))
    return replace(line, runs=runs, score=score_of(runs, metric), spread=spread_of(runs, metric))


def _runs(entrant: Entrant, kept: Kept, line: Line) -> tuple[RunRecord, ...]:
    """Every attempt, judged; the time of fitting is shared by all of them alike."""
    device, runs = entrant.stage.backbone.spec.device, list[RunRecord]()
    seconds, joules, peak = 0.0, [], 0
    attempts = entrant.attempts(kept.work(line.key))
    started = datetime.now(UTC).isoformat(timespec="seconds")
    while True:
        meter = Meter(device)
        try:
            with meter:
                attempt = next(attempts, None)
        except BaseException:
            kept.spent(line.key, seconds + meter.taken.seconds)
            raise
        seconds, peak = seconds + meter.taken.seconds, max(peak, meter.taken.peak_bytes)
        joules.append(meter.taken.joules)
        if attempt is None:
            break
        runs.append(_judged(entrant.stage, attempt, line.name, started))
        del attempt
    whole = kept.spent(line.key) + seconds
    energy = None if None in joules or whole > seconds else sum(one for one in joules if one is not None)
    share = None if energy is None else energy / len(runs)
    costs = (replace(run.cost, fit_seconds=whole / len(runs), joules=share, peak_bytes=peak) for run in runs)
    return tuple(replace(run, cost=cost) for run, cost in zip(runs, costs, strict=True))


def _judged(stage: Stage, attempt: Attempt, name: str, started: str) -> RunRecord:
    test, task, fitted = stage.splits["test"], stage.task, attempt.fitted
    if task.settles and isinstance(fitted, Asked):
        rows = stage.splits["validation"]
        task = settled(task, fitted.predict(rows), rows)
    begun = time.perf_counter()
    said = _decided_by(task, fitted.predict(test), test, was=stage.task)
    seconds = time.perf_counter() - begun
    outcome = attempt.outcome
    return RunRecord(
        seed=attempt.seed,
        evaluation=evaluate(said, test, task, name=name, seconds=seconds),
        cost=_cost(stage, fitted, seconds),
        note=", ".join(part for part in (attempt.note, fitted.note) if part),
        probe={f"{rate:g}": _finite(value) for rate, value in attempt.probe.items()},
        curve=() if outcome is None else tuple((step, loss) for step, loss in outcome.losses if math.isfinite(loss)),
        looks=() if outcome is None else tuple((step, _finite(value)) for step, value, _ in outcome.evaluations),
        started=started,
    )


def _decided_by(task: Any, said: Sequence[Prediction], rows: Sequence[Example], *, was: Any) -> list[Prediction]:
    """The predictions with what was chosen for the task; as they are where nothing was."""
    return list(said) if task is was else decided(said, rows, task)


def _cost(stage: Stage, fitted: Fitted, seconds: float) -> Cost:
    test = stage.splits["test"]
    read, written = getattr(fitted, "tokens", (None, None))
    if (count := getattr(fitted, "num_tokens", None)) is not None:
        read = statistics.fmean(count(one) for one in test[:_COUNTED])
        written = None if stage.task.candidates(test[0]) is None else 0.0
    latency = getattr(fitted, "latency_ms", None)
    return Cost(
        fit_seconds=0.0,
        predict_seconds=seconds,
        latency_ms=latency if latency is not None else latency_ms(fitted.predict, test),
        num_trained=fitted.num_trained,
        num_bytes=fitted.num_bytes,
        tokens=read,
        tokens_out=written,
        usd=getattr(fitted, "usd", None),
    )


def _renamed(line: Line, name: str) -> Line:
    """A kept line under the name that it has in this table."""
    runs = (replace(run, evaluation=_named(run.evaluation, name)) for run in line.runs)
    return replace(line, name=name, runs=tuple(runs))


def _named(evaluation: Evaluation, name: str) -> Evaluation:
    return evaluation if evaluation.name == name else replace(evaluation, name=name)


def _kind(entrant: Entrant) -> str:
    return str(_config(entrant)["kind"])


def _config(entrant: Entrant) -> Mapping[str, Any]:
    return entrant.settings.model_dump(mode="json")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
