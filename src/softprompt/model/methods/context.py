"""Context tuning: soft tokens that start as worked examples and are then moved, as far as a bound allows.

    vectors = scale * (start + delta),   RMS(delta of each vector) <= epsilon

Starting from demonstrations instead of words: Lu et al. 2025 (context tuning, https://arxiv.org/abs/2507.04221). The
bound is that of context-aware prompt tuning (Blau et al. 2024, https://arxiv.org/abs/2410.17222), which projects every
vector's offset back after each step, so that the examples stay readable as what they are and few rows cannot be learnt
by heart.

The start itself is ``start.kind: demonstrations``, which is this method's default and can be used with any method.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from softprompt.core.tensors import SlotTensors
from softprompt.model.methods.base import Method, MethodSettings, Parametrisation, SoftVectors
from softprompt.model.methods.starts import Start, StartKind

__all__ = ["Context", "ContextSettings"]


class ContextSettings(MethodSettings):
    """Context tuning: offsets from worked examples, within a bound."""

    start_kind: ClassVar[StartKind | None] = "demonstrations"

    name: Literal["context"] = "context"
    epsilon: float | None = Field(
        0.5, gt=0, description="how far a vector may move (RMS, in units of the model's own table); None: anywhere"
    )


class Offsets(SoftVectors):
    """One prompt: vectors = scale * (start + delta), each delta held below ``epsilon`` after every step."""

    vectors: Tensor

    def __init__(self, start: Start, *, epsilon: float | None) -> None:
        super().__init__(start)
        self.epsilon = epsilon
        self.register_buffer("vectors", self.begun(start))
        self.delta = nn.Parameter(torch.zeros_like(self.vectors))

    def forward(self) -> dict[str, SlotTensors]:
        return self.split(self.vectors + self.delta)

    @torch.no_grad()
    def after_step(self) -> None:
        if self.epsilon is not None:
            rms = self.delta.square().mean(dim=1, keepdim=True).sqrt()
            self.delta.mul_((self.epsilon / rms).clamp(max=1.0))


class Context(Method[ContextSettings]):
    """Worked examples that move.

    >>> context = Context.start(ContextSettings(epsilon=0.5), [Start({"soft": torch.ones(1, 2)}, scale=1.0)])
    >>> with torch.no_grad():
    ...     next(context.parameters_of(0)).add_(3.0)
    Parameter containing:
    tensor([[3., 3.]], requires_grad=True)
    >>> context.after_step()
    >>> context.materialise()[0].slots["soft"].embed
    tensor([[1.5000, 1.5000]])
    """

    @classmethod
    def parametrise(cls, config: ContextSettings, start: Start) -> Parametrisation:
        return Offsets(start, epsilon=config.epsilon)
