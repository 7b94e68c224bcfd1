"""Contenders that train weights: LoRA and full fine-tuning, on a copy of the model.

What is trained is the only difference to a soft prompt: the same template without its soft slots, the same answers
(label vectors where the prompt has them), objective, batches, steps, schedule, looks at the validation rows and choice
of what is kept, by the same trainer, and then the same predictor. The learning rate has a probe of its own. Seeds move
the order of the rows and the start of the adapters.

peft enters the lab here and nowhere else, when LoRA is fitted. Knows lessons and copies; no files but its checkpoints.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from softprompt.core.answers import AnswerSettings
from softprompt.core.errors import TrainingError
from softprompt.core.records import Example
from softprompt.core.tensors import PromptTensors
from softprompt.lab.comparison.asked import Asked
from softprompt.lab.comparison.finetuning.adapters import add_adapters
from softprompt.lab.comparison.settings import FullSettings, LoraSettings
from softprompt.lab.lessons import Learner, Lesson, vocabulary_of
from softprompt.lab.training.decisions import Decisions
from softprompt.lab.training.forecast import fit as fit_memory
from softprompt.lab.training.looks import part_of, rows_a_look
from softprompt.lab.training.outcome import Event, Outcome
from softprompt.lab.training.problem import Problem
from softprompt.lab.training.settings import TrainingSettings
from softprompt.lab.training.trainer import Trainer
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.weights.copies import module_of, trainable_copy, unchanged
from softprompt.model.methods.base import Method, MethodSettings, NoSlots, Parametrisation
from softprompt.model.methods.starts import Start
from softprompt.model.prediction import Ask
from softprompt.model.prompted import PromptedModel, num_tokens
from softprompt.model.templates import RowBuilder

__all__ = ["Tuned", "Weights", "WeightsLearning", "learn_weights"]

#: Rate of the label vectors, in their own units: that of the middle of a soft prompt's probe. At a rate fit for weights
#: they would hardly move in a few hundred steps.
HEAD_RATE = 0.1

#: Of the time there is, what the probe takes at most, as for soft prompts.
PROBE_SHARE = 0.35

#: Trained numbers from which no checkpoint is kept: with its optimiser and the best so far it would be four times that.
MOST_KEPT = 100_000_000


class Weights(Method[MethodSettings]):
    """Weights of a model (and label vectors) in the place of a prompt, for the trainer.

    Args:
        start: Without slots; its head is trained beside the weights.
        weights: By name; changed in place.
        rate: Peak rate; the head moves as it would at :data:`HEAD_RATE`.
    """

    def __init__(self, start: Start, weights: Mapping[str, nn.Parameter], *, rate: float) -> None:
        assert not start.slots, "weights are learnt without soft slots"
        scaled = replace(start, head_scale=start.head_scale * HEAD_RATE / rate)
        super().__init__(MethodSettings(name="weights"), [scaled])
        self.weights = nn.ParameterDict({name.replace(".", "/"): one for name, one in weights.items()})

    @classmethod
    def parametrise(cls, config: MethodSettings, start: Start) -> Parametrisation:
        return NoSlots()

    def named_parameters_of(self, k: int) -> Iterator[tuple[str, nn.Parameter]]:
        yield from super().named_parameters_of(k)
        for name, parameter in self.weights.items():
            yield f"weights.{name}", parameter


@dataclass(frozen=True, kw_only=True)
class WeightsLearning:
    """What all seeds and rates have in common.

    Attributes:
        backbone: The loaded model; it stays as it is.
        builder: Template without soft slots, task, form of the answers.
        answers: How scores become probabilities.
        train: Rows to learn from, weighted.
        validation: Rows that choose.
        training: Resolved, as for the soft prompts; its rates are those of soft tokens and are not used.
        settings: What is trained, and the rates to try.
        folder: Where checkpoints go; None keeps none.
        max_seconds: Wall time for the probe and all seeds; None: as many steps as the settings say.
        on_event: Told ``probe`` or ``train``, and what happened.
    """

    backbone: Backbone
    builder: RowBuilder
    answers: AnswerSettings
    train: Sequence[Example]
    validation: Sequence[Example]
    training: TrainingSettings
    settings: LoraSettings | FullSettings
    folder: Path | None = None
    max_seconds: float | None = None
    on_event: Callable[[str, Event], None] = lambda stage, event: None


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """One seed.

    Attributes:
        seed: Of the order and the adapters.
        fitted: Answers with the copy.
        outcome: Of the trainer.
        rate: Learning rate.
        probe: Validation score by rate; empty without a probe.
    """

    seed: int
    fitted: Asked
    outcome: Outcome
    rate: float
    probe: Mapping[float, float]


def learn_weights(learning: WeightsLearning, seeds: Sequence[int]) -> Iterator[Tuned]:
    """Probe the learning rate, then train seed by seed; a copy lives until the next one is asked for.

    Args:
        learning: What is learnt and how.
        seeds: Of the prompts that are reported; the probe has one of its own.

    Raises:
        ExtraError: ``extra.missing`` without peft.
        ConfigError: ``config.invalid`` for modules to adapt that the model does not have.
        TrainingError: ``training.diverged``, ``training.no_rows``.
        ModelError: ``model.changed``, ``model.unsupported``.
        ResourceError: ``resource.out_of_memory``.
        KeyboardInterrupt: After the checkpoint was written.
    """
    yield from _Work(learning).run(seeds)


class _Work:
    """One contender under way."""

    def __init__(self, learning: WeightsLearning) -> None:
        self.begun = time.monotonic()
        self.given, self.backbone = learning, learning.backbone
        self.settings = learning.training
        assert self.settings.steps, "settings are not resolved"
        lesson = Lesson(
            learning.settings.called,
            learning.builder,
            learning.train,
            learning.validation,
            offsets=learning.answers.offsets,
        )
        self.learner = Learner(lesson, self.backbone, vocabulary_of(self.backbone), weights=True)
        self.learner.require_judged()
        folder = learning.folder
        self.decisions = Decisions(folder / "decided.json" if folder else None)

    def run(self, seeds: Sequence[int]) -> Iterator[Tuned]:
        probe = self.probe(min(0, *seeds) - 1)
        rate = max(probe, key=lambda one: probe[one])
        if probe[rate] == -math.inf and len(probe) > 1:
            message = f"{self.given.settings.called}: no rate of {', '.join(f'{one:g}' for one in probe)} stayed finite"
            raise TrainingError("training.diverged", message, cure="give lower rates")
        for n, seed in enumerate(seeds):
            left = self.left()
            limit = None if left is None else max(left / (len(seeds) - n), 1e-3)
            steps = self.paced(limit, n)
            changes = {"steps": steps, "max_time": limit, "order_seed": seed}
            own, outcome = self.train(rate, seed, self.settings.model_copy(update=changes), name=f"seed-{seed}")
            yield Tuned(
                seed=seed,
                fitted=self.fitted(own, outcome.tensors, steps=outcome.step),
                outcome=outcome,
                rate=rate,
                probe=probe if len(probe) > 1 else {},
            )
            del own, outcome

    def probe(self, seed: int) -> dict[float, float]:
        """Validation score by rate; -inf where it diverged. A single rate is taken as it is."""
        rates = self.given.settings.rates
        if len(rates) == 1:
            return {rates[0]: -math.inf}

        def tried() -> list[list[float]]:
            begun, found = time.monotonic(), []
            changes = {"steps": self.settings.probe_steps, "evaluations": 3, "patience": 10**6, "keep": "best"}
            left = self.left()
            limit = None if left is None else left * PROBE_SHARE / len(rates)
            settings = self.settings.model_copy(update={**changes, "order_seed": seed, "max_time": limit})
            for rate in rates:
                _, outcome = self.train(rate, seed, settings, name=f"rate-{rate:g}", kept=False)
                found.append([rate, -math.inf if outcome.stop == "diverged" else outcome.value])
            self.decisions.decide("pace", lambda: (time.monotonic() - begun) / (len(rates) * (settings.steps or 1)))
            return found

        return dict(self.decisions.decide("probe", tried))

    def left(self) -> float | None:
        """Seconds left; None without a limit."""
        limit = self.given.max_seconds
        return None if limit is None else max(0.0, limit - (time.monotonic() - self.begun))

    def paced(self, limit: float | None, n: int) -> int:
        """Steps that fit into the time, so that the schedule comes to its end."""
        steps = self.settings.steps or 1
        if limit is None or "pace" not in self.decisions:
            return steps
        pace = self.decisions.decide("pace", lambda: 0.0)
        return int(self.decisions.decide(f"steps {n}", lambda: max(1, min(steps, int(0.9 * limit / max(pace, 1e-9))))))

    def train(
        self, rate: float, seed: int, settings: TrainingSettings, *, name: str, kept: bool = True
    ) -> tuple[Backbone, Outcome]:
        """One training on a fresh copy; the loaded model is proved to be what it was."""
        with unchanged(self.backbone, during=self.given.settings.called):
            own = self.prepared(seed)
            weights = {key: one for key, one in module_of(own).named_parameters() if one.requires_grad}
            method = Weights(self.learner.start(seed), weights, rate=rate).to(self.backbone.spec.device)
            model = PromptedModel(own)
            problem = self.problem(settings, seed, probe=not kept)
            if settings.micro_tokens is None:
                asked = [[row and row.for_prompt(0) for row in self.learner.train]]
                made = self.decisions.decide(
                    "memory", lambda: list(fit_memory(model, method, asked, store=None, recompute=settings.recompute))
                )
                settings = settings.model_copy(update={"micro_tokens": made[0], "recompute": made[1]})
            few = sum(one.numel() for one in weights.values()) <= MOST_KEPT
            folder = self.given.folder
            trainer = Trainer(
                model,
                method,
                problem,
                settings=settings,
                rates=[rate],
                path=folder / f"{name}.checkpoint" if folder is not None and few and kept else None,
                pins={"rate": rate, "seed": seed, "steps": settings.steps, "model": self.backbone.spec.fingerprint},
                on_event=lambda event: self.given.on_event("train" if kept else "probe", self.told(event, name)),
            )
            (outcome,) = trainer.run()
        if outcome.stop == "interrupted":
            raise KeyboardInterrupt
        return own, outcome

    def told(self, event: Event, name: str) -> Event:
        """An event under the name of its training."""
        return replace(event, names={0: name.replace("-", " ", 1)})

    def problem(self, settings: TrainingSettings, seed: int, *, probe: bool) -> Problem:
        """What the trainer gets: all training rows; the validation rows, of which a probe looks at a part."""
        looks = self.learner.validation
        return Problem(
            train=[self.learner.train],
            validation=[part_of(looks, rows_a_look(settings)) if probe else looks],
            objectives=[self.learner.objective],
            judge=lambda k, scores, indices: self.learner.judge(scores, indices),
            seeds=[seed],
            lengths=[0 if row is None else num_tokens(row) for row in self.learner.train],
        )

    def prepared(self, seed: int) -> Backbone:
        """A copy with what is to be trained unfrozen."""
        settings = self.given.settings
        if isinstance(settings, LoraSettings):
            own = trainable_copy(self.backbone, share=True)
            add_adapters(module_of(own), settings, seed=seed)
            return own
        own = trainable_copy(self.backbone)
        module_of(own).requires_grad_(True)
        return own

    def fitted(self, own: Backbone, tensors: PromptTensors, *, steps: int) -> Asked:
        """The trained copy, frozen again, with its label vectors."""
        trained = [one for one in module_of(own).parameters() if one.requires_grad]
        module_of(own).requires_grad_(False)
        return Asked(
            backbone=own,
            asks=(Ask(self.given.builder, tensors, self.given.answers),),
            num_trained=tensors.num_parameters + sum(one.numel() for one in trained),
            num_bytes=tensors.num_bytes + sum(one.numel() * one.element_size() for one in trained),
            note=f"kept from step {steps}",
        )
