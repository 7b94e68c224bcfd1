"""Ours with its defaults: the road of a user's run, all seeds in one process over one reading of the texts.

Template, answers, method, start and training are what a run without any setting gets; only the seeds, the number of
steps and the batch are set, so that both sides make equally many steps.
"""

from pathlib import Path
from typing import Any

from softprompt.app.config import RunConfig
from softprompt.lab.training.trainer import Event
from softprompt.lab.tuning import Lesson, Tuning, tune
from softprompt.model.backbones.base import Backbone
from softprompt.model.templates import RowBuilder
from softprompt.model.templates.presets import Place
from softprompt.model.templates.rows import Answers

from .answering import marks, rows_of, scores_of, targets_of
from .outcomes import Clock, Cost, Outcome, Work
from .problems import Problem

__all__ = ["OurTuning"]


class OurTuning:
    """Our defaults on one problem.

    Args:
        backbone: The frozen model.
        problem: The rows.
        place: Soft tokens before or after the text.
        training: Settings that differ from the defaults.
        work: Keeps results.
    """

    def __init__(
        self, backbone: Backbone, problem: Problem, *, place: Place, training: dict[str, Any], work: Work
    ) -> None:
        self.backbone, self.problem, self.place, self.work = backbone, problem, place, work
        self.config = RunConfig.parse(
            {"data": {"train": problem.name}, "template": {"place": place}, "training": training}
        )
        template = self.config.template.build("classify", fields=problem.fields, tokenizer=backbone.tokenizer)
        answers = self.config.answers.resolved(problem.task, num_parameters=backbone.spec.num_parameters)
        form: Answers = "vectors" if answers.form == "vectors" else "words"
        longest = backbone.spec.max_positions
        self.builder = RowBuilder(template, problem.task, backbone.tokenizer, max_tokens=longest, answers=form)

    def outcome(self) -> Outcome:
        """Train and judge all seeds; a run that was killed goes on from its checkpoint."""
        names = (self.problem.name, self.place)
        kept = self.work.once(*names, setting=self._setting(), make=lambda: self._run().to_dict())
        return Outcome.from_dict(kept)

    def _run(self) -> Outcome:
        folder = self.work.path(self.problem.name, f"{self.place}.run")
        folder.mkdir(parents=True, exist_ok=True)
        found, search, train = self._tuned(folder)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        learnt = found.learnt[0]
        prompts = [outcome.tensors for outcome in learnt.outcomes]
        rows = rows_of(self.builder, self.problem.judged.rows, num_prompts=len(prompts))
        scores = scores_of(self.backbone, rows, prompts)
        return Outcome(
            contender=self.place,
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

    def _tuned(self, folder: Path) -> tuple[Tuning, Cost, Cost]:
        """The tuning, what reading and probing cost, and what the seeds cost."""
        clock, search = Clock(), Cost()
        begun = False

        def listen(stage: str, event: Event) -> None:
            nonlocal begun, search
            if stage == "train" and not begun:
                begun, search = True, clock.lap()

        lesson = Lesson(
            self.problem.name,
            self.builder,
            self.problem.train.rows,
            self.problem.validation.rows,
            start=self.config.start,
        )
        found = tune(
            self.backbone,
            [lesson],
            method=self.config.method,
            settings=self.config.training,
            folder=folder,
            on_event=listen,
        )
        return found, search, clock.lap()

    def _setting(self) -> dict[str, Any]:
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
