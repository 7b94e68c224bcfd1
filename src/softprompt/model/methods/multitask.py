"""Multitask prompts: one shared prompt for several tasks, and for each task a few factors that bend it.

    vectors of task k = scale * S * (1 + u_k v_k / sqrt(r))          S [P, E] shared, u_k [P, r], v_k [r, E]

(``*`` by element.) Wang et al. 2023 (MPT, https://arxiv.org/abs/2303.02861) learn S from many tasks, with single-task
prompts as teachers, and then adapt it to each.

Their product u v starts as random numbers, so a task's prompt starts as noise, or next to zero. Here u starts at zero:
the product is a deviation from one, every task starts exactly at the shared prompt, and learns to leave it.

S belongs to a group of prompts, one a task (:attr:`~softprompt.model.methods.starts.Start.group`). It counts to the
first of them, and the group is clipped, stopped and kept as one. A prompt without a group has a S of its own.
"""

import math
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from softprompt.core.errors import ConfigError
from softprompt.core.tensors import SlotTensors
from softprompt.model.methods.base import Method, MethodSettings, Parametrisation, SoftVectors
from softprompt.model.methods.starts import Start, generator

__all__ = ["Multitask", "MultitaskSettings"]


class MultitaskSettings(MethodSettings):
    """Multitask prompts: a shared prompt, and low-rank factors a task."""

    shares: ClassVar[bool] = True

    name: Literal["multitask"] = "multitask"
    rank: int = Field(1, ge=1, description="rank of each task's factors")


class Shared(nn.Module):
    """What the tasks of a group have in common, in units of the scale."""

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.vectors = nn.Parameter(vectors)


class TaskVectors(SoftVectors):
    """One task's prompt: shared vectors, bent. What is shared is no part of this module; its group holds it."""

    def __init__(self, start: Start, rank: int) -> None:
        super().__init__(start)
        first = self.begun(start)
        self._shared = (Shared(first),)  # a tuple is no submodule
        self.u = nn.Parameter(first.new_zeros(len(first), rank))
        drawn = torch.randn(rank, first.shape[1], generator=generator(start.seed, "task factors"))
        self.v = nn.Parameter(drawn.to(first.device))

    @property
    def shared(self) -> Shared:
        """The group's own."""
        return self._shared[0]

    def join(self, other: "TaskVectors") -> None:
        """Share what another task of the group has.

        Raises:
            ConfigError: ``config.invalid`` for slots of another form.
        """
        mine, theirs = (dict(zip(one.names, one.lengths, strict=True)) for one in (self, other))
        if mine != theirs:
            message = f"tasks that share a prompt need the same soft slots, came: {theirs} and {mine}"
            raise ConfigError("config.invalid", message, cure="give their templates the same soft slots")
        self._shared = other._shared

    def forward(self) -> dict[str, SlotTensors]:
        return self.split(self.shared.vectors * (1 + self.u @ self.v / math.sqrt(len(self.v))))


class Multitask(Method[MultitaskSettings]):
    """Tasks that bend what they share.

    >>> starts = [Start({"soft": torch.ones(1, 2)}, scale=1.0, seed=0, group="all") for _ in range(3)]
    >>> method = Multitask.start(MultitaskSettings(), starts)
    >>> method.groups, sum(parameter.numel() for parameter in method.parameters())
    (((0, 1, 2),), 11)
    """

    def __init__(self, config: MultitaskSettings, starts: Sequence[Start]) -> None:
        super().__init__(config, starts)
        members: dict[str, list[int]] = {}
        for k, start in enumerate(starts):
            members.setdefault(start.group or f"alone {k}", []).append(k)
        self._groups = tuple(tuple(group) for group in members.values())
        self.shared = nn.ModuleDict()
        for first, *others in self._groups:
            one = self.prompts[first]
            if not isinstance(one, TaskVectors):  # label vectors only
                continue
            for k in others:
                other = self.prompts[k]
                assert isinstance(other, TaskVectors), "tasks of a group have slots, or none has"
                other.join(one)
            self.shared[str(first)] = one.shared

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        return self._groups

    def named_parameters_of(self, k: int) -> Iterator[tuple[str, nn.Parameter]]:
        yield from super().named_parameters_of(k)
        if str(k) in self.shared:
            for name, parameter in self.shared[str(k)].named_parameters():
                yield f"shared.{name}", parameter

    @classmethod
    def parametrise(cls, config: MultitaskSettings, start: Start) -> Parametrisation:
        return TaskVectors(start, config.rank)
