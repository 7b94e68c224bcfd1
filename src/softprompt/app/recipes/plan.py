"""What a run would do and cost, without doing it: ``--dry-run``."""

import time
from dataclasses import dataclass
from typing import Any

import torch

from softprompt.app.config import RunConfig
from softprompt.app.recipes.dividing import Sources
from softprompt.app.recipes.early import require_fit
from softprompt.app.recipes.prepare import Prepared, prepare
from softprompt.app.watch import Watcher
from softprompt.core.cards import draw
from softprompt.core.cards.views import plan_card
from softprompt.core.records import Batch
from softprompt.data.page import DataPage
from softprompt.lab.training.forecast import budget_for
from softprompt.lab.training.memory import available_bytes
from softprompt.lab.training.settings import TrainingSettings
from softprompt.lab.tuning import WORTH_CACHING
from softprompt.model.backbones.base import Backbone, Plan

__all__ = ["RunPlan", "plan", "plan_of"]


@dataclass(frozen=True)
class RunPlan:
    """A forecast.

    Attributes:
        page: The rows.
        template: The template, written out.
        placement: Where the soft tokens stand.
        answers: ``words`` or ``vectors``.
        steps: Optimiser steps of the probe and of the training.
        prompts: Prompts side by side in the probe and in the training.
        cost: Of one batch of the longest rows, for one prompt.
        caches: Whether texts are read once.
        state_bytes: Cached states of all texts.
        available_bytes: Free memory.
        seconds: Forecast by stage, from a timed product of the model's own size; the order of magnitude.
        disk_bytes: What the run folder, and a file of states beside it, will hold at most.
    """

    page: DataPage
    template: str
    placement: str
    answers: str
    steps: dict[str, int]
    prompts: dict[str, int]
    cost: Plan
    caches: bool
    state_bytes: int
    available_bytes: int
    seconds: dict[str, float]
    disk_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "data": self.page.to_dict(),
            "template": self.template,
            "placement": self.placement,
            "answers": self.answers,
            "steps": self.steps,
            "prompts": self.prompts,
            "live_tokens": self.cost.live_tokens,
            "frozen_tokens": self.cost.frozen_tokens,
            "caches": self.caches,
            "state_bytes": self.state_bytes,
            "available_bytes": self.available_bytes,
            "seconds": self.seconds,
            "disk_bytes": self.disk_bytes,
        }

    def _repr_html_(self) -> str:
        """The card that a notebook shows."""
        return draw(plan_card(self.to_dict()))


def plan(
    config: RunConfig,
    watcher: Watcher | None = None,
    *,
    sources: Sources | None = None,
    backbone: Backbone | None = None,
) -> RunPlan:
    """Forecast a run; reads the rows and the model, trains nothing and writes nothing.

    Raises:
        SoftpromptError: Whatever would stop the run before its first step.
    """
    watcher = watcher or Watcher()
    forecast = plan_of(prepare(config, watcher, sources=sources, backbone=backbone))
    watcher.done()
    return forecast


def plan_of(ready: Prepared) -> RunPlan:
    """Forecast a run that is ready to go.

    Raises:
        SoftpromptError: As :func:`softprompt.app.recipes.early.require_fit`.
    """
    require_fit(ready)
    settings = ready.training
    parts = [ready.splits[part] for part in ("train", "validation") if part in ready.splits]
    windows = [[one for example in part for one in ready.builder.windows(example)] for part in parts]
    rows = [ready.builder.row(example) for part in windows for example in part]
    whole = ready.backbone.plan(Batch(tuple(rows)))
    train = len(windows[0])
    batch = ready.backbone.plan(Batch(tuple(rows[: min(settings.batch_size, train)])))
    caches = whole.frozen_share >= WORTH_CACHING
    probe = 0 if settings.rate is not None else settings.probe_steps or 0
    seeds = len(settings.seeds or ())
    if ready.crossed:  # a prompt a fold and seed (one, if none are named), and the one of all rows
        seeds = len(ready.folds) * len(ready.config.training.seeds or (0,)) + 1
    prompts = {"probe": len(settings.rates or ()) if probe else 0, "train": seeds}
    steps = {"probe": probe, "train": settings.steps or 0}
    return RunPlan(
        page=ready.page,
        template=str(ready.template),
        placement=ready.template.placement,
        answers=ready.builder.answers,
        steps=steps,
        prompts=prompts,
        cost=batch,
        caches=caches,
        state_bytes=whole.state_bytes if caches else 0,
        available_bytes=available_bytes(ready.backbone.spec.device),
        seconds=_seconds(ready, settings, whole, batch, steps, prompts),
        disk_bytes=_disk(ready, prompts) + (_state_file(ready, settings, whole.state_bytes) if caches else 0),
    )


def _seconds(
    ready: Prepared,
    settings: TrainingSettings,
    whole: Plan,
    batch: Plan,
    steps: dict[str, int],
    prompts: dict[str, int],
) -> dict[str, float]:
    """Forward and backward through frozen weights cost twice a forward; evaluations are forwards over validation
    rows."""
    speed = _flops_per_second(ready.backbone)
    caches = whole.frozen_share >= WORTH_CACHING
    a_step = 2 * (batch.live_flops + (0 if caches else batch.frozen_flops)) / speed
    validation, train = len(ready.splits.get("validation", ())), len(ready.splits["train"])
    share = 1 / len(ready.folds) if ready.crossed else validation / max(1, validation + train)
    a_look = share * (whole.live_flops + (0 if caches else whole.frozen_flops)) / speed
    looks = {"probe": 3, "train": settings.evaluations or 0}
    stages = {name: prompts[name] * (steps[name] * a_step + looks[name] * a_look) for name in steps}
    return {"read": whole.frozen_flops / speed if caches else 0.0, **stages}


def _flops_per_second(backbone: Backbone) -> float:
    """A product of the model's width, timed; half of it is what a whole layer reaches."""
    spec = backbone.spec
    width = max(64, spec.head_dim)
    a = torch.ones(512, width, dtype=spec.dtype, device=spec.device)
    b = torch.ones(width, 4 * width, dtype=spec.dtype, device=spec.device)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        float((a @ b)[0, 0])
        times.append(time.perf_counter() - start)
    return 0.5 * 2 * 512 * width * 4 * width / min(times)  # the fastest: what else runs now is no forecast


def _disk(ready: Prepared, prompts: dict[str, int]) -> int:
    """Checkpoint (parameters, best, two moments) and prompt; the log is small."""
    spec = ready.backbone.spec
    soft = sum(slot.length for slot in ready.template.slots.values()) * spec.embed_dim
    head = len(ready.task.names) * (spec.head_dim + 1) if ready.builder.answers == "vectors" else 0
    return 4 * (soft + head) * (4 * prompts["train"] + 1) + 1_000_000


def _state_file(ready: Prepared, settings: TrainingSettings, state_bytes: int) -> int:
    """What of the states does not fit into memory and goes to the disk until the run ends."""
    budget = budget_for(ready.backbone, settings)
    in_memory = 0 if budget.keep else budget.device + budget.memory
    return min(budget.file, max(0, state_bytes - in_memory))
