"""Plain prompt tuning: the parameters are the vectors (Lester et al. 2021, https://arxiv.org/abs/2104.08691)."""

from typing import Literal

from torch import nn

from softprompt.core.tensors import SlotTensors
from softprompt.model.methods.base import Method, MethodSettings, Parametrisation, SoftVectors
from softprompt.model.methods.starts import Start

__all__ = ["Plain", "PlainSettings"]


class PlainSettings(MethodSettings):
    """Plain prompt tuning: the vectors themselves."""

    name: Literal["plain"] = "plain"


class PlainVectors(SoftVectors):
    """One prompt: vectors = scale * parameter."""

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        self.vectors = nn.Parameter(self.begun(start))

    def forward(self) -> dict[str, SlotTensors]:
        return self.split(self.vectors)


class Plain(Method[PlainSettings]):
    """The vectors themselves.

    >>> import torch
    >>> start = Start({"soft": torch.tensor([[0.02, -0.01]])}, scale=0.01)
    >>> plain = Plain.start(PlainSettings(), [start])
    >>> [parameter.tolist() for parameter in plain.parameters_of(0)]
    [[[2.0, -1.0]]]
    >>> plain.materialise()[0].slots["soft"].embed
    tensor([[ 0.0200, -0.0100]])
    """

    @classmethod
    def parametrise(cls, config: PlainSettings, start: Start) -> Parametrisation:
        return PlainVectors(start)
