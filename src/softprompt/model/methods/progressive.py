"""Progressive prompts: a task after another, each with new soft tokens in front of those of the tasks before.

    vectors = [new ; earlier]          earlier stays as it is, new is learnt

Razdaibiedina et al. 2023 (https://arxiv.org/abs/2301.12314) learn long sequences of tasks in this way: what was learnt
is not forgotten, because nothing of it is touched, and a later task can use it, because its tokens stand before.

The earlier prompt is ``start_from``; its vectors are the last ones of the slot, and what the slot is longer is new. The
start is ``start.kind: in_front``, this method's default.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from softprompt.core.errors import ConfigError
from softprompt.core.tensors import SlotTensors
from softprompt.model.methods.base import Method, MethodSettings, Parametrisation, SoftVectors
from softprompt.model.methods.starts import Start, StartKind

__all__ = ["Progressive", "ProgressiveSettings"]


class ProgressiveSettings(MethodSettings):
    """Progressive prompts: new vectors in front of an earlier prompt's, which stay as they are."""

    start_kind: ClassVar[StartKind | None] = "in_front"

    name: Literal["progressive"] = "progressive"


class NewInFront(SoftVectors):
    """One prompt: the last vectors of a slot are an earlier prompt's and have no gradient."""

    learnt: Tensor
    vectors: Tensor

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        kept = [start.kept.get(name, 0) for name in self.names]
        if sum(kept) == 0:
            message = "progressive prompts stand in front of an earlier prompt, and there is none"
            raise ConfigError("config.invalid", message, cure="name it: start_from, with start.kind: in_front")
        new = [[i < length - k for i in range(length)] for length, k in zip(self.lengths, kept, strict=True)]
        vectors = self.begun(start)
        places = torch.tensor([one for slot in new for one in slot], device=vectors.device)
        self.register_buffer("learnt", places.nonzero()[:, 0])
        self.register_buffer("vectors", vectors)
        self.new = nn.Parameter(vectors[self.learnt].clone())

    def forward(self) -> dict[str, SlotTensors]:
        return self.split(self.vectors.index_copy(0, self.learnt, self.new))


class Progressive(Method[ProgressiveSettings]):
    """New vectors in front of old ones.

    >>> start = Start({"soft": torch.arange(6.0).reshape(3, 2)}, scale=1.0, kept={"soft": 2})
    >>> progressive = Progressive.start(ProgressiveSettings(), [start])
    >>> [parameter.tolist() for parameter in progressive.parameters_of(0)]
    [[[0.0, 1.0]]]
    """

    @classmethod
    def parametrise(cls, config: ProgressiveSettings, start: Start) -> Parametrisation:
        return NewInFront(start)
