"""The demonstration: the first baselines within seconds, prompts after and before the text, the verdict, the folder.

Knows the recipes and the floors below; it prints nothing and asks nothing.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from softprompt.app.config import RunConfig
from softprompt.app.demo.commands import next_commands
from softprompt.app.demo.contest import asks_of, baselines, judged
from softprompt.app.demo.folder import PAGE, check_folder, folder_name, write
from softprompt.app.demo.reading import Answerer, compare_readings
from softprompt.app.demo.result import AFTER, BEFORE, DemoResult, Question, Reply, verdict_sentence
from softprompt.app.demo.rows import FIELD, Table, read_table
from softprompt.app.demo.settings import DemoSettings
from softprompt.app.demo.training import RATE, Trained, train
from softprompt.app.recipes.prepare import Prepared, load_backbone, prepare
from softprompt.app.recipes.saved import make_prompt, scores_of
from softprompt.app.watch import Watcher
from softprompt.core.machine import num_cores
from softprompt.lab.comparison import Standing, ZeroShot, compare
from softprompt.model.backbones.base import Backbone

__all__ = ["run_demo"]

MAX_TOKENS = 320  #: of a row: longer texts are cut, to keep to the time
READING_SECONDS = 4.0  #: for timing one reading against several
LEAST_STEPS = 60  #: after the text, however busy the machine is
LEAST_SECONDS = 5.0  #: of a training, however slow the machine is
WRITE_SECONDS = 1.0
METRICS = ("accuracy", "macro_f1")  #: the share of right answers is what an onlooker understands


@dataclass
class _Clock:
    """Seconds by stage."""

    begun: float = field(default_factory=time.perf_counter)
    cpu: float = field(default_factory=time.process_time)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = time.perf_counter() - start

    @property
    def elapsed(self) -> float:
        return time.perf_counter() - self.begun

    @property
    def cpu_seconds(self) -> float:
        return time.process_time() - self.cpu


def run_demo(
    settings: DemoSettings | None = None, watcher: Watcher | None = None, *, backbone: Backbone | None = None
) -> DemoResult:
    """Show on real rows what a soft prompt gives, what it costs, and what else would have done.

    Args:
        settings: Which rows, which model, how long.
        watcher: Told what happens; the first scores come as notes.
        backbone: A model that is loaded already.

    Raises:
        DataError: the rows cannot be used.
        ConfigError: ``config.invalid``: the output folder holds something else.
        ModelError, TemplateError, TrainingError, PromptError, ResourceError: each with its code.
    """
    settings, watcher, clock = settings or DemoSettings(), watcher or Watcher(), _Clock()
    check_folder(settings.output)
    with clock.stage("rows"):
        watcher.stage("read the rows")
        table = read_table(settings)
    with clock.stage("model"):
        backbone = backbone or load_backbone(settings.model, watcher)
        ready = _questions(table, settings, backbone)
    notes = list(dict.fromkeys([*table.notes, *(note for one in ready for note in one.notes)]))
    for note in notes:
        watcher.note(note)
    with clock.stage("baselines"):
        standings = baselines(ready, watcher, notes)
    seconds = _seconds_each(settings, clock, standings)
    with clock.stage("train after"):
        after = train(
            ready,
            place="after",
            seconds=seconds,
            max_steps=settings.max_steps,
            watcher=watcher,
            least_steps=LEAST_STEPS,
        )
    with clock.stage("train before"):
        same = after.learning.seconds  # the same time for both, whatever the first one needed
        before = train(ready, place="before", seconds=same, max_steps=settings.max_steps, watcher=watcher)
    with clock.stage("judge"):
        watcher.stage("judge on the test rows")
        for name, trained in ((AFTER, after), (BEFORE, before)):
            for one, standing in zip(standings, judged(name, trained, watcher), strict=True):
                one.append(standing)
    asks = asks_of(after)
    with clock.stage("one reading"):
        watcher.stage(f"time one reading for {len(asks)} answers against {len(asks)} readings")
        one_reading = compare_readings(backbone, asks, ready[0].splits["test"], seconds=READING_SECONDS)
        replies = _replies(Answerer(backbone, asks), table, ready, settings)
    with clock.stage("write"):
        watcher.stage("write prompts and page")
        questions = _saved(after, standings, settings)
    result = DemoResult(
        source=table.name,
        example=table.example,
        rows={name: len(rows) for name, rows in ready[0].splits.items()},
        model=_model(backbone),
        machine={"cores": num_cores(), "threads": torch.get_num_threads()},
        questions=questions,
        learning=(after.learning, before.learning),
        one_reading=one_reading,
        replies=replies,
        commands=next_commands(questions, table, settings),
        folder=settings.output,
        page=settings.output / PAGE,
        seconds=clock.seconds,
        cpu_seconds=clock.cpu_seconds,
        notes=tuple(notes),
    )
    write(result)
    watcher.done()
    return result


def _questions(table: Table, settings: DemoSettings, backbone: Backbone) -> tuple[Prepared, ...]:
    """Every question as a run of its own, over the same rows and the same model."""
    ready = []
    for target, sources in table.sources.items():
        config = RunConfig.parse(
            {
                "name": target[:200],
                "model": settings.model,
                "data": {"train": table.name},
                "task": {"kind": "classify", "target": target, "labels": _labels(sources), "metrics": METRICS},
                "template": {"place": "after", "length": settings.length},
                "max_tokens": MAX_TOKENS,
                "training": {"rate": RATE, "seeds": (settings.seed,)},
                "notes": "made by softprompt demo",
            }
        )
        ready.append(prepare(config, sources=sources, backbone=backbone))
    return tuple(ready)


def _labels(sources: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(sources["train"].classes)


def _seconds_each(settings: DemoSettings, clock: _Clock, standings: Sequence[Sequence[Standing]]) -> float:
    """Time for each training: what is left beside judging both, about as much as judging text prompts twice."""
    text_prompts = sum(one.predict_seconds for lines in standings for one in lines if one.name == ZeroShot.name)
    left = settings.max_time - clock.elapsed - 2 * text_prompts - READING_SECONDS - WRITE_SECONDS
    return max(left / 2, min(LEAST_SECONDS, settings.max_time / 2))


def _replies(answerer: Answerer, table: Table, ready: Sequence[Prepared], settings: DemoSettings) -> tuple[Reply, ...]:
    """Answers to the user's sentences, or to the first test row with what is right."""
    if settings.texts:
        return tuple(answerer(text) for text in settings.texts)
    first = ready[0].splits["test"][0]
    expected = {one.config.name: str(one.task.reference(one.splits["test"][0])) for one in ready}
    return (answerer(first.fields[FIELD], expected=expected),)


def _saved(trained: Trained, standings: Sequence[Sequence[Standing]], settings: DemoSettings) -> tuple[Question, ...]:
    """The prompts after the text, each in a folder of its own, and what is said of each question."""
    questions: list[Question] = []
    for one, learnt, lines in zip(trained.ready, trained.learnt, standings, strict=True):
        own = next(line for line in lines if line.name == AFTER)
        facts = {"steps": trained.learning.steps, "rate": learnt.rate}
        prompt = make_prompt(one, learnt.prompt, scores=scores_of(own.evaluation, "test"), facts=facts)
        folder = settings.output / folder_name(one.config.name, {question.prompt.name for question in questions})
        prompt.save(folder, overwrite=True)
        comparison = compare(lines, reference=AFTER)
        verdict = verdict_sentence(comparison, target=one.config.name)
        questions.append(Question(one.config.name, one.task.names, comparison, verdict, folder))
    return tuple(questions)


def _model(backbone: Backbone) -> dict[str, Any]:
    spec = backbone.spec
    return {
        "name": spec.name,
        "num_parameters": spec.num_parameters,
        "dtype": str(spec.dtype).removeprefix("torch."),
        "device": str(spec.device),
    }
