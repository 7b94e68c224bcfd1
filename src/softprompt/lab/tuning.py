"""From lessons to trained prompts: a probe of the learning rate, then the seeds, all in one process.

The probe trains one prompt a rate side by side, from a seed of its own, and chooses the rate only; what is reported are
fresh prompts. Several lessons (tasks about one text, folds of a cross-validation) share one reading of the text.

Knows lessons, methods and the trainer; no files but the run's checkpoints and decisions, and no faces.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch

from softprompt.core.errors import ConfigError, TrainingError
from softprompt.core.records import Batch, Row
from softprompt.core.tensors import PromptTensors
from softprompt.lab.lessons import Learner, Lesson, vocabulary_of
from softprompt.lab.rates import chosen_rate
from softprompt.lab.training import checkpoint
from softprompt.lab.training.decisions import Decisions
from softprompt.lab.training.forecast import budget_for, fit
from softprompt.lab.training.looks import part_of, rows_a_look
from softprompt.lab.training.outcome import Event, Outcome
from softprompt.lab.training.perturbations import require_vectors
from softprompt.lab.training.problem import Problem
from softprompt.lab.training.settings import TrainingSettings
from softprompt.lab.training.spent import Spent
from softprompt.lab.training.trainer import Ends, Trainer, row_order
from softprompt.model.backbones.base import Backbone
from softprompt.model.methods.base import Method, MethodSettings
from softprompt.model.methods.table import start_method
from softprompt.model.prompted import PromptedModel, num_tokens
from softprompt.model.states import Budget, StateStore, StoreReport

__all__ = ["Learnt", "Lesson", "Tuning", "tune", "vocabulary_of"]

#: Reading texts once pays when at least this share of a row's tokens is frozen.
WORTH_CACHING = 0.25

#: Of what is left of ``max_time``, the probe takes this much at most.
PROBE_SHARE = 0.35

PARTS: tuple[Literal["train", "validation"], ...] = ("train", "validation")

Listener = Callable[[str, Event], None]

#: Lesson, rate, seed: what one prompt of a stage is.
Place = tuple[int, float, int]


@dataclass(frozen=True)
class Learnt:
    """What a lesson gave.

    Attributes:
        name: Of the lesson.
        rate: Chosen by the probe, or given.
        probe: Validation score by rate; empty without a probe.
        seeds: In the order of ``outcomes``.
        outcomes: One trained prompt a seed.
        chosen: Index of the seed with the best validation score, of the first without one: the prompt that is kept.
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
        earlier: Seconds that earlier processes took, where the run was resumed.
        interrupted: Whether Ctrl-C or the time limit cut it short.
        notes: What a user should know: checkpoints that could not be written, seeds that diverged.
    """

    learnt: tuple[Learnt, ...]
    settings: TrainingSettings
    states: StoreReport | None
    seconds: dict[str, float] = field(default_factory=dict)
    earlier: float = 0.0
    interrupted: bool = False
    notes: tuple[str, ...] = ()


def tune(  # noqa: PLR0913 - the parts of a tuning, each its own thing
    backbone: Backbone,
    lessons: Sequence[Lesson],
    *,
    method: MethodSettings,
    settings: TrainingSettings | None = None,
    folder: Path | None = None,
    on_event: Listener = lambda stage, event: None,
    on_read: Callable[[int, int], None] | None = None,
    store: StateStore | None = None,
    ends: Ends = lambda step, values: (),
) -> Tuning:
    """Train the prompts of all lessons.

    Ctrl-C ends it with the best so far (of the probe, if the training has nothing better yet); before anything was
    judged, there is nothing to keep and ``KeyboardInterrupt`` goes on to the caller.

    Args:
        backbone: The frozen model.
        lessons: At least one; their examples stand at the same places.
        method: Of all prompts.
        settings: Of the training; what they leave open follows from their effort and the rows.
        folder: Where checkpoints go; a run that was killed goes on from there.
        on_event: Told the stage (``probe``, ``train``) and what happened.
        on_read: Told tokens read and tokens in all.
        store: Frozen states that somebody else may share; made and closed here if None.
        ends: Says after a look of the training which prompts to give up, counted by lesson and then by seed.

    Raises:
        TrainingError: ``training.no_rows``, ``training.nothing_to_learn``, ``training.diverged``,
            ``training.resume_mismatch``, ``training.bad_checkpoint``.
        DataError: ``data.no_target``.
        ResourceError: ``resource.out_of_memory``, ``resource.cache_folder``.
    """
    rows = max((sum(one is not None for one in lesson.train) for lesson in lessons), default=0)
    resolved = (settings or TrainingSettings()).resolved(rows)
    work = _Work(backbone, lessons, method, resolved, folder, on_event, ends)
    if store is not None:
        return work.run(store, on_read)
    with StateStore(backbone, work.budget()) as own:
        return work.run(own, on_read)


class _Work:
    """One tuning under way."""

    def __init__(
        self,
        backbone: Backbone,
        lessons: Sequence[Lesson],
        method: MethodSettings,
        settings: TrainingSettings,
        folder: Path | None,
        on_event: Listener,
        ends: Ends,
    ) -> None:
        self.spent = Spent(folder / "spent.json" if folder else None)
        self.notes: list[str] = []
        if settings.max_time is not None and self.spent.earlier >= settings.max_time:
            took = f"this run has taken {self.spent.earlier:.0f} s before, max_time are {settings.max_time:g} s"
            self.notes.append(f"{took}: nothing is left to go on with; give it more")
        self.backbone, self.method, self.settings = backbone, method, settings
        self.folder, self.on_event, self.ends = folder, on_event, ends
        self.model = PromptedModel(backbone)
        self.store: StateStore | None = None
        self.seconds: dict[str, float] = {}
        sizes = {(len(lesson.train), len(lesson.validation)) for lesson in lessons}
        if len(sizes) != 1:
            came = "; ".join(f"{one.name}: {len(one.train)} and {len(one.validation)}" for one in lessons) or "none"
            raise ConfigError(
                "config.invalid",
                f"lessons need the same number of training and of validation places, came: {came}",
                cure="put None where a lesson leaves an example out",
            )
        vocabulary = vocabulary_of(backbone)
        begun = [replace(one, start=one.start.or_else(method.start_kind)) for one in _of_one_rate(lessons)]
        self.learners = [Learner(lesson, backbone, vocabulary) for lesson in begun]
        widths = [[max(by) for by in zip(*(one.widths(part) for one in self.learners), strict=True)] for part in PARTS]
        for learner in self.learners:
            learner.lay_out(*widths)
        self.lengths = _lengths([learner.train for learner in self.learners])
        for learner in self.learners:
            if self.settings.keep == "best" or learner.lesson.rate_from is None:
                learner.require_judged()
        self.decisions = Decisions(folder / "decided.json" if folder else None)

    @property
    def probed(self) -> list[int]:
        """Places of the lessons that find their own rate."""
        return [n for n, learner in enumerate(self.learners) if learner.lesson.rate_from is None]

    # --- frozen states

    def budget(self) -> Budget:
        """Bytes of frozen states, the same in a resumed run."""
        budget = budget_for(self.backbone, self.settings)
        device, memory, file = self.decisions.decide("budget", lambda: [budget.device, budget.memory, budget.file])
        return Budget(device, memory, file, keep=budget.keep)

    def needed(self) -> list[Row]:
        """The rows that will be asked for more than once or soon: those the order reaches, and those of the looks."""
        places, order = row_order(self.lengths, self.settings)
        steps = max(self.settings.steps or 1, self.settings.probe_steps or 1)
        reached = {places[i] for step in range(min(steps, order.steps_per_epoch)) for i in order[step][1]}
        count = rows_a_look(self.settings)
        rows = [row for learner in self.learners for i, row in enumerate(learner.train) if i in reached]
        rows += [row for learner in self.learners for row in part_of(learner.validation, count)]
        return [row for row in rows if row is not None]

    def read(self, store: StateStore, on_read: Callable[[int, int], None] | None) -> StoreReport | None:
        """Read once what pays to be kept."""
        start = time.monotonic()
        sample = [row for learner in self.learners for row in learner.train[:32] if row is not None]
        pays = self.backbone.plan(Batch(tuple(sample))).frozen_share >= WORTH_CACHING if sample else False
        report = store.fill(self.needed(), on_progress=on_read) if pays else None
        self.store = store if report is not None else None
        self.notes += report.notes if report is not None else ()
        self.seconds["read"] = time.monotonic() - start
        self.spent.note()
        return report

    # --- stages

    def run(self, store: StateStore, on_read: Callable[[int, int], None] | None) -> Tuning:
        """Everything, in order."""
        report = self.read(store, on_read)
        settings = self._fitted()
        probe = self._probe(settings)
        seeds = settings.seeds or (0,)
        if probe.interrupted:
            return self._result([probe.best(n) for n in self.probed], settings, report, cut=True)
        by_lesson = [learner.lesson.seeds or seeds for learner in self.learners]
        settings = self._paced(settings, probe, sum(map(len, by_lesson)))
        start = time.monotonic()
        places = [(n, rate, seed) for n, rate in enumerate(probe.rates) for seed in by_lesson[n]]
        outcomes = self._stage("train", places, settings)
        self.seconds["train"] = time.monotonic() - start
        cut = any(outcome.stop in ("interrupted", "time") for outcome in outcomes)
        learnt = []
        for n, learner in enumerate(self.learners):
            mine = tuple(outcome for (m, _, _), outcome in zip(places, outcomes, strict=True) if m == n)
            best = max(range(len(mine)), key=lambda i: _rank(mine[i]))
            one = Learnt(learner.lesson.name, probe.rates[n], probe.values(n), by_lesson[n], mine, best)
            earlier = probe.best(n) if cut and probe.outcomes and settings.keep != "last" else None
            learnt.append(earlier if earlier and _rank(earlier.outcomes[0]) > _rank(mine[best]) else one)
        return self._result(learnt, settings, report, cut=cut)

    def _result(
        self, learnt: Sequence[Learnt], settings: TrainingSettings, report: StoreReport | None, *, cut: bool
    ) -> Tuning:
        if cut and any(one.outcomes[one.chosen].value == -math.inf for one in learnt):
            raise KeyboardInterrupt
        failed = [one for one in learnt if all(outcome.stop == "diverged" for outcome in one.outcomes)]
        for one in learnt:
            lost = [seed for seed, outcome in zip(one.seeds, one.outcomes, strict=True) if outcome.stop == "diverged"]
            if lost:
                self.notes.append(
                    f"{one.name}: not finite at rate {one.rate:g}, stopped at the best before: seeds {lost}"
                )
        if len(failed) == len(learnt) and not any(outcome.step for one in failed for outcome in one.outcomes):
            raise TrainingError(
                "training.diverged",
                "; ".join(f"{failed[n].name}: no seed stayed finite at rate {failed[n].rate:g}" for n in self.probed),
                cure="lower training.rate, or use dtype fp32",
            )
        self.spent.note()
        notes = (*self.decisions.notes, *self.notes)
        return Tuning(tuple(learnt), settings, report, self.seconds, self.spent.earlier, cut, notes)

    def _probe(self, settings: TrainingSettings) -> "_Probe":
        """Rates by lesson."""
        start = time.monotonic()
        names = [learner.lesson.name for learner in self.learners]
        rates = settings.rates or ()
        # Reported seeds are fresh: the rate must not have been chosen on their own luck.
        seed = min(0, *(settings.seeds or (0,))) - 1
        places = [(n, rate, seed) for n in self.probed for rate in rates]
        given = [rate for learner in self.learners if (rate := learner.lesson.rate) is not None]
        if len(given) == len(self.learners):
            probe = _Probe(names, [], given, [])
        elif settings.rate is not None or len(rates) < 2:
            rate = settings.rate if settings.rate is not None else rates[0]
            probe = _Probe(names, [], [rate] * len(names), [])
        elif "probe" in self.decisions:
            found = self.decisions.decide("probe", dict)
            probe = _Probe(names, places, found["rates"], [], [tuple(noted) for noted in found["values"]])
        else:
            changes = {"steps": settings.probe_steps, "evaluations": 3, "patience": 10**6, "keep": "best"}
            limit = self._left() * PROBE_SHARE if settings.max_time is not None else None
            outcomes = self._stage("probe", places, settings.model_copy(update={**changes, "max_time": limit}))
            asked = [n if (other := one.lesson.rate_from) is None else other for n, one in enumerate(self.learners)]
            looks = self._looks("probe")
            doubts = [partial(one.doubt, judged=rows) for one, rows in zip(self.learners, looks, strict=True)]
            chosen = [_rate(places, outcomes, n, doubts[n]) for n in asked]
            probe = _Probe(names, places, chosen, outcomes)
            if not probe.interrupted:
                found = {
                    "rates": chosen,
                    "values": [(n, *v) for n in range(len(names)) for v in probe.values(n).items()],
                }
                self.decisions.decide("probe", lambda: found)
        self.seconds["probe"] = time.monotonic() - start
        return probe

    def _paced(self, settings: TrainingSettings, probe: "_Probe", prompts: int) -> TrainingSettings:
        """As many steps as the time allows, by the pace of the probe, so that the schedule comes to its end."""
        if settings.max_time is None:
            return settings
        steps = settings.steps or 1

        def fitting() -> int:
            if not probe.outcomes:
                return steps
            done = max(outcome.evaluations[-1][0] if outcome.evaluations else 0 for outcome in probe.outcomes)
            pace = self.seconds["probe"] / max(1, done) * prompts / len(probe.outcomes)
            return max(1, min(steps, int(0.9 * self._left() / pace)))

        found = self.decisions.decide("steps", fitting)
        if found < steps:
            self.notes.append(f"{found} of {steps} steps fit into max_time")
        return settings.model_copy(update={"steps": found, "max_time": max(self._left(), 1e-3)})

    def _left(self) -> float:
        """Seconds of ``max_time``, less those of earlier processes too."""
        return self.spent.left(self.settings.max_time or 0.0)

    def _hear(self, stage: str, event: Event) -> None:
        if event.kind == "checkpoint":
            self.spent.note()
        self.on_event(stage, event)

    def _stage(self, name: str, places: Sequence[Place], settings: TrainingSettings) -> list[Outcome]:
        """Train one prompt a place."""
        looks = self._looks(name)
        problem = Problem(
            train=[_asked_by(self.learners[n].train_of(seed), k) for k, (n, _, seed) in enumerate(places)],
            validation=[_asked_by(looks[n], k) for k, (n, _, _) in enumerate(places)],
            objectives=[self.learners[n].objective for n, _, _ in places],
            judge=lambda k, scores, indices: self.learners[places[k][0]].judge(scores, indices),
            seeds=[seed for _, _, seed in places],
            lengths=self.lengths,
        )
        names = {k: self._called(name, place) for k, place in enumerate(places)}
        trainer = Trainer(
            self.model,
            self._method(places),
            problem,
            settings=settings,
            rates=[rate for _, rate, _ in places],
            store=self.store,
            path=self.folder / f"{name}.checkpoint" if self.folder else None,
            pins=self._pins(settings, places) if self.folder else None,  # every row is read for them
            on_event=lambda event: self._hear(name, replace(event, names=names)),
            ends=self.ends if name == "train" else lambda step, values: (),
        )
        outcomes = trainer.run()
        self.notes += trainer.notes
        return outcomes

    def _looks(self, stage: str) -> list[list[Row | None]]:
        """The rows that judge, by lesson: in a probe, which only chooses a rate, no more than a look reads."""
        rows = [learner.validation for learner in self.learners]
        return [part_of(one, rows_a_look(self.settings)) for one in rows] if stage == "probe" else rows

    def _called(self, stage: str, place: Place) -> str:
        """A prompt for people: its lesson, where there are several, and what else tells it apart."""
        n, rate, seed = place
        lesson = self.learners[n].lesson
        own = lesson.seeds or self.settings.seeds or (0,)
        parts = [lesson.name] if len(self.probed if stage == "probe" else self.learners) > 1 else []
        parts += [f"rate {rate:g}"] if stage == "probe" else [f"seed {seed}"] if len(own) > 1 or not parts else []
        return ", ".join(parts)

    def _method(self, places: Sequence[Place]) -> Method[Any]:
        groups = [self.learners[n].lesson.group for n, _, _ in places]
        starts = [
            replace(self.learners[n].start(seed), group=f"{group}, rate {rate:g}, seed {seed}" if group else "")
            for (n, rate, seed), group in zip(places, groups, strict=True)
        ]
        method = start_method(self.method, starts, max_rms=self.settings.max_rms)
        require_vectors(self.settings, method.materialise(), method=self.method.name)
        return method.to(self.backbone.spec.device)

    # --- what is decided before training, and kept for a resumed run

    def _fitted(self) -> TrainingSettings:
        """Live tokens a backward pass, from what one trial forward keeps for it."""
        settings = self.settings
        if settings.micro_tokens is not None:
            return settings.model_copy(update={"recompute": settings.recompute.replace("auto", "never")})

        def decide() -> list[Any]:
            seeds = settings.seeds or (0,)
            places = [(n, 0.0, seed) for n, one in enumerate(self.learners) for seed in one.lesson.seeds or seeds]
            train = [_asked_by(self.learners[n].train, k) for k, (n, _, _) in enumerate(places)]
            return list(fit(self.model, self._method(places), train, store=self.store, recompute=settings.recompute))

        tokens, recompute = self.decisions.decide("memory", decide)
        return settings.model_copy(update={"micro_tokens": tokens, "recompute": recompute})

    def _pins(self, settings: TrainingSettings, places: Sequence[Place]) -> dict[str, Any]:
        """Everything the bits of a run depend on."""
        spec = self.backbone.spec
        parts = [rows for learner in self.learners for rows in (learner.train, learner.validation)]
        texts = [repr((row.nodes, dict(row.target), row.weight)) if row else "" for rows in parts for row in rows]
        free = {"max_time", "checkpoint_every", "cache_memory", "cache_device", "cache_file", "keep_cache"}
        pins = settings.model_dump(mode="json", exclude=free)
        config = getattr(getattr(self.backbone, "model", None), "config", None)
        return {
            "model": spec.fingerprint,
            "dtype": str(spec.dtype),
            "device": str(spec.device),
            "attention": getattr(config, "_attn_implementation", None),
            "threads": torch.get_num_threads(),
            "softprompt": version("softprompt"),
            "torch": torch.__version__,
            "rows": checkpoint.digest(texts),
            "starts": [learner.lesson.start.model_dump(mode="json") for learner in self.learners],
            "prompts": [list(place) for place in places],
            "groups": [learner.lesson.group for learner in self.learners],
            "method": self.method.model_dump(mode="json"),
            "cached texts": self.store.num_kept(self.needed()) if self.store is not None else None,
            **{f"training.{name}": value for name, value in pins.items()},
        }


@dataclass(frozen=True)
class _Probe:
    """Rates by lesson, and how they were found: outcomes by place, or what an earlier process noted."""

    names: Sequence[str]
    places: Sequence[Place]
    rates: Sequence[float]
    outcomes: Sequence[Outcome]
    noted: Sequence[tuple[int, float, float]] = ()

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return any(outcome.stop == "interrupted" for outcome in self.outcomes)

    def values(self, lesson: int) -> dict[float, float]:
        """Validation score by rate."""
        if not self.outcomes:
            return {rate: value for n, rate, value in self.noted if n == lesson}
        return {
            rate: one.value if one.stop != "diverged" else -math.inf
            for (n, rate, _), one in zip(self.places, self.outcomes, strict=True)
            if n == lesson
        }

    def best(self, lesson: int) -> Learnt:
        """The best prompt of the probe, for a run that came no further."""
        mine = [(one, place) for place, one in zip(self.places, self.outcomes, strict=True) if place[0] == lesson]
        outcome, (_, rate, seed) = max(mine, key=lambda pair: _rank(pair[0]))
        return Learnt(self.names[lesson], rate, self.values(lesson), (seed,), (outcome,), 0)


def _of_one_rate(lessons: Sequence[Lesson]) -> list[Lesson]:
    """The same, those of a group at the rate of its first: what they share can take one step only."""
    first: dict[str, int] = {}
    return [
        replace(one, rate_from=first[one.group]) if one.group and first.setdefault(one.group, n) != n else one
        for n, one in enumerate(lessons)
    ]


def _rank(outcome: Outcome) -> tuple[float, float]:
    """For the best of several; what was never judged comes last, and the first of such is taken."""
    return (-math.inf, -math.inf) if math.isnan(outcome.value) else (outcome.value, -outcome.loss)


def _asked_by(rows: Sequence[Row | None], prompt: int) -> list[Row | None]:
    return [row and row.for_prompt(prompt) for row in rows]


def _lengths(parts: Sequence[Sequence[Row | None]]) -> tuple[int, ...]:
    """Tokens of each example: of its longest row."""
    return tuple(max((num_tokens(row) for row in rows if row), default=0) for rows in zip(*parts, strict=True))


def _rate(
    places: Sequence[Place], outcomes: Sequence[Outcome], lesson: int, error: Callable[[float, float], float]
) -> float:
    mine = {rate: outcome for (n, rate, _), outcome in zip(places, outcomes, strict=True) if n == lesson}
    usable = {rate: one for rate, one in mine.items() if one.stop != "diverged"} or mine
    return chosen_rate({rate: _rank(one) for rate, one in usable.items()}, error)
