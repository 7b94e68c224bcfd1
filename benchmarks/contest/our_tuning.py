"""Ours: the road of a user's run, all seeds in one process over one reading of the texts.

Template, answers, method, start and training are what a run without any setting gets, except for what is set.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from softprompt.app.config import RunConfig
from softprompt.core.tensors import PromptTensors
from softprompt.lab.training.trainer import Event
from softprompt.lab.tuning import Lesson, Tuning, tune
from softprompt.model.backbones.base import Backbone
from softprompt.model.states import StateStore
from softprompt.model.templates import RowBuilder
from softprompt.model.templates.rows import Answers

from .answering import marks, rows_of, scores_of, targets_of
from .outcomes import Clock, Cost, Outcome, Work
from .problems import Problem

__all__ = ["OurTuning"]


class OurTuning:
    """A run of ours on one problem.

    Args:
        backbone: The frozen model.
        problem: The rows.
        name: Of the contender, in tables and file names.
        settings: What differs from the defaults, as in a run's file: template, method, start, training.
        work: Keeps results.
        store: Frozen states that other trainings share; read and forgotten here if None.
        saved: The earlier prompt, where the start is one.
    """

    def __init__(
        self,
        backbone: Backbone,
        problem: Problem,
        *,
        name: str,
        settings: Mapping[str, Any],
        work: Work,
        store: StateStore | None = None,
        saved: PromptTensors | None = None,
    ) -> None:
        self.backbone, self.problem, self.name, self.work = backbone, problem, name, work
        self.store = store
        named = {"start_from": "saved"} if saved is not None else {}
        self.config = RunConfig.parse({"data": {"train": problem.name}, **named, **settings})
        spec = backbone.spec
        template = self.config.template.build(
            "classify", fields=problem.fields, tokenizer=backbone.tokenizer, model=spec.kind
        )
        answers = self.config.answers.resolved(problem.task, num_parameters=spec.num_parameters, words=spec.words)
        form: Answers = "vectors" if answers.form == "vectors" else "words"
        longest = self.config.max_tokens or spec.max_positions
        self.builder = RowBuilder(template, problem.task, backbone.tokenizer, max_tokens=longest, answers=form)
        self.lesson = Lesson(
            problem.name,
            self.builder,
            problem.train.rows,
            problem.validation.rows,
            start=self.config.start,
            saved=saved,
        )

    def outcome(self) -> Outcome:
        """Train and judge all seeds; a run that was killed goes on from its checkpoint."""
        kept = self.work.once(
            self.problem.name, self.name, setting=self.setting(), make=lambda: self.trained()[0].to_dict()
        )
        return Outcome.from_dict(kept)

    def trained(self) -> tuple[Outcome, Sequence[PromptTensors]]:
        """Train and judge all seeds, whatever was kept; the prompts by seed, the best on the validation rows first."""
        folder = self.work.path(self.problem.name, f"{self.name}.run")
        folder.mkdir(parents=True, exist_ok=True)
        found, search, train = self._tuned(folder)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        learnt = found.learnt[0]
        prompts = [outcome.tensors for outcome in learnt.outcomes]
        rows = rows_of(self.builder, self.problem.judged.rows, num_prompts=len(prompts))
        scores = scores_of(self.backbone, rows, prompts, store=self.store)
        outcome = Outcome(
            contender=self.name,
            seeds=learnt.seeds,
            right=tuple(marks(found, targets_of(rows, k)) for k, found in enumerate(scores)),
            validation=tuple(outcome.value for outcome in learnt.outcomes),
            search=search,
            train=train,
            num_trained=prompts[0].num_parameters,
            details={
                "template": str(self.builder.template),
                "answers": self.builder.answers,
                "rate": learnt.rate,
                "probe": {f"{rate:g}": value for rate, value in learnt.probe.items()},
                "best_step": [outcome.step for outcome in learnt.outcomes],
                "stopped": [outcome.stop for outcome in learnt.outcomes],
                "training": found.settings.model_dump(mode="json"),
            },
        )
        return outcome, [learnt.prompt, *(one for one in prompts if one is not learnt.prompt)]

    def _tuned(self, folder: Path) -> tuple[Tuning, Cost, Cost]:
        """The tuning, what reading and probing cost, and what the seeds cost."""
        clock, search = Clock(), Cost()
        begun = False

        def listen(stage: str, event: Event) -> None:
            nonlocal begun, search
            if stage == "train" and not begun:
                begun, search = True, clock.lap()

        found = tune(
            self.backbone,
            [self.lesson],
            method=self.config.method,
            settings=self.config.training,
            folder=folder,
            on_event=listen,
            store=self.store,
        )
        return found, search, clock.lap()

    def setting(self) -> dict[str, Any]:
        """What makes a kept result another one."""
        spec, problem, training = self.backbone.spec, self.problem, self.config.training.resolved()
        return {
            "model": spec.fingerprint,
            "dtype": str(spec.dtype),
            "device": spec.device.type,
            "rows": [problem.train.hash, problem.validation.hash, problem.judged.hash],
            "template": str(self.builder.template),
            "answers": self.builder.answers,
            "method": self.config.method.model_dump(mode="json"),
            "start": self.config.start.model_dump(mode="json"),
            "steps": training.steps,
            "batch_size": training.batch_size,
            "seeds": training.seeds,
            "training": training.model_dump(mode="json"),
        }
