"""Both placements, all questions in one pass each, within a time that is measured out beforehand.

A short run tells what a step costs here; the steps that fit are then planned, so that the rate's schedule ends when the
time does. Both placements get the same time: what that buys is the comparison.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from softprompt.app.demo.result import Learning
from softprompt.app.recipes.prepare import Prepared
from softprompt.app.watch import Watcher
from softprompt.core.records import Example
from softprompt.lab.training.settings import TrainingSettings
from softprompt.lab.training.trainer import Event
from softprompt.lab.tuning import Learnt, Lesson, tune
from softprompt.model.backbones.base import Backbone
from softprompt.model.methods.plain import PlainSettings
from softprompt.model.states import StateStore
from softprompt.model.templates import Template
from softprompt.model.templates.presets import Place

__all__ = ["Learnt", "Trained", "placed", "train"]

#: In units of the table's scale. Chosen on the validation rows of the example messages with the embedded model: after
#: 150 steps their mean accuracy was 0.55 at 0.01, 0.65 at 0.03, 0.71 at 0.1, 0.73 at 0.2 and 0.72 at 0.4.
#: There is no time for a probe here; a run of your own has one.
RATE = 0.2

EVALUATIONS = 3
PACE_STEPS = 3
PACE_ROWS = 32
PATIENCE = 2.0  #: how far a training that is late already may run behind its plan before it is ended


@dataclass(frozen=True)
class Trained:
    """Prompts of one placement.

    Attributes:
        ready: By question, with the template of this placement.
        learnt: By question.
        learning: What it took.
    """

    ready: tuple[Prepared, ...]
    learnt: tuple[Learnt, ...]
    learning: Learning


def placed(ready: Prepared, place: Place) -> Prepared:
    """The same question with its soft tokens in another place."""
    config = ready.config.with_({"template.place": place})
    template = Template.preset("classify", place=place, fields=ready.template.fields, length=config.template.length)
    return replace(ready, config=config, builder=ready.builder.of(template=template))


def train(
    ready: Sequence[Prepared], *, place: Place, seconds: float, max_steps: int, watcher: Watcher, least_steps: int = 1
) -> Trained:
    """Train the prompts of all questions side by side.

    Args:
        ready: The questions, over the same rows.
        place: Where the soft tokens stand.
        seconds: For everything in here, reading included.
        max_steps: At most so many.
        watcher: Told what happens.
        least_steps: So many where there is a choice, whatever the time: fewer would show a busy machine and no method.

    Raises:
        TrainingError: as :func:`softprompt.lab.tuning.tune`.
        KeyboardInterrupt: the user ended it: there is no half of a comparison to keep.
    """
    begun = time.perf_counter()
    mine = tuple(placed(one, place) for one in ready)
    lessons = [Lesson(one.config.name, one.builder, one.splits["train"], one.splits["validation"]) for one in mine]
    backbone, seed = mine[0].backbone, mine[0].config.training.seeds
    settings = TrainingSettings(seeds=seed, rate=RATE, evaluations=EVALUATIONS, patience=EVALUATIONS + 1)
    with StateStore(backbone) as store:
        read = 0.0
        if place == "after":
            watcher.stage("read every text once, for all questions and all steps", unit="tokens")
            rows = [lessons[0].builder.row(one) for one in (*lessons[0].train, *lessons[0].validation) if one]
            read = store.fill(rows, on_progress=lambda done, total: watcher.advance(done)).seconds
        pace = _pace(backbone, lessons, settings, store)
        left = max(seconds - (time.perf_counter() - begun), seconds / 2)
        judging = (EVALUATIONS + 1) * len(lessons[0].validation) * pace.row_seconds  # one look before the first step
        fitting = _steps(pace, left - judging, max_steps=max_steps)
        steps = max(fitting, min(least_steps, max_steps))
        if steps > fitting:
            left = PATIENCE * (judging + steps * pace.step_seconds)
            watcher.note(
                f"a step takes {pace.step_seconds:.2g} s on this machine now; {steps} steps are made all the same, "
                f"though only {fitting} fit into the time"
            )
        watcher.stage(f"train {len(lessons)} prompts {place} the text, side by side", total=steps, unit="steps")
        heard = _Heard(watcher)
        found = tune(
            backbone,
            lessons,
            method=PlainSettings(),
            settings=settings.model_copy(update={"steps": steps, "max_time": left}),
            store=store,
            on_event=heard,
        )
    stops = {one.stop for learnt in found.learnt for one in learnt.outcomes}
    if "interrupted" in stops:
        raise KeyboardInterrupt
    step_seconds = statistics.median(heard.steps) if heard.steps else 0.0
    learning = Learning(place, len(heard.steps), time.perf_counter() - begun, read, step_seconds, "time" in stops)
    return Trained(mine, found.learnt, learning)


@dataclass(frozen=True)
class _Pace:
    """What a step costs, and judging one validation row."""

    step_seconds: float
    row_seconds: float


def _pace(backbone: Backbone, lessons: Sequence[Lesson], settings: TrainingSettings, store: StateStore) -> _Pace:
    """Measured on a few rows from all over the table.

    Batches hold rows of like length, so time is taken a token and the tokens are those of an average batch. The first
    step warms up; of the others the faster one counts: if that was luck, the time limit ends the training.
    """
    few = [replace(one, train=_few(one.train), validation=_few(one.validation)) for one in lessons]
    steps: list[Event] = []
    looks: list[float] = []
    last = time.perf_counter()

    def hear(stage: str, event: Event) -> None:
        nonlocal last
        now = time.perf_counter()
        if event.kind == "step":
            steps.append(event)
        else:
            looks.append(now - last)
        last = now

    short = settings.model_copy(update={"steps": PACE_STEPS, "evaluations": 1})
    tune(backbone, few, method=PlainSettings(), settings=short, store=store, on_event=hear)
    token = min(one.seconds / one.live_tokens for one in steps[1:])
    return _Pace(token * statistics.fmean(one.live_tokens for one in steps[:2]), looks[-1] / len(few[0].validation))


def _few(rows: Sequence[Example | None]) -> tuple[Example | None, ...]:
    """At most :data:`PACE_ROWS`, evenly spaced."""
    return tuple(rows[:: max(1, len(rows) // PACE_ROWS)][:PACE_ROWS])


def _steps(pace: _Pace, seconds: float, *, max_steps: int) -> int:
    """Steps that fit; one at least.

    >>> _steps(_Pace(0.1, 0.01), 16.0, max_steps=1000)
    160
    """
    return max(1, min(max_steps, int(seconds / pace.step_seconds)))


class _Heard:
    """Steps for the watcher, and how long each took."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.steps: list[float] = []
        self.score: float | None = None

    def __call__(self, stage: str, event: Event) -> None:
        if event.kind == "evaluate":
            self.score = statistics.fmean(event.values.values()) if event.values else self.score
        elif event.kind == "step":
            self.steps.append(event.seconds)
            loss = statistics.fmean(event.losses.values())
            self.watcher.advance(event.step, loss=loss, validation=self.score)
