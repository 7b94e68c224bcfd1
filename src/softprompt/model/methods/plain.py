"""Plain prompt tuning: the parameters are the vectors (Lester et al. 2021, https://arxiv.org/abs/2104.08691)."""

from typing import Literal

import torch
from pydantic import Field

from softprompt.core.tensors import SlotTensors
from softprompt.model.methods.base import Method, MethodSettings, Parametrisation, SoftVectors
from softprompt.model.methods.starts import Start

__all__ = ["Plain", "PlainSettings"]


class PlainSettings(MethodSettings):
    """Settings of plain prompt tuning."""

    name: Literal["plain"] = "plain"
    max_rms: float | None = Field(
        None, gt=0, description="upper bound of each vector's RMS, in units of the model's own table; none by default"
    )


class PlainVectors(SoftVectors):
    """One prompt: vectors = scale * parameter, each vector's RMS held below ``max_rms`` after every step."""

    def __init__(self, start: Start, *, max_rms: float | None) -> None:
        super().__init__(start)
        self.max_rms = max_rms

    def forward(self) -> dict[str, SlotTensors]:
        return self.split(self.vectors)

    @torch.no_grad()
    def after_step(self) -> None:
        if self.max_rms is not None:
            rms = self.vectors.square().mean(dim=1, keepdim=True).sqrt()
            self.vectors.mul_((self.max_rms / rms).clamp(max=1.0))


class Plain(Method[PlainSettings]):
    """The vectors themselves.

    >>> start = Start({"soft": torch.tensor([[0.02, -0.01]])}, scale=0.01)
    >>> plain = Plain.start(PlainSettings(), [start])
    >>> [parameter.tolist() for parameter in plain.parameters_of(0)]
    [[[2.0, -1.0]]]
    >>> plain.materialise()[0].slots["soft"].embed
    tensor([[ 0.0200, -0.0100]])
    """

    @classmethod
    def parametrise(cls, config: PlainSettings, start: Start) -> Parametrisation:
        return PlainVectors(start, max_rms=config.max_rms)
