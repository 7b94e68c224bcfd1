"""Trials trained in as few passes as can be: those of one kin are prompts of one training.

Trials that learn by the same method and settings, in the same place, are kin: one pass moves all of them, with lengths,
starts and rates of their own. All passes share one model and one store of frozen states, so a text is read once.

Knows lessons and trainings; no studies and no draws. What a trial comes to depends on its number and values alone, and,
with successive halving, on the scores that its rungs have seen.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from softprompt.core.errors import SoftpromptError, TrainingError
from softprompt.lab.lessons import Lesson
from softprompt.lab.sweep.halving import Rungs
from softprompt.lab.sweep.study import Trial
from softprompt.lab.training.outcome import Event, Outcome
from softprompt.lab.training.settings import TrainingSettings
from softprompt.lab.tuning import tune
from softprompt.model.backbones.base import Backbone
from softprompt.model.methods.base import MethodSettings
from softprompt.model.states import StateStore

__all__ = ["SEEDS", "Candidate", "Ended", "Looks", "Passes", "Train", "Trained"]

#: Trial n has seed SEEDS + n, which no run has that says nothing: what confirms the winner is fresh.
SEEDS = 100_000

#: (step, score) of a trial, in order.
Looks = Sequence[tuple[int, float]]


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
class Ended:
    """What became of a trial.

    Attributes:
        state: What the study is told.
        score: The last one; None where there is none.
        looks: Those that were taken.
        error: Why it failed.
        cause: The error, where its values do not go together and nothing was trained.
    """

    state: Literal["complete", "pruned", "failed"]
    score: float | None = None
    looks: Looks = field(default=())
    error: str = ""
    cause: SoftpromptError | None = None


class Trained(NamedTuple):
    """Trials by number, and what was decided for all later ones: live tokens a backward pass, by placement."""

    ended: Mapping[int, Ended]
    decided: Mapping[str, int]


#: Trials of a wave, looks of earlier trials, what was decided -> what became of them.
Train = Callable[[Sequence[Trial], Sequence[Looks], Mapping[str, int]], Trained]


class Passes:
    """Trains trials in this process.

    Args:
        make: From the values of a trial to what it trains.
        backbone: The frozen model.
        store: Frozen states, shared by all trials.
        halving: Whether trials are given up early.
        event: Told what happens in a training.
    """

    def __init__(
        self,
        make: Callable[[Mapping[str, Any]], Candidate],
        *,
        backbone: Backbone,
        store: StateStore,
        halving: bool,
        event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.make, self.backbone, self.store, self.halving, self.event = make, backbone, store, halving, event

    def __call__(self, trials: Sequence[Trial], earlier: Sequence[Looks], decided: Mapping[str, int]) -> Trained:
        """Train them, pass by pass.

        Raises:
            KeyboardInterrupt: Ctrl-C; the passes so far are lost, and come to the same when they are trained again.
        """
        made, ended = self._made(trials)
        kin: dict[str, list[int]] = {}
        for number, candidate in made.items():
            kin.setdefault(candidate.kin, []).append(number)
        rungs: Rungs | None = None
        known = dict(decided)
        for numbers in kin.values():
            settings = made[numbers[0]].settings
            assert settings.steps, "settings are not resolved"
            assert settings.evaluations, "settings are not resolved"
            if rungs is None and self.halving:
                rungs = Rungs(max(1, math.ceil(settings.steps / settings.evaluations)), earlier=earlier)
            ended |= self._pass({number: made[number] for number in numbers}, rungs, known)
        return Trained(ended, known)

    def _made(self, trials: Sequence[Trial]) -> tuple[dict[int, Candidate], dict[int, Ended]]:
        """What can be trained, and what failed because its values do not go together."""
        made: dict[int, Candidate] = {}
        failed: dict[int, Ended] = {}
        for trial in trials:
            try:
                made[trial.number] = self.make(trial.values)
            except SoftpromptError as error:
                failed[trial.number] = Ended("failed", error=str(error), cause=error)
        return made, failed

    def _pass(
        self, candidates: Mapping[int, Candidate], rungs: Rungs | None, decided: dict[str, int]
    ) -> dict[int, Ended]:
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
        tokens = first.settings.micro_tokens or decided.get(place)
        try:
            tuned = tune(
                self.backbone,
                lessons,
                method=first.method,
                settings=first.settings.model_copy(update={"micro_tokens": tokens, "max_time": None}),
                store=self.store,
                on_event=lambda stage, event: self.event(event),
                ends=ends,
            )
        except TrainingError as error:
            if error.code != "training.diverged":
                raise
            return {number: Ended("failed", error=str(error)) for number in candidates}
        if tuned.interrupted:
            raise KeyboardInterrupt
        assert tuned.settings.micro_tokens, "a training decides it"
        decided.setdefault(place, tuned.settings.micro_tokens)
        outcomes: dict[int, list[Outcome]] = {}
        for number, learnt in zip(owners, tuned.learnt, strict=True):
            outcomes.setdefault(number, []).append(learnt.outcomes[0])
        return {number: _ended(mine, looks[number]) for number, mine in outcomes.items()}


def _ended(outcomes: Sequence[Outcome], looks: Looks) -> Ended:
    """A trial from its prompts: its score is their mean; one that was given up has its last look's."""
    if any(one.stop == "pruned" for one in outcomes):
        return Ended("pruned", looks[-1][1] if looks else None, looks)
    mean = math.fsum(one.value for one in outcomes) / len(outcomes)
    if not math.isfinite(mean):
        return Ended("failed", error="its scores are no numbers: it diverged", looks=looks)
    return Ended("complete", mean, looks)
