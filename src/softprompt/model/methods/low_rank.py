"""Low-rank prompt tuning: the vectors of a prompt are combinations of a few directions, and both are learnt.

    vectors = scale * A B / sqrt(r)          A [P, r], B [r, E]

Xiao et al. 2023 (decomposed prompt tuning, https://arxiv.org/abs/2310.10094) and Guo et al. 2024 (LoPT,
https://arxiv.org/abs/2406.19486) report scores of plain prompts with a fraction of the numbers, because trained prompts
have a low rank of themselves.

They start from random factors. Here the start is the best rank-r approximation of the start vectors (Eckart and Young
1936), stretched to their own size: what a small rank leaves out of a set of words would otherwise make the prompt
quieter than the model's table. The factors are balanced so that the numbers of both are about one, and one learning
rate serves them as it serves plain vectors.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from softprompt.core.tensors import SlotTensors
from softprompt.model.methods.base import Method, MethodSettings, Parametrisation, SoftVectors
from softprompt.model.methods.starts import Start

__all__ = ["LowRank", "LowRankSettings", "factors"]


class LowRankSettings(MethodSettings):
    """Low-rank prompt tuning: vectors within a few directions that are learnt with them."""

    name: Literal["low_rank"] = "low_rank"
    rank: int = Field(8, ge=1, description="number of directions; no more than soft tokens or numbers a vector count")


def factors(vectors: Float[Tensor, "P E"], rank: int) -> tuple[Float[Tensor, "P r"], Float[Tensor, "r E"]]:
    """A and B with ``A B / sqrt(r)`` the best rank-r approximation of ``vectors``, stretched to their norm.

    Rows of B have a root mean square of one.

    >>> a, b = factors(torch.tensor([[3.0, 0.0], [0.0, 4.0]]), 2)
    >>> (a @ b / 2**0.5).round(decimals=4).tolist()
    [[3.0, 0.0], [0.0, 4.0]]
    >>> a, b = factors(torch.tensor([[3.0, 0.0], [0.0, 4.0]]), 1)
    >>> (a @ b).round(decimals=4).abs().tolist()
    [[0.0, 0.0], [0.0, 5.0]]
    """
    left, sizes, right = torch.linalg.svd(vectors.double(), full_matrices=False)
    rank = min(rank, len(sizes))
    kept = sizes[:rank]
    stretch = sizes.norm() / kept.norm() if kept.norm() > 0 else 1.0
    unit = math.sqrt(vectors.shape[1])  # norm of a vector whose numbers are about one
    a = left[:, :rank] * kept * stretch * math.sqrt(rank) / unit
    return a.float(), (right[:rank] * unit).float()


class LowRankVectors(SoftVectors):
    """One prompt: vectors = scale * A B / sqrt(r); the directions are shared by its slots."""

    def __init__(self, start: Start, rank: int) -> None:
        super().__init__(start)
        a, b = factors(self.begun(start), rank)
        self.a, self.b = nn.Parameter(a), nn.Parameter(b)

    def forward(self) -> dict[str, SlotTensors]:
        return self.split(self.a @ self.b / math.sqrt(len(self.b)))


class LowRank(Method[LowRankSettings]):
    """Vectors within a few directions.

    >>> start = Start({"soft": torch.randn(6, 4, generator=torch.Generator().manual_seed(0)) * 0.02}, scale=0.02)
    >>> low_rank = LowRank.start(LowRankSettings(rank=2), [start])
    >>> vectors = low_rank.materialise()[0].slots["soft"].embed
    >>> int(torch.linalg.matrix_rank(vectors)), sum(p.numel() for p in low_rank.parameters_of(0))
    (2, 20)
    """

    @classmethod
    def parametrise(cls, config: LowRankSettings, start: Start) -> Parametrisation:
        return LowRankVectors(start, config.rank)
