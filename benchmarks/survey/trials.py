"""One way on one problem: the probe of its rate, three seeds, the judged rows, and what a request costs in use.

All ways of a problem share one store: texts are read once. A finished trial is kept, with the setting that made it.

Knows the ways and the contest's problems; no pages.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from benchmarks.contest.our_tuning import OurTuning
from benchmarks.contest.outcomes import Clock, Outcome, Work
from benchmarks.contest.problems import Problem
from softprompt.core.records import Batch
from softprompt.core.tensors import PromptTensors
from softprompt.lab.lessons import Learner, vocabulary_of
from softprompt.lab.tuning import WORTH_CACHING
from softprompt.model.backbones.base import Backbone
from softprompt.model.methods.table import start_method
from softprompt.model.prediction import Ask, Predictor
from softprompt.model.states import StateStore

from .ways import BASE, EARLIER, Way

__all__ = ["READING", "Trial", "request_milliseconds"]

#: Name of what is kept of the reading.
READING = "reading"

#: Texts that are asked one by one.
REQUESTS = 40

#: Bytes of a stored number: saved prompts are fp32.
BYTES = 4


class Trial:
    """A way on a problem.

    Args:
        backbone: The frozen model.
        problem: The rows.
        name: Of the way.
        way: What it is.
        training: Settings of every training.
        work: Keeps results, and the plain prompts that others stand in front of.
        store: Frozen states of the problem's texts.
    """

    def __init__(
        self,
        backbone: Backbone,
        problem: Problem,
        *,
        name: str,
        way: Way,
        training: Mapping[str, Any],
        work: Work,
        store: StateStore,
    ) -> None:
        self.backbone, self.problem, self.name, self.work = backbone, problem, name, work
        saved = self._saved(EARLIER[problem.name]) if way.earlier else None
        self.tuning = OurTuning(
            backbone, problem, name=name, settings=way.settings(training), work=work, store=store, saved=saved
        )

    def kept(self) -> Outcome | None:
        """What was kept in this setting."""
        found = self.work.find(self.problem.name, self.name, setting=self.tuning.setting())
        return None if found is None else Outcome.from_dict(found)

    def outcome(self) -> Outcome:
        """What was kept, or what a training gives; the first trial of a problem reads its texts."""
        found = self.kept()
        if found is None:
            self._read()
            self.work.keep(self.problem.name, self.name, setting=self.tuning.setting(), result=self._run())
            found = self.kept()
            assert found is not None
        return found

    def _read(self) -> None:
        """Every text once, for all ways that stand after it; what it cost is kept beside the results."""
        problem, store = self.problem, self.tuning.store
        parts = (problem.train, problem.validation, problem.judged)
        rows = [self.tuning.builder.row(example) for part in parts for example in part.rows]
        if store is None or self.backbone.plan(Batch(tuple(rows[:32]))).frozen_share < WORTH_CACHING:
            return
        clock = Clock()
        report = store.fill(rows)
        if report.tokens and not report.reused:
            cost = clock.lap()
            found = {"tokens": report.tokens, "texts": len(store.keys(rows)), "cpu_seconds": cost.cpu_seconds}
            self.work.keep(problem.name, READING, setting={}, result=found)

    def _run(self) -> dict[str, Any]:
        outcome, prompts = self.tuning.trained()
        chosen = prompts[0]
        if self.name == BASE:
            path = self._path(self.problem.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({name: tensor.contiguous() for name, tensor in chosen.tensors()}, path)
        use = {
            "request_ms": request_milliseconds(self._ask(chosen)),
            "live_tokens": self._live_tokens(),
            "bytes": BYTES * chosen.num_parameters,
        }
        found = outcome.to_dict()
        return {**found, "num_trained": self._num_trained(), "details": {**found["details"], **use}}

    def _ask(self, prompt: PromptTensors) -> Callable[[int], object]:
        """Answers to one judged text, as a saved prompt gives them."""
        predictor = Predictor(self.backbone, [Ask(self.tuning.builder, prompt)])
        rows = self.problem.judged.rows
        return lambda n: next(predictor.predict([rows[n % len(rows)]]))

    def _num_trained(self) -> int:
        """Numbers that one seed's optimiser moves."""
        lesson = self.tuning.lesson
        config = self.tuning.config.method
        lesson = replace(lesson, start=lesson.start.or_else(config.start_kind))
        method = start_method(config, [Learner(lesson, self.backbone, vocabulary_of(self.backbone)).start(0)])
        return sum(parameter.numel() for parameter in method.parameters_of(0))

    def _live_tokens(self) -> int:
        """Tokens of the median row that a training step computes."""
        rows = [self.tuning.builder.row(example) for example in self.problem.train.rows]
        return round(statistics.median(self.backbone.plan(Batch((row,))).live_tokens for row in rows))

    def _path(self, problem: str) -> Path:
        return self.work.path(problem, BASE, ending=".safetensors")

    def _saved(self, problem: str) -> PromptTensors:
        """The plain prompt of another problem, without its label vectors, which are of other labels."""
        path = self._path(problem)
        if not path.is_file():
            raise LookupError(f"progressive stands in front of the plain prompt of {problem}, which is not kept yet")
        return PromptTensors(PromptTensors.from_tensors(load_file(path)).slots)


def request_milliseconds(ask: Callable[[int], object], *, requests: int = REQUESTS) -> float:
    """Median processor milliseconds of a request, one text at a time; two before count as warming up."""
    taken: list[float] = []
    for n in range(requests + 2):
        start = time.process_time()
        ask(n)
        taken.append(1000 * (time.process_time() - start))
    return statistics.median(taken[2:])
