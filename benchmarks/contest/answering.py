"""Asking prompts about rows: the same rule for every contender that answers with the frozen model.

The answer is the candidate with the highest score: for words the log-probability of the whole answer with its
terminator, for label vectors their score. Texts are read once for all prompts that stand after them, and logits are
made only where an answer stands. PEFT's vectors are asked by the same code, after a check that PEFT itself gives the
same log-probabilities, so that judging costs no side more than the other.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from softprompt.core.records import Example, Row, merge
from softprompt.core.tensors import PromptTensors
from softprompt.model.backbones.base import Backbone
from softprompt.model.prompted import PromptedModel
from softprompt.model.states import StateStore
from softprompt.model.templates import RowBuilder

__all__ = ["marks", "rows_of", "scores_of", "targets_of"]


def rows_of(builder: RowBuilder, examples: Sequence[Example], *, num_prompts: int = 1) -> list[Row]:
    """One row an example that asks all prompts."""
    return [merge([builder.row(one, prompt_index=k) for k in range(num_prompts)]) for one in examples]


def scores_of(
    backbone: Backbone, rows: Sequence[Row], prompts: Sequence[PromptTensors], *, store: StateStore | None = None
) -> list[Tensor]:
    """By prompt, the scores of the candidates, [n, C], on the CPU; texts come from ``store`` where there is one."""
    found = PromptedModel(backbone, prompts).score_all(rows, store=store)
    return [found[k].values.float().cpu() for k in range(len(prompts))]


def targets_of(rows: Sequence[Row], prompt: int = 0) -> Tensor:
    """Index of the right candidate, [n]."""
    return torch.tensor([row.target[prompt] for row in rows])


def marks(scores: Tensor, targets: Tensor) -> str:
    """Right answers as text.

    >>> marks(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
    '10'
    """
    return "".join("1" if right else "0" for right in (scores.argmax(1) == targets).tolist())
