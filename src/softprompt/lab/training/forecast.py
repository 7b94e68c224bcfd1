"""What fits: live tokens a backward pass, and bytes of frozen states, from one trial step and what is free."""

import shutil
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from softprompt.core.records import Batch, Row, merge
from softprompt.lab.training.gradients import live_tokens
from softprompt.lab.training.memory import available_bytes, kept_bytes
from softprompt.lab.training.settings import TrainingSettings
from softprompt.model.backbones.base import Backbone
from softprompt.model.methods.base import Method
from softprompt.model.prompted import PromptedModel, num_tokens
from softprompt.model.states import Budget, StateStore, default_folder

__all__ = ["Fit", "budget_for", "fit"]

#: Of the free memory, what one backward pass may keep; the rest is for its gradients, the kernels and everybody else.
SHARE = 0.4


class Fit(NamedTuple):
    """Live tokens in one backward pass, and whether layers are recomputed."""

    micro_tokens: int
    recompute: str


def fit(
    model: PromptedModel,
    method: Method[Any],
    rows: Sequence[Sequence[Row | None]],
    *,
    store: StateStore | None,
    recompute: str,
    free: int | None = None,
) -> Fit:
    """How many live tokens one backward pass may have.

    One trial forward over the two longest rows (they also have the most frozen tokens to attend to) tells what a
    live token keeps. Where not even one row fits and nothing is cached, layers are recomputed.

    Args:
        model: The frozen model.
        method: The K prompts that will be trained.
        rows: What each prompt learns from, by example.
        store: Frozen states.
        recompute: ``auto``, ``always`` or ``never``.
        free: Bytes; measured if None.
    """
    backbone = model.backbone
    whole = [merge(asked) for example in zip(*rows, strict=True) if (asked := [row for row in example if row])]
    longest = sorted(whole, key=num_tokens, reverse=True)[:2]
    batch = Batch(tuple(longest))
    largest = max(live_tokens(backbone, row, cached=store is not None) for row in longest)
    live = len(longest) * largest
    frozen = {parameter.untyped_storage().data_ptr() for parameter in _parameters(backbone)}
    room = SHARE * (available_bytes(backbone.spec.device) if free is None else free)

    def tokens(*, again: bool) -> int:
        def trial() -> torch.Tensor:
            state = store.get(batch) if store is not None else None
            scores = model.scores(batch, state, prompts=method(), checkpoint=again and state is None)
            return torch.stack([one.values[one.lengths > 0].sum() for one in scores.values()]).sum()

        return int(room * live / max(kept_bytes(trial, frozen=frozen), 1))

    found = tokens(again=recompute == "always")
    if recompute == "auto":
        recompute = "never"
        if found < largest and store is None:
            recompute, found = "always", tokens(again=True)
    return Fit(max(found, largest), recompute)


def budget_for(backbone: Backbone, settings: TrainingSettings) -> Budget:
    """Bytes of frozen states by tier: a third of what is free, where nothing else is said.

    States from a file cost less than reading again: at 256 tokens in a model of 12 x 768 a step of 0.34 seconds
    instead of 1.3 (benchmarks/results/step_time.md).
    """
    memory = settings.cache_memory if settings.cache_memory is not None else available_bytes() // 3
    device = settings.cache_device
    if device is None:
        device = available_bytes(backbone.spec.device) // 3 if backbone.spec.device.type == "cuda" else 0
    file = settings.cache_file
    if file is None:
        folder = next(folder for folder in (default_folder(), *default_folder().parents) if folder.exists())
        file = shutil.disk_usage(folder).free // 3
    return Budget(device=device, memory=memory, file=file, keep=settings.keep_cache)


def _parameters(backbone: Backbone) -> list[torch.nn.Parameter]:
    model = getattr(backbone, "model", None)
    return list(model.parameters()) if isinstance(model, torch.nn.Module) else []
