"""P-tuning: soft tokens are what a small network makes of trained inputs, so that they depend on each other.

    vectors = scale * (start + encoder(x))          x [P, E] trained, encoder an MLP or a bidirectional LSTM and an MLP

Liu et al. 2021 (P-tuning, https://arxiv.org/abs/2103.10385) hold that independent vectors find poor optima and tie
neighbours together by an LSTM; later releases use the MLP alone. As with residual prompts the network is thrown away
after training.

Here x begins as the start vectors and the network's last layer at zero, so step 0 is the start and not noise; the last
layer has a gradient at once, the rest one step later. Weights are kept in units in which one learning rate serves them
(see :mod:`~softprompt.model.methods.residual`): a layer computes ``W x / fan_in`` with ``W ~ N(0, fan_in)``.
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

__all__ = ["PTuning", "PTuningSettings"]


class PTuningSettings(MethodSettings):
    """P-tuning: vectors from a small network of trained inputs."""

    name: Literal["p_tuning"] = "p_tuning"
    encoder: Literal["mlp", "lstm"] = Field("mlp", description="mlp: each token by itself; lstm: with its neighbours")
    hidden: int = Field(128, ge=1, description="width of the network")


class Layer(nn.Module):
    """W x / fan_in + b, with weights in units of one learning rate; zero at the start if asked for."""

    def __init__(self, inputs: int, outputs: int, rng: torch.Generator, *, zero: bool = False) -> None:
        super().__init__()
        drawn = torch.randn(outputs, inputs, generator=rng) * math.sqrt(inputs)
        self.weight = nn.Parameter(torch.zeros_like(drawn) if zero else drawn)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, inputs: Float[Tensor, "... I"]) -> Float[Tensor, "... O"]:
        return F.linear(inputs, self.weight / self.weight.shape[1], self.bias)


class Recurrent(nn.Module):
    """An LSTM over the soft tokens in one direction (Hochreiter and Schmidhuber 1997): [P, E] -> [P, H]."""

    def __init__(self, inputs: int, hidden: int, rng: torch.Generator, *, backwards: bool) -> None:
        super().__init__()
        self.hidden, self.backwards = hidden, backwards
        self.read = Layer(inputs, 4 * hidden, rng)
        self.keep = Layer(hidden, 4 * hidden, rng)

    def forward(self, inputs: Float[Tensor, "P E"]) -> Float[Tensor, "P H"]:
        read = self.read(inputs)
        state = memory = inputs.new_zeros(self.hidden)
        states: list[Tensor] = []
        for line in read.flip(0) if self.backwards else read:
            write, forget, show, content = (line + self.keep(state)).chunk(4)
            memory = forget.sigmoid() * memory + write.sigmoid() * content.tanh()
            state = show.sigmoid() * memory.tanh()
            states.append(state)
        found = torch.stack(states)
        return found.flip(0) if self.backwards else found


class Encoder(nn.Module):
    """[P, E] -> [P, E], zero at the start."""

    def __init__(self, width: int, config: PTuningSettings, rng: torch.Generator) -> None:
        super().__init__()
        hidden = config.hidden
        self.directions = nn.ModuleList(
            Recurrent(width, hidden, rng, backwards=backwards)
            for backwards in (False, True)
            if config.encoder == "lstm"
        )
        inputs = hidden * len(self.directions) or width
        self.layers = nn.ModuleList(
            (Layer(inputs, hidden, rng), Layer(hidden, hidden, rng), Layer(hidden, width, rng, zero=True))
        )

    def forward(self, inputs: Float[Tensor, "P E"]) -> Float[Tensor, "P E"]:
        if self.directions:
            inputs = torch.cat([read(inputs) for read in self.directions], dim=1)
        first, second, last = self.layers
        out: Tensor = last(F.relu(second(F.relu(first(inputs)))))
        return out


class EncodedVectors(SoftVectors):
    """One prompt: vectors = scale * (start + encoder(inputs)); its slots follow each other."""

    vectors: Tensor

    def __init__(self, start: Start, config: PTuningSettings) -> None:
        super().__init__(start)
        vectors = self.begun(start)
        self.register_buffer("vectors", vectors)
        self.inputs = nn.Parameter(vectors.clone())
        encoder = Encoder(vectors.shape[1], config, generator(start.seed, "p-tuning encoder"))
        self.encoder = encoder.to(vectors.device)

    def forward(self) -> dict[str, SlotTensors]:
        return self.split(self.vectors + self.encoder(self.inputs))


class PTuning(Method[PTuningSettings]):
    """What a network makes of trained inputs.

    >>> start = Start({"soft": torch.tensor([[0.02, -0.01]])}, scale=0.01, seed=3)
    >>> tuned = PTuning.start(PTuningSettings(encoder="lstm", hidden=4), [start])
    >>> tuned.materialise()[0].slots["soft"].embed
    tensor([[ 0.0200, -0.0100]])
    """

    @classmethod
    def parametrise(cls, config: PTuningSettings, start: Start) -> Parametrisation:
        return EncodedVectors(start, config)
