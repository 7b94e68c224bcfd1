"""Several saved prompts of one task as one: chosen on labelled rows, judged on them part by part, saved as one prompt.

Knows saved prompts and rows; what weights are and how they are learnt stands in :mod:`softprompt.lab.ensembles`.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from softprompt.app.config import ModelSettings
from softprompt.app.recipes.evaluate import Labelled, open_prompts
from softprompt.app.recipes.runs import is_run
from softprompt.app.recipes.saved import scores_of
from softprompt.app.recipes.sealed import looks_at, note_look, sealed_hash
from softprompt.app.watch import Watcher
from softprompt.core.errors import ConfigError, PromptError, nearest
from softprompt.core.tasks import Task
from softprompt.core.tensors import PromptTensors
from softprompt.data.dataset import Dataset
from softprompt.data.sources import Source
from softprompt.lab.comparison import Comparison, Standing, compare
from softprompt.lab.ensembles import WAYS, Diversity, Said, choose, diversity, pooled, said_apart
from softprompt.lab.evaluation import Evaluation, evaluate
from softprompt.lab.settling import decided_apart, parts_of, settled
from softprompt.model.backbones.base import Backbone
from softprompt.model.ensemble import Pooling
from softprompt.model.prediction import Ask, Prediction, Predictor
from softprompt.model.prompts.manifest import EnsembleRecord, Manifest, MemberRecord, MethodRecord
from softprompt.model.prompts.prompt import Prompt

__all__ = ["EnsembleReport", "ensemble"]

#: What the ensemble's score is called: everything that was learnt for it, was learnt on other rows.
SPLIT = "out of fold"

#: Parts of a task's description in which prompts of one ensemble may differ.
FREE = ("metrics", "thresholds", "says")


@dataclass(frozen=True)
class EnsembleReport:
    """What came of several prompts.

    Attributes:
        prompt: The ensemble.
        path: Where it was saved; None: nowhere.
        pooling: The weights, by place of the prompts that were given.
        members: By prompt, judged on the rows; a prompt that learnt from them, or was chosen on them, flatters itself.
        evaluation: Of the ensemble, its weights and temperature for each part of the rows learnt on the others.
        plain: The same without a temperature.
        diversity: How different the prompts' mistakes are.
        comparison: The ensemble beside the best of its members.
        seconds: Of all answers, over one reading.
        notes: What a user should know.
    """

    prompt: Prompt
    path: Path | None
    pooling: Pooling
    members: tuple[Evaluation, ...]
    evaluation: Evaluation
    plain: Evaluation
    diversity: Diversity
    comparison: Comparison
    seconds: float
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        shares = self.pooling.shares.tolist()
        return {
            "saved": None if self.path is None else str(self.path),
            "by": self.pooling.by,
            "temperature": self.pooling.temperature,
            "split": SPLIT,
            "members": [
                {"name": one.name, "weight": share, "metrics": _scores(one), "calibration": _calibration(one)}
                for one, share in zip(self.members, shares, strict=True)
            ],
            "ensemble": {"metrics": _scores(self.evaluation), "calibration": _calibration(self.evaluation)},
            "uncalibrated": _calibration(self.plain),
            "diversity": self.diversity.to_dict(),
            "metric": self.comparison.metric,
            "sentences": list(self.comparison.sentences),
            "differences": self.comparison.to_dict()["differences"],
            "rows": len(self.evaluation.items),
            "num_bytes": self.prompt.num_bytes,
            "seconds": self.seconds,
            "notes": list(self.notes),
        }


def ensemble(  # noqa: PLR0913 - what users may ask of a call
    prompts: Sequence[str | Path | Prompt],
    data: Source,
    *,
    by: str = "mean",
    out: str | Path | None = None,
    name: str = "ensemble",
    calibrate: bool = True,
    overwrite: bool = False,
    columns: dict[str, str] | None = None,
    group: str | None = None,
    on_bad_row: Literal["error", "skip"] = "error",
    model: ModelSettings | None = None,
    backbone: Backbone | None = None,
    watcher: Watcher | None = None,
) -> EnsembleReport:
    """Join prompts of one task into one that answers for all of them.

    Args:
        prompts: Paths or prompts, at least two, of one model and one task.
        data: Labelled rows that choose: validation rows, none that the prompts learnt from.
        by: ``mean``, ``majority``, ``weights`` or ``greedy``.
        out: Where to save it; None saves nothing.
        name: Of the ensemble.
        calibrate: Whether a temperature is fitted too.
        overwrite: Whether a saved prompt at ``out`` may be replaced.
        columns, group, on_bad_row: As :class:`Labelled`.
        model: Where the model is, when not where it was.
        backbone: A model that is loaded already.
        watcher: Told what happens.

    Raises:
        PromptError: ``prompt.other_members``, ``prompt.other_model``, ``prompt.exists``; ConfigError, DataError: each
            with its code.
    """
    watcher = watcher or Watcher()
    if by not in WAYS:
        raise ConfigError("config.unknown_name", f"no way to pool answers is called {by!r}; {nearest(by, WAYS)}")
    loaded = [one if isinstance(one, Prompt) else Prompt.load(one) for one in prompts]
    _require_alike(loaded)
    if out is not None and Path(out).exists() and not overwrite:
        raise PromptError("prompt.exists", f"{out} exists", cure="choose another path, or pass --overwrite")
    backbone, asks = open_prompts(loaded, model=model, backbone=backbone, watcher=watcher)
    asks = [replace(ask, name=said) for ask, said in zip(asks, _names(asks), strict=True)]
    task = _open(asks)
    labelled = Labelled(data, columns, on_bad_row=on_bad_row, group=group)
    reading = labelled.read([task], asks[:1])
    rows = labelled.rows(reading, task, asks[0])
    notes = [*reading.notes, *_looked(prompts, rows, asks[0])]
    predictor = Predictor(backbone, asks)
    watcher.stage("ask all prompts", total=len(rows), unit="rows")
    members, said = _asked(predictor, rows, watcher)
    seconds = members[0].seconds
    watcher.stage("choose")
    pooling = choose(by, Said.of(said, rows, task), temper=calibrate)
    evaluation, plain = (_judged(by, said, rows, task, name=name, temper=temper) for temper in (calibrate, False))
    kept = [k for k, weight in enumerate(pooling.weights) if weight > 0]
    everything = [pooled(pooling, row, rows[i], task) for i, row in enumerate(zip(*said, strict=True))]
    made = _make(
        [loaded[k] for k in kept],
        [asks[k].name for k in kept],
        pooling.model_copy(update={"weights": tuple(pooling.weights[k] for k in kept)}),
        settled(task, everything, rows),
        evaluation,
        rows,
        name=name,
    )
    if len(kept) < len(loaded):
        notes.append(f"{len(loaded) - len(kept)} of {len(loaded)} prompts have no weight and are left out")
    path = None if out is None else made.save(out, overwrite=overwrite)
    for note in notes:
        watcher.note(note)
    watcher.done()
    return EnsembleReport(
        made,
        path,
        pooling,
        members,
        evaluation,
        plain,
        diversity(np.array([[item.correct for item in one.items] for one in members])),
        _beside_best(evaluation, members),
        seconds,
        tuple(notes),
    )


# ---------------------------------------------------------------- what may stand together


def _require_alike(prompts: Sequence[Prompt]) -> None:
    """Refuse what cannot answer as one, with the difference named.

    Raises:
        ConfigError: ``config.invalid`` for fewer than two.
        PromptError: ``prompt.other_members``.
    """
    if len(prompts) < 2:
        message = f"an ensemble is made of two prompts or more, not of {len(prompts)}"
        raise ConfigError("config.invalid", message, cure="name several saved prompts")
    first = prompts[0]
    for one in prompts:
        if one.manifest.ensemble is not None:
            message = f"{one.name!r} is an ensemble already"
            raise PromptError("prompt.other_members", message, cure="name its members, and the others beside them")
        if difference := _difference(first.manifest.task, one.manifest.task):
            message = f"{one.name!r} is asked something else than {first.name!r}: {difference}"
            raise PromptError("prompt.other_members", message, cure="join prompts of one task")
    hashes = [one.content_hash for one in prompts]
    if twice := [one.name for one, content in zip(prompts, hashes, strict=True) if hashes.count(content) > 1]:
        message = f"{twice[0]!r} is named twice: a copy of a prompt adds its cost and no answer"
        raise PromptError("prompt.other_members", message, cure="name every prompt once")


def _difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The first thing in which two tasks differ, as old -> new; empty where they are the same to an ensemble."""
    for key in sorted({*one, *other} - set(FREE)):
        mine, others = (list(task[key]) if isinstance(task.get(key), dict) else task.get(key) for task in (one, other))
        if mine != others:
            return f"{key} {_listed(mine)} -> {_listed(others)}"
    return ""


def _listed(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _open(asks: Sequence[Ask]) -> Task:
    """The task of all, with what each had chosen for itself left open.

    Raises:
        PromptError: ``prompt.other_members`` where they read different fields.
    """
    first = asks[0]
    for ask in asks:
        mine, others = (one.builder.template.fields for one in (first, ask))
        if set(mine) != set(others):
            message = f"{ask.name!r} reads {', '.join(others)}, {first.name!r} reads {', '.join(mine)}"
            raise PromptError("prompt.other_members", message, cure="join prompts that read the same fields")
        if ask.task.objective == "likelihood":
            message = f"{ask.name!r} writes its answers, and written answers have no probabilities to pool"
            raise PromptError("prompt.other_members", message, cure="join prompts that choose among candidates")
    bars = {getattr(ask.task, "thresholds", ()) for ask in asks}
    return first.task if len(bars) == 1 else first.task.model_copy(update={"thresholds": ()})


def _names(asks: Sequence[Ask]) -> list[str]:
    """A name for each; equal ones are numbered."""
    count = Counter(ask.name for ask in asks)
    return [
        ask.name if count[ask.name] == 1 and ask.name else f"{ask.name or 'prompt'} {n}"
        for n, ask in enumerate(asks, 1)
    ]


def _looked(prompts: Sequence[str | Path | Prompt], rows: Dataset, ask: Ask) -> list[str]:
    """Note a look where these are the test rows of a prompt's run: what is chosen on them cannot be judged on them."""
    content = sealed_hash(rows, fields=ask.builder.template.fields)
    for path in (Path(one) for one in prompts if not isinstance(one, Prompt)):
        folder = path if is_run(path) else path.parent
        if is_run(folder) and looks_at(folder, content):
            count = note_look(folder, content, by="ensemble")
            return [
                f"these are the test rows of {folder.name}, seen {count} times: choose on others, and judge on these"
            ]
    return []


# ---------------------------------------------------------------- judging and making


def _asked(
    predictor: Predictor, rows: Dataset, watcher: Watcher
) -> tuple[tuple[Evaluation, ...], list[list[Prediction]]]:
    """By prompt its score and what it says, over one reading of the rows."""
    begun, said = time.perf_counter(), []
    for done, row in enumerate(predictor.predict(rows), 1):
        said.append(row)
        watcher.advance(done)
    seconds = time.perf_counter() - begun
    by_prompt = [list(column) for column in zip(*said, strict=True)]
    judged = (
        evaluate(mine, rows, ask.task, name=ask.name, seconds=seconds)
        for mine, ask in zip(by_prompt, predictor.asks, strict=True)
    )
    return tuple(judged), by_prompt


def _judged(
    by: str, said: Sequence[Sequence[Prediction]], rows: Dataset, task: Task, *, name: str, temper: bool
) -> Evaluation:
    """The ensemble on rows that it was not chosen on, part by part."""
    parts = parts_of(rows)
    apart = said_apart(by, said, rows, task, parts, temper=temper)
    return evaluate(decided_apart(task, apart, rows, parts), rows, task, name=name, seconds=0.0)


def _beside_best(evaluation: Evaluation, members: Sequence[Evaluation]) -> Comparison:
    """The ensemble and the member that does best on these rows, which is to the member's favour."""
    best = max(members, key=lambda one: one.score(one.comparable[0]).interval.estimate)
    lines = [Standing(one, 0.0, 0, 0) for one in (evaluation, best)]
    return compare(lines, reference=evaluation.name)


def _make(
    prompts: Sequence[Prompt],
    names: Sequence[str],
    pooling: Pooling,
    task: Task,
    evaluation: Evaluation,
    rows: Dataset,
    *,
    name: str,
) -> Prompt:
    """The prompt that holds all of them."""
    first = prompts[0].manifest
    places = {one.manifest.placement for one in prompts}
    records = tuple(
        MemberRecord(
            name=said,
            task=one.manifest.task,
            template=one.manifest.template,
            answers=one.manifest.answers,
            method=one.manifest.method,
            placement=one.manifest.placement,
        )
        for one, said in zip(prompts, names, strict=True)
    )
    how = pooling.model_dump(mode="json")
    manifest = Manifest(
        name=name,
        task=task.model_dump(mode="json", by_alias=True),
        template=first.template,
        answers=first.answers,
        method=MethodRecord(name="ensemble", config=how),
        placement=places.pop() if len(places) == 1 else "",
        model=first.model,
        data_hash=rows.hash,
        config={"data": first.config.get("data", {})},
        scores=scores_of(evaluation, SPLIT),
        licence=first.licence if len({one.manifest.licence for one in prompts}) == 1 else "",
        parents=tuple(one.content_hash for one in prompts),
        ensemble=EnsembleRecord(members=records, **how),
    )
    return Prompt(PromptTensors(), manifest, tuple(one.tensors for one in prompts))


def _scores(evaluation: Evaluation) -> dict[str, Any]:
    return {name: interval.as_dict() for name, interval in evaluation.metrics.items()}


def _calibration(evaluation: Evaluation) -> dict[str, Any]:
    return {name: interval.as_dict() for name, interval in evaluation.calibration.items()}
