"""Superposition: a soft token is a mixture of words of the model, and what is learnt are the weights of the mixture.

    vectors = start + W D / sqrt(m)          W [P, m], D [m, E] rows of the embedding table

SuperPos-Prompt (Sadraei Javaheri et al. 2024, https://arxiv.org/abs/2406.05279) reports faster learning and better
scores than residual prompts on T5, with m = 128 sampled words, where more no longer helps.

Here the start vectors stand outside of the mixture, so that any start is kept exactly and the weights begin at zero;
and D stays as it is: the prompt remains within the space of the model's words, and only P m numbers are trained. The
division by sqrt(m) makes a step of one size move a vector as far, whatever m.
"""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from softprompt.core.errors import ConfigError
from softprompt.core.tensors import SlotTensors
from softprompt.model.methods.base import Method, MethodSettings, Parametrisation, SoftVectors
from softprompt.model.methods.starts import Start, from_vocabulary, generator

__all__ = ["Superposition", "SuperpositionSettings"]


class SuperpositionSettings(MethodSettings):
    """Superposition: weights over rows of the model's embedding table."""

    name: Literal["superposition"] = "superposition"
    words: int = Field(128, ge=1, description="rows of the table that are mixed, drawn by the prompt's seed")
    num_frequent: int = Field(5000, ge=1, description="drawn from this many of the most frequent tokens")


class Mixtures(SoftVectors):
    """One prompt: vectors = start + weights over words; the words are shared by its slots."""

    vectors: Tensor
    words: Tensor

    def __init__(self, start: Start, config: SuperpositionSettings) -> None:
        super().__init__(start)
        if start.words is None:
            message = "superposition mixes words of the model, and this start knows none"
            raise ConfigError("config.invalid", message, cure="give the start its vocabulary, or use method: plain")
        known = len(start.words.frequent(config.num_frequent))
        draw = from_vocabulary(start.words, num_frequent=config.num_frequent)
        words = draw(min(config.words, known), generator(start.seed, "superposition words"))
        vectors = self.begun(start)
        self.register_buffer("vectors", vectors)
        self.register_buffer("words", words.to(vectors.device) / start.scale)
        self.weights = nn.Parameter(torch.zeros(len(vectors), len(words), device=vectors.device))

    def forward(self) -> dict[str, SlotTensors]:
        return self.split(self.vectors + self.weights @ self.words / math.sqrt(len(self.words)))


class Superposition(Method[SuperpositionSettings]):
    """Mixtures of words.

    >>> from softprompt.model.methods.vocabulary import Vocabulary
    >>> words = Vocabulary(torch.nn.Embedding(50, 4), lambda text: [3], 50)
    >>> start = Start({"soft": torch.ones(2, 4)}, scale=1.0, words=words)
    >>> mixed = Superposition.start(SuperpositionSettings(words=5), [start])
    >>> [tuple(parameter.shape) for parameter in mixed.parameters_of(0)]
    [(2, 5)]
    """

    @classmethod
    def parametrise(cls, config: SuperpositionSettings, start: Start) -> Parametrisation:
        return Mixtures(start, config)
