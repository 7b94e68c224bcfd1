"""From the settings of a contender to what takes part: who fits, on what its numbers depend, and its attempts.

All work on one :class:`~softprompt.lab.comparison.stage.Stage`. An entrant says in words why it does not fit a task,
instead of failing; :func:`entrant_of` is the one place that knows them all.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from softprompt.core.answers import AnswerSettings
from softprompt.core.errors import SoftpromptError
from softprompt.core.records import Batch
from softprompt.core.tensors import PromptTensors
from softprompt.lab.comparison.api import ApiContender
from softprompt.lab.comparison.baselines import Majority, TfidfLogistic
from softprompt.lab.comparison.contenders import Asked, Contender, Fitted
from softprompt.lab.comparison.endpoint import Endpoint
from softprompt.lab.comparison.probe import LinearProbe
from softprompt.lab.comparison.settings import (
    ApiSettings,
    EnsembleSettings,
    EntrantSettings,
    FewShotSettings,
    FullSettings,
    LoraSettings,
    PlainEntrantSettings,
    SoftSettings,
    TextSettings,
)
from softprompt.lab.comparison.similar import SimilarShots
from softprompt.lab.comparison.stage import Attempt, Stage
from softprompt.lab.comparison.text_prompts import FewShot, ZeroShot
from softprompt.lab.comparison.weights import WeightsLearning, learn_weights
from softprompt.lab.lessons import Lesson
from softprompt.lab.rehearsal import rehearse
from softprompt.lab.training.outcome import Outcome
from softprompt.lab.training.settings import TrainingSettings
from softprompt.lab.tuning import WORTH_CACHING, tune
from softprompt.model.methods.table import AnyMethodSettings
from softprompt.model.prediction import Ask
from softprompt.model.templates import RowBuilder, Template

__all__ = ["Entrant", "default_entrants", "entrant_of", "said_of"]

#: Share of the time there is before which nothing ends for want of it.
IN_TIME = 0.8

#: Parameters up to which full fine-tuning takes part unasked without an accelerator: 16 bytes each, and the copy.
SMALL_MODEL = 150_000_000


class Entrant(Protocol):
    """A contender on a stage."""

    @property
    def settings(self) -> EntrantSettings: ...

    @property
    def made_of(self) -> tuple[str, ...]:
        """Names of the lines that it is made of, and whose costs are its own, too."""
        ...

    def unfit(self) -> str:
        """Why it does not fit the task or this installation; empty where it does."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """What its numbers depend on, its own settings included, its name not."""
        ...

    def attempts(self, folder: Path | None) -> Iterator[Attempt]:
        """Fit, seed by seed; whoever asks for the next one is done with the one before.

        Args:
            folder: For checkpoints; None keeps none.
        """
        ...


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
    """

    stage: Stage
    settings: EntrantSettings
    contender: Contender
    model: bool = True
    luck: bool = False
    needs: tuple[str, str] | None = None
    made_of: tuple[str, ...] = ()

    def unfit(self) -> str:
        if self.needs is not None and find_spec(self.needs[0]) is None:
            return f"it needs {self.needs[0]}: pip install 'softprompt[{self.needs[1]}]'"
        if not self.contender.supports(self.stage.task):
            return f"it cannot do tasks of kind {self.stage.task.kind}"
        return ""

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
        try:
            rehearse(self.stage.backbone, self.lesson, method=self.method, settings=self.stage.training)
        except SoftpromptError as error:
            return said_of(error)
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
            asked = asked_of(stage, builder, [outcome.tensors])
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
        asked = asked_of(self.stage, self.of.builder, tensors)
        yield Attempt(0, asked, f"mean of {len(tensors)} seeds of {self.of.settings.called}")


@dataclass(frozen=True)
class ByWeights:
    """LoRA, or full fine-tuning."""

    stage: Stage
    settings: LoraSettings | FullSettings
    made_of: tuple[str, ...] = ()

    def unfit(self) -> str:
        if isinstance(self.settings, LoraSettings) and find_spec("peft") is None:
            return "it needs peft: pip install 'softprompt[compare]'"
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


def asked_of(stage: Stage, builder: RowBuilder, prompts: Sequence[PromptTensors]) -> Asked:
    """Trained prompts as one system."""
    numbers = [tensor for one in prompts for _, tensor in one.tensors()]
    return Asked(
        backbone=stage.backbone,
        asks=tuple(Ask(builder, one, stage.answers) for one in prompts),
        num_trained=sum(one.numel() for one in numbers),
        num_bytes=sum(one.numel() * one.element_size() for one in numbers),
    )


def entrant_of(settings: EntrantSettings, stage: Stage, *, others: Sequence[EntrantSettings] = ()) -> Entrant:
    """The contender that settings mean.

    Args:
        settings: Of one contender.
        stage: Where it stands.
        others: All settings of the table, for those that are made of others.
    """
    backbone, template, longest = stage.backbone, stage.builder.template, stage.builder.max_tokens
    match settings:
        case PlainEntrantSettings(kind="majority"):
            return Simple(stage, settings, Majority(), model=False)
        case PlainEntrantSettings(kind="tfidf"):
            contender = TfidfLogistic(fields=template.fields, offsets=stage.correction)
            return Simple(stage, settings, contender, model=False, needs=("sklearn", "compare"))
        case PlainEntrantSettings(kind="embeddings"):
            probe = LinearProbe(backbone, template, max_tokens=longest, offsets=stage.correction)
            return Simple(stage, settings, probe, needs=("sklearn", "compare"))
        case PlainEntrantSettings(kind="zero-shot"):
            return Simple(stage, settings, ZeroShot(backbone, template, max_tokens=longest))
        case TextSettings():
            written = Template.parse(settings.template, keep=template.keep).saying(stage.task.words)
            answers = AnswerSettings(form="words", calibrate="contextual" if settings.calibrate else "none")
            return Simple(stage, settings, ZeroShot(backbone, written, answers=answers, max_tokens=longest))
        case FewShotSettings(choose="similar"):
            similar = SimilarShots(backbone, template, shots=settings.shots, orders=settings.num_orders)
            return Simple(stage, settings, similar, needs=("sklearn", "compare"))
        case FewShotSettings():
            shots = FewShot(backbone, template, shots=settings.shots, draws=settings.num_orders)
            return Simple(stage, settings, shots, luck=True)
        case SoftSettings():
            return Soft(stage, settings)
        case EnsembleSettings():
            prompts = [one for one in others if isinstance(one, SoftSettings)]
            named = [one for one in prompts if settings.of in (None, one.called)]
            return Ensemble(stage, settings, Soft(stage, named[0]) if named else None)
        case LoraSettings() | FullSettings():
            return ByWeights(stage, settings)
        case ApiSettings():
            folder = None if stage.folder is None else stage.folder / "api"
            endpoint = Endpoint(settings, purse=stage.purse, folder=folder)
            needs = ("sklearn", "compare") if settings.shots and settings.choose == "similar" else None
            return Simple(stage, settings, ApiContender(settings, template, endpoint), model=False, needs=needs)
    raise AssertionError(f"settings without an entrant: {type(settings).__name__}")


def default_entrants(stage: Stage) -> tuple[EntrantSettings, ...]:
    """Who takes part where nobody was named: what fits the task, this model and this machine."""
    found: list[EntrantSettings] = [PlainEntrantSettings(kind="majority")]
    if stage.task.fixed_candidates:
        found += [PlainEntrantSettings(kind="tfidf"), PlainEntrantSettings(kind="embeddings")]
    found += [PlainEntrantSettings(kind="zero-shot"), FewShotSettings(orders=1)]
    if find_spec("sklearn"):
        found.append(FewShotSettings(choose="similar"))
    if stage.builder.template.turns is None:
        found += [SoftSettings(place="before"), SoftSettings(place="after")]
    else:
        found.append(SoftSettings())
    if len(stage.seeds) > 1:
        found.append(EnsembleSettings(of=found[-1].called))
    if find_spec("peft"):
        found.append(LoraSettings())
    if stage.backbone.spec.num_parameters <= SMALL_MODEL or stage.backbone.spec.device.type == "cuda":
        found.append(FullSettings())
    return tuple(found)


def said_of(error: SoftpromptError) -> str:
    r"""An error as the reason of a line, without line breaks.

    >>> from softprompt.core.errors import ConfigError
    >>> said_of(ConfigError("config.invalid", "two\nlines"))
    'two lines [config.invalid]'
    """
    return " ".join(str(error).split())


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
