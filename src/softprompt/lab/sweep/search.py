"""The sweep itself: draw a wave of trials, train them in few passes, tell the study; and go on from a kill.

Trials that learn by the same method and settings, in the same place, are prompts of one training: one pass moves all of
them, with lengths, starts and rates of their own. All passes share one model and one store of frozen states, so a text
is read once for the whole sweep.

A wave is told when all of it is over. So a process that goes on after a kill trains the whole unfinished wave again,
with the seeds of its numbers, and comes to the same bits. Knows lessons and studies; no settings of runs, no files.
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from softprompt.core.errors import SoftpromptError, TrainingError
from softprompt.lab.lessons import Lesson
from softprompt.lab.sweep.halving import Rungs
from softprompt.lab.sweep.space import SweepSettings
from softprompt.lab.sweep.study import Study, Trial
from softprompt.lab.training.outcome import Event, Outcome
from softprompt.lab.training.settings import TrainingSettings
from softprompt.lab.tuning import tune
from softprompt.model.backbones.base import Backbone
from softprompt.model.methods.base import MethodSettings
from softprompt.model.states import StateStore

__all__ = ["SEEDS", "Candidate", "Listening", "search"]

#: Trial n has seed SEEDS + n, which no run has that says nothing: what confirms the winner is fresh.
SEEDS = 100_000


@dataclass(frozen=True)
class Candidate:
    """What a trial trains.

    Attributes:
        lessons: One with validation rows, or one a fold; its score is their mean.
        method: Of its prompts.
        settings: Resolved, with a rate.
    """

    lessons: Sequence[Lesson]
    method: MethodSettings
    settings: TrainingSettings

    @property
    def kin(self) -> str:
        """What trials have in common that can be prompts of one training."""
        free = {"rate", "rates", "seeds"}
        place = self.lessons[0].builder.template.placement
        alike = [place, self.method.model_dump(mode="json"), self.settings.model_dump(mode="json", exclude=free)]
        return json.dumps(alike, sort_keys=True, default=str)


@dataclass(frozen=True)
class Listening:
    """Who is told of a sweep.

    Attributes:
        ended: Told a trial that is over.
        passed: Told the trials of a pass that begins.
        event: Told what happens in it.
    """

    ended: Callable[[Trial], None] = lambda trial: None
    passed: Callable[[Sequence[Trial]], None] = lambda trials: None
    event: Callable[[Event], None] = lambda event: None


@dataclass
class _Ended:
    """What became of a trial of a wave."""

    state: Any
    score: float | None = None
    looks: list[tuple[int, float]] = field(default_factory=list)
    error: str = ""


def search(
    study: Study,
    make: Callable[[Mapping[str, Any]], Candidate],
    *,
    backbone: Backbone,
    store: StateStore,
    settings: SweepSettings,
    listening: Listening | None = None,
    adopt: bool = True,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Work on a study until it has its trials, or no time is left for a wave.

    Args:
        study: Where trials are drawn from and told to.
        make: From the values of a trial to what it trains.
        backbone: The frozen model.
        store: Frozen states, shared by all trials.
        settings: How many trials, how many together, how long.
        listening: Who is told.
        adopt: Whether waves that a killed process left are done first.
        clock: Seconds.

    Raises:
        KeyboardInterrupt: The wave under way is lost; the same sweep trains it again.
        SoftpromptError: What no trial could be made without.
    """
    work = _Work(study, make, backbone, store, settings, listening or Listening())
    begun, longest = clock(), 0.0
    for wave in work.orphaned() if adopt else ():
        work.train(work.filled([study.adopt(trial) if study.orphaned(trial) else trial for trial in wave]))
    while True:
        number = len(study.trials())
        size = min(settings.together, settings.trials - number)
        start = clock()
        late = settings.minutes is not None and number and start - begun + longest > 60 * settings.minutes
        if size <= 0 or late:
            return
        work.train(work.filled([study.draw(wave=None, size=size)]))
        longest = max(longest, clock() - start)


class _Work:
    """One process at work on a study."""

    def __init__(
        self,
        study: Study,
        make: Callable[[Mapping[str, Any]], Candidate],
        backbone: Backbone,
        store: StateStore,
        settings: SweepSettings,
        listening: Listening,
    ) -> None:
        self.study, self.make, self.backbone, self.store = study, make, backbone, store
        self.settings, self.listening = settings, listening

    def orphaned(self) -> list[list[Trial]]:
        """Waves that have a trial whose process is gone, each whole."""
        trials = self.study.trials()
        waves = sorted({trial.wave for trial in trials if self.study.orphaned(trial)})
        return [[trial for trial in trials if trial.wave == wave] for wave in waves]

    def filled(self, wave: list[Trial]) -> list[Trial]:
        """A wave with all the trials that it was to have, as far as other processes left room for them."""
        while len(wave) < wave[0].size and len(self.study.trials()) < self.settings.trials:
            wave = [*wave, self.study.draw(wave=wave[0].wave, size=wave[0].size)]
        return wave

    def train(self, wave: Sequence[Trial]) -> None:
        """Train a wave, pass by pass, and tell the study."""
        earlier = [one.looks for one in self.study.trials() if one.number < wave[0].wave and one.state != "running"]
        made, ended = self._made(wave)
        kin: dict[str, list[Trial]] = {}
        for trial in wave:
            if trial.number in made:
                kin.setdefault(made[trial.number].kin, []).append(trial)
        rungs: Rungs | None = None
        for trials in kin.values():
            settings = made[trials[0].number].settings
            assert settings.steps, "settings are not resolved"
            assert settings.evaluations, "settings are not resolved"
            if rungs is None and self.settings.halving:
                rungs = Rungs(max(1, math.ceil(settings.steps / settings.evaluations)), earlier=earlier)
            self.listening.passed(trials)
            ended |= self._pass({trial.number: made[trial.number] for trial in trials}, rungs)
        for trial in wave:
            one = ended[trial.number]
            self.study.tell(trial, one.state, looks=one.looks, score=one.score, error=one.error)
            self.listening.ended(replace(trial, state=one.state, score=one.score, looks=tuple(one.looks)))

    def _made(self, wave: Sequence[Trial]) -> tuple[dict[int, Candidate], dict[int, _Ended]]:
        """What can be trained, and what failed because its values do not go together."""
        made: dict[int, Candidate] = {}
        failed: dict[int, _Ended] = {}
        for trial in wave:
            try:
                made[trial.number] = self.make(trial.values)
            except SoftpromptError as error:
                failed[trial.number] = _Ended("failed", error=str(error))
                if len(failed) == len(wave) and not any(one.state == "complete" for one in self.study.trials()):
                    raise
        return made, failed

    def _pass(self, candidates: Mapping[int, Candidate], rungs: Rungs | None) -> dict[int, _Ended]:
        """Train candidates of one kin as prompts of one training."""
        owners = [number for number, one in candidates.items() for _ in one.lessons]
        looks: dict[int, list[tuple[int, float]]] = {number: [] for number in candidates}

        def ends(step: int, values: Mapping[int, float]) -> list[int]:
            by_trial: dict[int, list[float]] = {}
            for k, value in values.items():
                by_trial.setdefault(owners[k], []).append(value)
            means = {number: math.fsum(found) / len(found) for number, found in by_trial.items()}
            if step:
                for number, mean in means.items():
                    looks[number] += [(step, mean)] if math.isfinite(mean) else []
            if rungs is None:
                return []
            given_up = {int(name) for name in rungs.given_up(step, {str(n): mean for n, mean in means.items()})}
            return [k for k in values if owners[k] in given_up]

        first = next(iter(candidates.values()))
        lessons = [
            replace(lesson, name=f"trial {number}", seeds=(SEEDS + number,), rate=one.settings.rate, rate_from=None)
            for number, one in candidates.items()
            for lesson in one.lessons
        ]
        place = f"micro_tokens {first.lessons[0].builder.template.placement}"
        decided = self.study.decide(place)
        settings = first.settings.model_copy(
            update={"micro_tokens": first.settings.micro_tokens or decided, "max_time": None}
        )
        try:
            tuned = tune(
                self.backbone,
                lessons,
                method=first.method,
                settings=settings,
                store=self.store,
                on_event=lambda stage, event: self.listening.event(event),
                ends=ends,
            )
        except TrainingError as error:
            if error.code != "training.diverged":
                raise
            return {number: _Ended("failed", error=str(error)) for number in candidates}
        if tuned.interrupted:
            raise KeyboardInterrupt
        self.study.decide(place, tuned.settings.micro_tokens)
        outcomes: dict[int, list[Outcome]] = {}
        for number, learnt in zip(owners, tuned.learnt, strict=True):
            outcomes.setdefault(number, []).append(learnt.outcomes[0])
        return {number: _ended(mine, looks[number]) for number, mine in outcomes.items()}


def _ended(outcomes: Sequence[Outcome], looks: list[tuple[int, float]]) -> _Ended:
    """A trial from its prompts: its score is their mean; one that was given up has its last look's."""
    if any(one.stop == "pruned" for one in outcomes):
        return _Ended("pruned", looks[-1][1] if looks else None, looks)
    mean = math.fsum(one.value for one in outcomes) / len(outcomes)
    if not math.isfinite(mean):
        return _Ended("failed", error="its scores are no numbers: it diverged", looks=looks)
    return _Ended("complete", mean, looks)
