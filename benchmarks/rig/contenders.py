"""Who competes: PEFT's prompt tuning as users run it and at its best, and ours by the road that a user's run takes.

A contender makes one optimiser step on one batch of rows, and tells what it costs. Ours is a real
:class:`~softprompt.lab.training.trainer.Trainer` of one step; its clock covers forward, backward, optimiser and the
traffic of cached states, as PEFT's covers forward, backward and optimiser.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import PromptTuningConfig, get_peft_model
from torch import Tensor

from softprompt.core.records import Batch
from softprompt.lab.training.problem import Problem
from softprompt.lab.training.settings import TrainingSettings
from softprompt.lab.training.trainer import Event, Trainer
from softprompt.model.backbones.base import Backbone
from softprompt.model.methods.starts import Layers
from softprompt.model.methods.table import parse_method, start_method
from softprompt.model.prompted import PromptedModel, Scores
from softprompt.model.states import Budget, StateStore

from .pages import drop
from .setting import ANSWERS, WORDS, Setting, row_of, start_of, texts_of

__all__ = ["CONTENDERS", "Contender", "Ours", "Peft", "Step", "contender"]


@dataclass(frozen=True)
class Step:
    """Cost of one optimiser step.

    Attributes:
        seconds: Wall time.
        cpu_seconds: Time on the processor, all threads; much less than threads x wall means that others ran.
        loss: Mean over the predicted tokens.
    """

    seconds: float
    cpu_seconds: float
    loss: float


class Contender(ABC):
    """One way to train 20 vectors.

    Attributes:
        name: In tables.
        read_seconds: Time of the one-off reading, 0 where there is none.
    """

    name: str
    read_seconds = 0.0

    @abstractmethod
    def step(self) -> Step:
        """Forward, backward and optimiser on the batch."""

    @abstractmethod
    def gradient(self) -> tuple[float, Tensor]:
        """Loss and gradient with respect to the vectors at their start, for comparing contenders."""

    def close(self) -> None:
        """Give back files and states."""
        return


class Peft(Contender):
    """PEFT's prompt tuning.

    Args:
        best: False: as its examples run it (``labels`` with -100, training mode, logits everywhere). True: evaluation
            mode, no key/value cache, and logits only where the loss needs them, which a user has to compute then.
    """

    def __init__(self, setting: Setting, backbone: Backbone, *, best: bool) -> None:
        self.name = "peft_best" if best else "peft"
        self.best, self.device = best, torch.device(setting.device)
        base: Any = backbone.model  # type: ignore[attr-defined]
        config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=setting.vectors)
        self.model = get_peft_model(base, config)
        self.vectors = next(parameter for parameter in self.model.parameters() if parameter.requires_grad)
        with torch.no_grad():
            self.vectors.copy_(start_of(setting, backbone).slots["soft"])
        rows = [(*text, *WORDS, *ANSWERS[i % len(ANSWERS)]) for i, text in enumerate(texts_of(setting, setting.batch))]
        self.ids = torch.tensor(rows, device=self.device)
        self.mask = torch.ones_like(self.ids)
        self.num_answer = len(ANSWERS[0])
        self.labels = self.ids.clone()
        self.labels[:, : -self.num_answer] = -100
        self.optimiser = torch.optim.AdamW([self.vectors], lr=1e-3)

    def step(self) -> Step:
        self.model.train(not self.best)
        clock = _Clock(self.device)
        loss = self._loss()
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        return clock.step(float(loss.detach()))

    def gradient(self) -> tuple[float, Tensor]:
        self.model.train(not self.best)
        loss = self._loss()
        (gradient,) = torch.autograd.grad(loss, [self.vectors])
        return float(loss.detach()), gradient.float()

    def _loss(self) -> Tensor:
        if not self.best:
            return self.model(input_ids=self.ids, attention_mask=self.mask, labels=self.labels).loss
        n = self.num_answer
        output = self.model(input_ids=self.ids, attention_mask=self.mask, logits_to_keep=n + 1, use_cache=False)
        logits = output.logits[:, :-1].float()
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), self.labels[:, -n:].flatten())


class Ours(Contender):
    """A method through Trainer, PromptedModel, likelihood objective, PromptOptimiser and StateStore.

    Args:
        after: Whether the soft tokens stand after the text.
        method: How they are parametrised.
        budget: Of the cached states; None: no store, every row is computed whole.
        cold: Drop the state file from the system's page cache before every step.
    """

    def __init__(
        self,
        setting: Setting,
        backbone: Backbone,
        *,
        name: str,
        after: bool,
        method: str = "plain",
        budget: Budget | None = None,
        cold: bool = False,
        texts: Sequence[tuple[int, ...]] | None = None,
    ) -> None:
        self.name, self.cold, self.device = name, cold, torch.device(setting.device)
        texts = texts_of(setting, setting.batch) if texts is None else texts
        self.rows = [row_of(setting, text, i % len(ANSWERS), after=after) for i, text in enumerate(texts)]
        self.judged = row_of(setting, texts_of(setting, 1, tokens=1)[0], 0, after=after)
        self.model = PromptedModel(backbone)
        layers = Layers(
            len(backbone.spec.kv_shapes), lambda vectors, layer: backbone.prefill(vectors, before=(256,), layer=layer)
        )
        start = replace(start_of(setting, backbone), layers={"soft": layers})
        self.method = start_method(parse_method(method), [start])
        self.problem = Problem([self.rows], [[self.judged]], ["likelihood"], _no_judge)
        settings = TrainingSettings(steps=1, evaluations=1, batch_size=setting.batch, recompute="never", warmup=0.0)
        self.settings = settings.resolved()
        self.store: StateStore | None = None
        if budget is not None:
            self.store = StateStore(backbone, budget)
            self.read_seconds = self.store.fill([*self.rows, self.judged]).seconds

    def step(self) -> Step:
        if self.cold:
            self._drop_pages()
        events: list[Event] = []
        cpu: list[float] = []

        def listen(event: Event) -> None:
            cpu.append(time.process_time())
            events.append(event)

        # The evaluations at start and end are one short row each and stand outside the step's clock.
        Trainer(
            self.model,
            self.method,
            self.problem,
            settings=self.settings,
            rates=[0.01],
            store=self.store,
            on_event=listen,
            clock=_synchronised(self.device),
        ).run()
        at = next(i for i, event in enumerate(events) if event.kind == "step")
        return Step(events[at].seconds, cpu[at] - cpu[at - 1], events[at].losses[0])

    def gradient(self) -> tuple[float, Tensor]:
        batch = Batch(tuple(self.rows))
        tensors = self.method()
        vectors = tensors[0].slots["soft"].embed
        assert vectors is not None
        state = self.store.get(batch) if self.store is not None else None
        scores = self.model.scores(batch, state, prompts=tensors)
        total, weight = self.problem.losses(scores, batch.rows, smoothing=0.0)[0]
        loss = total / weight
        (gradient,) = torch.autograd.grad(loss, [vectors])
        return float(loss.detach()), gradient.float()

    def close(self) -> None:
        if self.store is not None:
            self.store.close()

    def _drop_pages(self) -> None:
        """The worst case: the next step finds nothing of the file in memory."""
        assert self.store is not None
        assert self.store.budget.folder is not None
        for path in self.store.budget.folder.glob("*.states"):
            drop(path)


class _Clock:
    def __init__(self, device: torch.device) -> None:
        self._now = _synchronised(device)
        self._wall, self._cpu = self._now(), time.process_time()

    def step(self, loss: float) -> Step:
        return Step(self._now() - self._wall, time.process_time() - self._cpu, loss)


def _synchronised(device: torch.device) -> Callable[[], float]:
    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return now


def _no_judge(prompt: int, scores: Scores, indices: Sequence[int]) -> float:
    return 0.0


#: Name -> what it is in one line.
CONTENDERS = {
    "peft": "PEFT prompt tuning as its examples run it",
    "peft_best": "PEFT with logits_to_keep, evaluation mode, no key/value cache",
    "before": "ours, vectors before the text",
    "after": "ours, vectors after the text, states in RAM",
    "after_no_cache": "ours, vectors after the text, states read again in every step",
}


def contender(name: str, setting: Setting, backbone: Backbone, *, folder: Path | None = None) -> Contender:
    """A contender by name; ``after_file_warm`` and ``after_file_cold`` keep the states in a file in ``folder``."""
    large = 1 << 62
    match name:
        case "peft" | "peft_best":
            return Peft(setting, backbone, best=name == "peft_best")
        case "before":
            return Ours(setting, backbone, name=name, after=False)
        case "after":
            return Ours(setting, backbone, name=name, after=True, budget=Budget(device=large, memory=large))
        case "after_no_cache":
            return Ours(setting, backbone, name=name, after=True, budget=Budget(memory=0))
        case "after_file_warm" | "after_file_cold":
            budget = Budget(memory=0, file=1 << 40, keep=True, folder=folder)
            return Ours(setting, backbone, name=name, after=True, budget=budget, cold=name.endswith("cold"))
    raise ValueError(f"{name!r} is no contender; known: {', '.join(CONTENDERS)}")
