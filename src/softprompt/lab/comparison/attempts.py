"""How each kind of contender takes part: at once, as a soft prompt, as an ensemble of one's seeds, by trained weights.

Each says why it does not fit, on what its numbers depend, and yields its attempts; see
:class:`~softprompt.lab.comparison.entrants.Entrant`. Knows stages; no settings of a run and no tables.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from softprompt.core.records import Batch
from softprompt.core.tensors import PromptTensors
from softprompt.lab.comparison.asked import Asked
from softprompt.lab.comparison.contenders import Contender, Fitted
from softprompt.lab.comparison.finetuning.adapters import require_trainable
from softprompt.lab.comparison.finetuning.weights import WeightsLearning, learn_weights
from softprompt.lab.comparison.settings import (
    EnsembleSettings,
    EntrantSettings,
    FullSettings,
    LoraSettings,
    SoftSettings,
)
from softprompt.lab.comparison.stage import Attempt, Stage
from softprompt.lab.lessons import Lesson
from softprompt.lab.rehearsal import rehearse
from softprompt.lab.training.outcome import Outcome
from softprompt.lab.training.settings import TrainingSettings
from softprompt.lab.tuning import WORTH_CACHING, tune
from softprompt.model.methods.table import AnyMethodSettings
from softprompt.model.prediction import Ask
from softprompt.model.templates import RowBuilder

__all__ = ["Ensemble", "FineTuned", "Simple", "Soft"]

#: Share of the time there is before which nothing ends for want of it.
IN_TIME = 0.8


@dataclass(frozen=True)
class Simple:
    """A contender that is fitted at once: without training, or in seconds.

    Attributes:
        stage: Where it stands.
        settings: Its own.
        contender: What it is.
        model: Whether its numbers depend on the model.
        luck: Whether it has random choices, so that every seed is an attempt.
        needs: Module that it cannot do without, and the extra that brings it.
        rehearse: Tries out what costs nothing: why it cannot begin, empty where it can; raises what is wrong.
    """

    stage: Stage
    settings: EntrantSettings
    contender: Contender
    model: bool = True
    luck: bool = False
    needs: tuple[str, str] | None = None
    rehearse: Callable[[], str] = str
    made_of: tuple[str, ...] = ()

    def unfit(self) -> str:
        if self.needs is not None and find_spec(self.needs[0]) is None:
            return f"it needs {self.needs[0]}: pip install 'softprompt[{self.needs[1]}]'"
        if not self.contender.supports(self.stage.task):
            return f"it cannot do tasks of kind {self.stage.task.kind}"
        return self.rehearse()

    def facts(self) -> Mapping[str, Any]:
        seeds = list(self.stage.seeds) if self.luck else [0]
        return {**_own(self.settings), **self.stage.facts(model=self.model, trained=False), "seeds": seeds}

    def attempts(self, folder: Path | None) -> Iterator[Attempt]:
        splits = self.stage.splits
        for seed in self.stage.seeds if self.luck else (0,):
            yield Attempt(seed, self.contender.fit(splits["train"], splits["validation"], self.stage.task, seed=seed))


@dataclass(frozen=True)
class Soft:
    """A soft prompt: its seeds are trained together, after one probe."""

    stage: Stage
    settings: SoftSettings
    made_of: tuple[str, ...] = ()

    @property
    def builder(self) -> RowBuilder:
        """Rows of its template."""
        return self.stage.building(self.stage.template_of(self.settings))

    @property
    def method(self) -> AnyMethodSettings:
        """Its own, or the run's."""
        return self.settings.method or self.stage.method

    @property
    def lesson(self) -> Lesson:
        """What it is to learn."""
        stage, offsets = self.stage, self.stage.answers.offsets
        validation = stage.splits["validation"].rows
        return Lesson(
            self.settings.called, self.builder, stage.weighted, validation, start=stage.start, offsets=offsets
        )

    def unfit(self) -> str:
        """One row is asked with the prompt at its start: whatever its method and this model do not take shows then."""
        if not self.builder.template.slots:
            return "its template has no soft slot"
        rehearse(self.stage.backbone, self.lesson, method=self.method, settings=self.stage.training)
        return ""

    def facts(self) -> Mapping[str, Any]:
        own = {"soft": self.builder.template.to_dict(), "method": self.method.model_dump(mode="json")}
        start = self.stage.start.model_dump(mode="json")
        return {"kind": "soft", **own, "start": start, **self.stage.facts(model=True, trained=True)}

    def attempts(self, folder: Path | None) -> Iterator[Attempt]:
        stage, lesson, begun = self.stage, self.lesson, time.monotonic()
        builder = lesson.builder
        sample = [builder.row(part) for one in stage.weighted[:32] for part in builder.windows(one)]
        cached = stage.backbone.plan(Batch(tuple(sample))).frozen_share >= WORTH_CACHING
        training = stage.spending(builder, cached=cached).model_copy(update={"max_time": stage.max_seconds})
        tuning = tune(
            stage.backbone, [lesson], method=self.method, settings=training, folder=folder, on_event=stage.on_event
        )
        (learnt,) = tuning.learnt
        # A run that is cut short may hand over the probe's best prompt; only the time limit makes that a result.
        if tuning.interrupted and (stage.max_seconds is None or time.monotonic() - begun < IN_TIME * stage.max_seconds):
            raise KeyboardInterrupt
        shared = f"{len(learnt.seeds)} seeds in one pass, " if len(learnt.seeds) > 1 else ""
        for seed, outcome in zip(learnt.seeds, learnt.outcomes, strict=True):
            stage.keep(self.settings, seed, builder, self.method, outcome.tensors)
            asked = _asked_of(stage, builder, [outcome.tensors])
            note = f"{shared}rate {learnt.rate:g}, {_steps(outcome, tuning.settings)}"
            yield Attempt(seed, asked, note, learnt.probe, outcome)


@dataclass(frozen=True)
class Ensemble:
    """All seeds of a soft prompt as one predictor, over one reading."""

    stage: Stage
    settings: EnsembleSettings
    of: Soft | None

    @property
    def made_of(self) -> tuple[str, ...]:
        return () if self.of is None else (self.of.settings.called,)

    def unfit(self) -> str:
        if self.of is None:
            return f"there is no soft prompt called {self.settings.of!r}" if self.settings.of else "of no soft prompt"
        if len(self.stage.seeds) < 2:
            return "one seed is no ensemble: give several with --seed"
        return self.of.unfit()

    def facts(self) -> Mapping[str, Any]:
        return {"kind": "ensemble", "of": None if self.of is None else self.of.facts()}

    def attempts(self, folder: Path | None) -> Iterator[Attempt]:
        assert self.of is not None, "asked for although it does not fit"
        found = [self.stage.recall(self.of.settings, seed) for seed in self.stage.seeds]
        tensors = [one for one in found if one is not None]
        if len(tensors) < len(self.stage.seeds):
            tensors = [_only(attempt.fitted) for attempt in self.of.attempts(folder)]
        asked = _asked_of(self.stage, self.of.builder, tensors)
        yield Attempt(0, asked, f"mean of {len(tensors)} seeds of {self.of.settings.called}")


@dataclass(frozen=True)
class FineTuned:
    """LoRA, or full fine-tuning: a copy of the model, seed after seed."""

    stage: Stage
    settings: LoraSettings | FullSettings
    made_of: tuple[str, ...] = ()

    def unfit(self) -> str:
        if isinstance(self.settings, LoraSettings) and find_spec("peft") is None:
            return "it needs peft: pip install 'softprompt[compare]'"
        require_trainable(self.stage.backbone, self.settings)
        return ""

    def facts(self) -> Mapping[str, Any]:
        return {**_own(self.settings), **self.stage.facts(model=True, trained=True)}

    def attempts(self, folder: Path | None) -> Iterator[Attempt]:
        stage = self.stage
        builder = stage.building(stage.builder.template.without_slots())
        learning = WeightsLearning(
            backbone=stage.backbone,
            builder=builder,
            answers=stage.answers,
            train=stage.weighted,
            validation=stage.splits["validation"].rows,
            training=stage.spending(builder, cached=False),
            settings=self.settings,
            folder=folder,
            max_seconds=stage.max_seconds,
            on_event=stage.on_event,
        )
        for one in learn_weights(learning, stage.seeds):
            note = f"rate {one.rate:g}, {_steps(one.outcome, learning.training)}"
            yield Attempt(one.seed, one.fitted, note, one.probe, one.outcome)


def _asked_of(stage: Stage, builder: RowBuilder, prompts: Sequence[PromptTensors]) -> Asked:
    """Trained prompts as one system."""
    return Asked(
        backbone=stage.backbone,
        asks=tuple(Ask(builder, one, stage.answers) for one in prompts),
        num_trained=sum(one.num_parameters for one in prompts),
        num_bytes=sum(one.num_bytes for one in prompts),
    )


def _own(settings: EntrantSettings) -> dict[str, Any]:
    """What settings say but the name, how fast an endpoint is asked, and its prices."""
    free = {"name", "key_env", "parallel", "timeout", "retries", "price_in", "price_out"}
    return {"settings": settings.model_dump(mode="json", exclude=free)}


def _steps(outcome: Outcome, training: TrainingSettings) -> str:
    stopped = "" if outcome.stop == "finished" else f" ({outcome.stop})"
    return f"step {outcome.step} of {training.steps}{stopped}"


def _only(fitted: Fitted) -> PromptTensors:
    assert isinstance(fitted, Asked), "a soft prompt answers through its model"
    return fitted.asks[0].tensors
