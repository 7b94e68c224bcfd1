"""From lessons to trained prompts: a probe of the learning rate, then the seeds, all in one process.

The probe trains one prompt a rate side by side and chooses the rate only; what is reported are fresh prompts. Several
lessons (tasks about one text, folds of a cross-validation) share one reading of the text.

Knows rows, methods and the trainer; no files but the run's checkpoint, and no faces.
"""

import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from softprompt.core.errors import TrainingError
from softprompt.core.metrics import make_metric
from softprompt.core.records import Batch, Example, Row, merge
from softprompt.core.tensors import PromptTensors
from softprompt.lab.training import checkpoint
from softprompt.lab.training.memory import available_bytes, kept_bytes
from softprompt.lab.training.problem import Problem
from softprompt.lab.training.settings import TrainingSettings
from softprompt.lab.training.trainer import Event, Outcome, Trainer
from softprompt.model.backbones.base import Backbone
from softprompt.model.methods.starts import Start, StartSettings, head_from_answers, initialiser, start_prompt
from softprompt.model.methods.table import AnyMethodSettings, start_method
from softprompt.model.methods.vocabulary import TableStatistics, Vocabulary
from softprompt.model.prompted import PromptedModel, Scores, num_tokens
from softprompt.model.states import Budget, StateStore, StoreReport
from softprompt.model.templates.rows import RowBuilder

__all__ = ["Learnt", "Lesson", "Tuning", "tune"]

#: Reading texts once pays when at least this share of a row's tokens is frozen.
WORTH_CACHING = 0.25

Listener = Callable[[str, Event], None]


@dataclass(frozen=True)
class Lesson:
    """One thing to learn.

    Attributes:
        name: For reports.
        builder: Template, task and answers.
        train: Examples, the same places for all lessons; None where this lesson leaves one out (another fold).
        validation: Likewise.
        start: Where the soft tokens start.
        saved: The prompt to continue, for ``start.kind: prompt``.
        metric: Decides on the validation rows; the task's first if None.
    """

    name: str
    builder: RowBuilder
    train: Sequence[Example | None]
    validation: Sequence[Example | None]
    start: StartSettings = field(default_factory=StartSettings)
    saved: PromptTensors | None = None
    metric: str | None = None


@dataclass(frozen=True)
class Learnt:
    """What a lesson gave.

    Attributes:
        name: Of the lesson.
        rate: Chosen by the probe, or given.
        probe: Validation score by rate; empty without a probe.
        seeds: In the order of ``outcomes``.
        outcomes: One trained prompt a seed.
        chosen: Index of the seed with the best validation score: the prompt that is kept.
    """

    name: str
    rate: float
    probe: dict[float, float]
    seeds: tuple[int, ...]
    outcomes: tuple[Outcome, ...]
    chosen: int

    @property
    def prompt(self) -> PromptTensors:
        """Tensors of the chosen seed."""
        return self.outcomes[self.chosen].tensors

    @property
    def spread(self) -> tuple[float, float]:
        """Mean and standard deviation of the validation score over the seeds (0 for one seed)."""
        values = [outcome.value for outcome in self.outcomes]
        return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


@dataclass(frozen=True)
class Tuning:
    """What a tuning gave, and what it cost.

    Attributes:
        learnt: By lesson, in order.
        settings: As they were run, nothing left open.
        states: What was read once; None when nothing was worth it.
        seconds: Time by stage: ``read``, ``probe``, ``train``.
        interrupted: Whether Ctrl-C or the time limit cut it short.
    """

    learnt: tuple[Learnt, ...]
    settings: TrainingSettings
    states: StoreReport | None
    seconds: dict[str, float] = field(default_factory=dict)
    interrupted: bool = False


def tune(
    backbone: Backbone,
    lessons: Sequence[Lesson],
    *,
    method: AnyMethodSettings,
    settings: TrainingSettings | None = None,
    folder: Path | None = None,
    on_event: Listener = lambda stage, event: None,
    on_read: Callable[[int, int], None] | None = None,
    store: StateStore | None = None,
) -> Tuning:
    """Train the prompts of all lessons.

    Args:
        backbone: The frozen model.
        lessons: At least one; their examples stand at the same places.
        method: Of all prompts.
        settings: Of the training.
        folder: Where checkpoints go; a run that was killed goes on from there.
        on_event: Told the stage (``probe``, ``train``) and what happened.
        on_read: Told tokens read and tokens in all.
        store: Frozen states that somebody else may share; made and closed here if None.

    Raises:
        TrainingError: ``training.no_rows``, ``training.diverged``, ``training.resume_mismatch``.
    """
    plan = (settings or TrainingSettings()).resolved()
    work = _Work(backbone, lessons, method, plan, folder, on_event)
    own = store is None
    store = store or StateStore(backbone, _budget(backbone, plan))
    try:
        start = time.perf_counter()
        report = store.fill(work.all_rows(), on_progress=on_read) if work.caches() else None
        work.store = store if report is not None else None
        work.seconds["read"] = time.perf_counter() - start
        return work.run(report)
    finally:
        if own:
            store.close()


class _Work:
    """One tuning under way."""

    def __init__(
        self,
        backbone: Backbone,
        lessons: Sequence[Lesson],
        method: AnyMethodSettings,
        settings: TrainingSettings,
        folder: Path | None,
        on_event: Listener,
    ) -> None:
        self.backbone, self.lessons, self.method, self.settings = backbone, lessons, method, settings
        self.folder, self.on_event = folder, on_event
        self.model = PromptedModel(backbone)
        self.store: StateStore | None = None
        self.seconds: dict[str, float] = {}
        self.train = [_rows(lesson.builder, lesson.train) for lesson in lessons]
        self.validation = [_rows(lesson.builder, lesson.validation) for lesson in lessons]
        for lesson, rows, part in (
            *zip(lessons, self.train, ["to learn from"] * len(lessons), strict=True),
            *zip(lessons, self.validation, ["to judge by"] * len(lessons), strict=True),
        ):
            if not any(row is not None for row in rows):
                raise TrainingError("training.no_rows", f"{lesson.name}: no row {part}", cure="give more rows")
        self.vocabulary = vocabulary_of(backbone)

    # --- frozen states

    def all_rows(self) -> list[Row]:
        """Every row that will be asked for."""
        return [row for rows in (*self.train, *self.validation) for row in rows if row is not None]

    def caches(self) -> bool:
        """Whether enough of the rows stands before the first soft token."""
        rows = [row for rows in self.train for row in rows[:32] if row is not None]
        return self.backbone.plan(Batch(tuple(rows))).frozen_share >= WORTH_CACHING

    # --- stages

    def run(self, report: StoreReport | None) -> Tuning:
        settings = self.settings
        probed: list[dict[float, float]] = [{} for _ in self.lessons]
        begun = time.perf_counter()
        if settings.micro_tokens is None:
            settings = self._fitted(settings)
        settings = self._pinned(settings)
        rates = [settings.rate or 0.0] * len(self.lessons)
        interrupted = False
        if settings.rate is None:
            probe = settings.model_copy(
                update={"steps": settings.probe_steps, "evaluations": 3, "patience": 10**6, "checkpoint_every": 10**9}
            )
            places = [(n, rate, 0) for n in range(len(self.lessons)) for rate in settings.rates or ()]
            outcomes = self._stage("probe", places, probe)
            for (n, rate, _), outcome in zip(places, outcomes, strict=True):
                probed[n][rate] = outcome.value if outcome.stop != "diverged" else -math.inf
            rates = [_best_rate(places, outcomes, n) for n in range(len(self.lessons))]
            interrupted = any(outcome.stop == "interrupted" for outcome in outcomes)
        self.seconds["probe"] = time.perf_counter() - begun
        begun = time.perf_counter()
        seeds = settings.seeds or (0,)
        places = [(n, rates[n], seed) for n in range(len(self.lessons)) for seed in seeds]
        if interrupted:
            settings = settings.model_copy(update={"steps": 1})
        outcomes = self._stage("train", places, self._within(settings))
        self.seconds["train"] = time.perf_counter() - begun
        learnt = []
        for n, lesson in enumerate(self.lessons):
            mine = tuple(outcome for (m, _, _), outcome in zip(places, outcomes, strict=True) if m == n)
            if all(outcome.stop == "diverged" and not outcome.step for outcome in mine):
                raise TrainingError(
                    "training.diverged",
                    f"{lesson.name}: no seed stayed finite at rate {rates[n]:g}",
                    cure="lower training.rate, or use dtype fp32",
                )
            chosen = max(range(len(mine)), key=lambda i: (mine[i].value, -mine[i].loss))
            learnt.append(Learnt(lesson.name, rates[n], probed[n], seeds, mine, chosen))
        cut = interrupted or any(outcome.stop in ("interrupted", "time") for outcome in outcomes)
        return Tuning(tuple(learnt), settings, report, self.seconds, cut)

    def _stage(self, name: str, places: Sequence[tuple[int, float, int]], settings: TrainingSettings) -> list[Outcome]:
        """Train one prompt a place (lesson, rate, seed)."""
        method = start_method(self.method, [self._start(n, seed) for n, _, seed in places])
        problem = Problem(
            train=[[row and row.for_prompt(k) for row in self.train[n]] for k, (n, _, _) in enumerate(places)],
            validation=[
                [row and row.for_prompt(k) for row in self.validation[n]] for k, (n, _, _) in enumerate(places)
            ],
            objectives=[_objective(self.lessons[n]) for n, _, _ in places],
            judge=lambda k, scores, indices: self._judge(places[k][0], scores, indices),
            seeds=[seed for _, _, seed in places],
        )
        trainer = Trainer(
            self.model,
            method.to(self.backbone.spec.device),
            problem,
            settings=settings,
            rates=[rate for _, rate, _ in places],
            store=self.store,
            path=self.folder / f"{name}.checkpoint" if self.folder and name == "train" else None,
            pins=self._pins(settings, places),
            on_event=lambda event: self.on_event(name, event),
        )
        return trainer.run()

    def _judge(self, lesson: int, scores: Scores, indices: Sequence[int]) -> float:
        """Validation score; for free text the negative loss a token."""
        task = self.lessons[lesson].builder.task
        examples = [self.lessons[lesson].validation[i] for i in indices]
        if _objective(self.lessons[lesson]) == "likelihood":
            return -float((-scores.values[:, 0]).sum() / scores.lengths[:, 0].sum())
        metric = make_metric(self.lessons[lesson].metric or task.metrics[0], labels=task.names)
        items = [
            metric.item(task.decode(values, example), task.reference(example))
            for values, example in zip(scores.values.tolist(), examples, strict=True)
            if example is not None
        ]
        return float(metric.total(sum(items[1:], items[0])))

    # --- what is decided before training, and kept for a resumed run

    def _start(self, lesson: int, seed: int) -> Start:
        one = self.lessons[lesson]
        task, builder = one.builder.task, one.builder
        says = task.says
        slots = {
            name: (
                spec.length,
                initialiser(one.start, self.vocabulary, slot=name, text=spec.start_text, says=says, saved=one.saved),
            )
            for name, spec in builder.template.slots.items()
        }
        head, scale = None, 1.0
        if builder.answers == "vectors":
            example = next(example for example in one.train if example is not None)
            lead = builder.lead(example)
            head = head_from_answers(
                self.backbone.output_vectors, [self.backbone.tokenizer.encode(f"{lead}{say}") for say in says]
            )
            scale = TableStatistics.measure(
                lambda ids: self.backbone.output_vectors(ids)[0], size=self.backbone.spec.vocab_size
            ).rms
        return start_prompt(slots, scale=self.vocabulary.statistics.rms, seed=seed, head=head, head_scale=scale)

    def _fitted(self, settings: TrainingSettings) -> TrainingSettings:
        """Live tokens a backward pass, from what one trial forward keeps for it; layers are recomputed if one row is
        too much."""
        places = [(n, 0.0, s) for n in range(len(self.lessons)) for s in range(len(settings.seeds or (0,)))]
        method = start_method(self.method, [self._start(n, seed) for n, _, seed in places])
        whole = [
            merge(asked)
            for i in range(len(self.train[0]))
            if (asked := [row.for_prompt(k) for k, (n, _, _) in enumerate(places) if (row := self.train[n][i])])
        ]
        rows = sorted(whole, key=num_tokens, reverse=True)[:2]
        batch = Batch(tuple(rows))
        frozen = {parameter.untyped_storage().data_ptr() for parameter in _parameters(self.backbone)}

        def trial() -> torch.Tensor:
            state = self.store.get(batch) if self.store is not None else None
            scores = self.model.scores(batch, state, prompts=method.to(self.backbone.spec.device)())
            return sum((one.values[one.lengths > 0].sum() for one in scores.values()), torch.zeros(()))

        a_token = kept_bytes(trial, frozen=frozen) / sum(map(num_tokens, rows))
        free = available_bytes(self.backbone.spec.device)
        tokens = int(0.4 * free / max(a_token, 1.0))
        longest_row = max(map(num_tokens, rows))
        recompute = settings.recompute
        if recompute == "auto":
            recompute = "always" if tokens < longest_row and self.store is None else "never"
        return settings.model_copy(update={"micro_tokens": max(tokens, longest_row), "recompute": recompute})

    def _pinned(self, settings: TrainingSettings) -> TrainingSettings:
        """A resumed run takes what the first one decided by measurement."""
        if self.folder is None:
            return settings
        path = self.folder / "decided.json"
        if path.exists():
            decided = json.loads(path.read_text("utf-8"))
        else:
            decided = {"micro_tokens": settings.micro_tokens, "recompute": settings.recompute}
            checkpoint.write_bytes(path, json.dumps(decided).encode())
        return settings.model_copy(update=decided)

    def _within(self, settings: TrainingSettings) -> TrainingSettings:
        """What is left of the time for the last stage."""
        if settings.max_time is None:
            return settings
        left = settings.max_time - self.seconds.get("read", 0) - self.seconds.get("probe", 0)
        return settings.model_copy(update={"max_time": max(left, 1.0)})

    def _pins(self, settings: TrainingSettings, places: Sequence[tuple[int, float, int]]) -> dict[str, Any]:
        """Everything the bits of a run depend on."""
        spec = self.backbone.spec
        rows = [
            repr(row.nodes) + repr(dict(row.target)) for rows in (*self.train, *self.validation) for row in rows if row
        ]
        pins = settings.model_dump(mode="json", exclude={"max_time", "checkpoint_every", "cache_file", "keep_cache"})
        return {
            "model": spec.fingerprint,
            "dtype": str(spec.dtype),
            "device": str(spec.device),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "rows": checkpoint.digest(rows),
            "prompts": [list(place) for place in places],
            "method": self.method.model_dump(mode="json"),
            "cached": self.store is not None,
            **{f"training.{name}": value for name, value in pins.items()},
        }


def vocabulary_of(backbone: Backbone) -> Vocabulary:
    """The model's words, for start values."""
    special: frozenset[int] = getattr(backbone.tokenizer, "special_ids", frozenset())
    size = min(backbone.spec.vocab_size, backbone.tokenizer.vocab_size)
    return Vocabulary(backbone.embed, backbone.tokenizer.encode, size, special)


def _rows(builder: RowBuilder, examples: Sequence[Example | None]) -> list[Row | None]:
    return [None if example is None else builder.row(example) for example in examples]


def _objective(lesson: Lesson) -> str:
    return "likelihood" if getattr(lesson.builder.task, "kind", "") == "generate" else "choice"


def _best_rate(places: Sequence[tuple[int, float, int]], outcomes: Sequence[Outcome], lesson: int) -> float:
    mine = [(outcome, rate) for (n, rate, _), outcome in zip(places, outcomes, strict=True) if n == lesson]
    usable = [(one, rate) for one, rate in mine if one.stop != "diverged"] or mine
    return max(usable, key=lambda pair: (pair[0].value, -pair[0].loss))[1]


def _budget(backbone: Backbone, settings: TrainingSettings) -> Budget:
    """A third of what is free, where nothing else is said."""
    memory = settings.cache_memory if settings.cache_memory is not None else available_bytes() // 3
    device = settings.cache_device
    if device is None:
        device = available_bytes(backbone.spec.device) // 3 if backbone.spec.device.type == "cuda" else 0
    return Budget(device=device, memory=memory, file=settings.cache_file, keep=settings.keep_cache)


def _parameters(backbone: Backbone) -> list[torch.nn.Parameter]:
    model = getattr(backbone, "model", None)
    return list(model.parameters()) if isinstance(model, torch.nn.Module) else []
