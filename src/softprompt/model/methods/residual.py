"""Residual prompt tuning: vectors plus a small network of them, shared by all soft tokens of a prompt.

    vectors = scale * (p + norm(up(relu(down(p)))))

Razdaibiedina et al. 2023 (https://arxiv.org/abs/2305.03937) report faster and steadier training, less dependent on rate
and start. The network is thrown away after training: what is kept are plain vectors.

Two things differ from the paper's code. The normalisation's gain starts at zero, so step 0 is the start itself and not
the start plus noise of equal size; the gain has a gradient at once, the rest of the network one step later. And weights
are kept in units in which one learning rate serves them and the vectors: a layer computes ``W x / fan_in`` with
``W ~ N(0, fan_in)`` (the same function at the start as ``N(0, 1 / fan_in)``), so one Adam step of size r moves an
output by at most r times the mean size of the inputs, instead of fan_in times that.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from softprompt.core.tensors import SlotTensors
from softprompt.model.methods.base import Method, MethodSettings, Parametrisation, SoftVectors
from softprompt.model.methods.starts import Start, generator

__all__ = ["Residual", "ResidualSettings"]


class ResidualSettings(MethodSettings):
    """Settings of residual prompt tuning."""

    name: Literal["residual"] = "residual"
    bottleneck: int = Field(128, ge=1, description="width of the network's hidden layer")
    layer_norm: bool = Field(True, description="normalise the network's output, as the paper does")


class Bottleneck(nn.Module):
    """down, relu, up, norm: [P, E] -> [P, E], zero at the start; 2 R E + R + E numbers, and 2 E for the norm."""

    def __init__(self, width: int, bottleneck: int, *, layer_norm: bool, rng: torch.Generator) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(bottleneck, width, generator=rng) * math.sqrt(width))
        self.down_bias = nn.Parameter(torch.zeros(bottleneck))
        up = torch.randn(width, bottleneck, generator=rng) * math.sqrt(bottleneck)
        self.up = nn.Parameter(up if layer_norm else torch.zeros_like(up))
        self.up_bias = nn.Parameter(torch.zeros(width))
        self.gain = nn.Parameter(torch.zeros(width)) if layer_norm else None
        self.shift = nn.Parameter(torch.zeros(width)) if layer_norm else None

    def forward(self, inputs: Float[Tensor, "P E"]) -> Float[Tensor, "P E"]:
        bottleneck, width = self.down.shape
        hidden = F.relu(F.linear(inputs, self.down / width, self.down_bias))
        outputs = F.linear(hidden, self.up / bottleneck, self.up_bias)
        return outputs if self.gain is None else F.layer_norm(outputs, (width,), self.gain, self.shift)


class ResidualVectors(SoftVectors):
    """One prompt: vectors = scale * (p + network(p))."""

    def __init__(self, start: Start, config: ResidualSettings) -> None:
        super().__init__(start)
        self.vectors = nn.Parameter(self.begun(start))
        rng = generator(start.seed, "residual network")
        network = Bottleneck(self.vectors.shape[1], config.bottleneck, layer_norm=config.layer_norm, rng=rng)
        self.network = network.to(self.vectors.device)

    def forward(self) -> dict[str, SlotTensors]:
        return self.split(self.vectors + self.network(self.vectors))


class Residual(Method[ResidualSettings]):
    """Vectors plus a network of them.

    >>> start = Start({"soft": torch.tensor([[0.02, -0.01]])}, scale=0.01, seed=3)
    >>> residual = Residual.start(ResidualSettings(bottleneck=4), [start])
    >>> residual.materialise()[0].slots["soft"].embed
    tensor([[ 0.0200, -0.0100]])
    >>> sum(parameter.numel() for parameter in residual.parameters_of(0)) - 2
    26
    """

    @classmethod
    def parametrise(cls, config: ResidualSettings, start: Start) -> Parametrisation:
        return ResidualVectors(start, config)
