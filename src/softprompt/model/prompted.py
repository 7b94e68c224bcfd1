"""A frozen model with prompts: the one forward for training, evaluation and use.

Everything that is scored goes through :meth:`PromptedModel.scores`, so what is measured after training is what was
trained.

Knows rows, prompt tensors and backbones; no templates, no tasks, no methods.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softprompt.core.records import Batch, Readout, Row
from softprompt.core.tensors import PromptTensors, State
from softprompt.model.backbones.base import Backbone, Output
from softprompt.model.backbones.splicing.lowering import Frozen
from softprompt.model.states import StateStore

__all__ = ["PromptedModel", "Scores", "token_batches"]


@dataclass(frozen=True)
class Scores:
    """Scores of the candidates of one prompt.

    Attributes:
        rows: Index of the row in the batch.
        values: Log-probability of each candidate answer, or log-odds of its yes, or the head's score of each label;
            -inf where a row has fewer.
        lengths: Tokens of each candidate, terminator included; 1 for label vectors, 0 where there is no candidate.
    """

    rows: Int[Tensor, " n"]
    values: Float[Tensor, "n C"]
    lengths: Int[Tensor, "n C"]

    def normalised(self) -> "Scores":
        """Mean log-probability a token instead of the sum."""
        return Scores(self.rows, self.values / self.lengths.clamp(min=1), self.lengths)


class PromptedModel:
    """A backbone with prompts, by prompt index.

    >>> from softprompt.core.records import Answer, Node, Text
    >>> from softprompt.testing import tiny
    >>> row = Row((Node(Text((5, 6), "text")), Node(Answer((9, 257), 0), 0), Node(Answer((8, 257), 1), 0)))
    >>> PromptedModel(tiny()).scores(Batch((row,)))[0].values.shape
    torch.Size([1, 2])
    """

    #: What a state that is handed to :meth:`scores` covers.
    frozen: ClassVar[Frozen] = "soft"

    def __init__(self, backbone: Backbone, prompts: Sequence[PromptTensors] = ()) -> None:
        self.backbone = backbone
        self.prompts = tuple(prompts)

    def scores(
        self,
        batch: Batch,
        state: State | None = None,
        *,
        prompts: Sequence[PromptTensors] | None = None,
        checkpoint: bool = False,
    ) -> dict[int, Scores]:
        """Scores by prompt index, with a graph to the prompts if they need one.

        Args:
            batch: The rows.
            state: States of the rows' trunks.
            prompts: Instead of the model's own (training hands in fresh tensors every step).
            checkpoint: As :meth:`Backbone.forward`.
        """
        tensors = self.prompts if prompts is None else tuple(prompts)
        output = self.backbone.forward(batch, tensors, state, frozen=self.frozen, checkpoint=checkpoint)
        return _collect(output, tensors)

    @torch.no_grad()
    def score_all(
        self,
        rows: Sequence[Row],
        *,
        store: StateStore | None = None,
        prompts: Sequence[PromptTensors] | None = None,
        batch_tokens: int = 4096,
    ) -> dict[int, Scores]:
        """Scores of many rows, in batches of similar length; ``Scores.rows`` are indices into ``rows``, in order.

        Args:
            rows: Any number.
            store: Frozen states to use; without one each batch's texts are read once for all prompts.
            prompts: As in :meth:`scores`.
            batch_tokens: Padded tokens a batch at most.
        """
        parts: dict[int, list[Scores]] = {}
        for indices in token_batches(rows, batch_tokens):
            batch = Batch(tuple(rows[i] for i in indices))
            state = store.get(batch) if store is not None else self.shared_state(batch)
            index = torch.tensor(indices, device=self.backbone.spec.device)
            for prompt, scores in self.scores(batch, state, prompts=prompts).items():
                parts.setdefault(prompt, []).append(Scores(index[scores.rows], scores.values, scores.lengths))
        return {prompt: _join(found) for prompt, found in sorted(parts.items())}

    def shared_state(self, batch: Batch) -> State | None:
        """States of the texts when several branches ask about one text and each would read it again; else None."""
        if self.backbone.spec.tree or not self.backbone.trunks(batch):
            return None
        branches = any(len(below) > 1 for row in batch for below in row.children().values())
        return self.backbone.read(batch) if branches else None


def _collect(output: Output, tensors: Sequence[PromptTensors]) -> dict[int, Scores]:
    """Scores by prompt from a forward pass: of candidate answers, or through the prompt's label vectors."""
    found: dict[int, Scores] = {}
    for prompt, answers in output.answers.items():
        rows, inverse = torch.unique(answers.rows, return_inverse=True)
        shape = (len(rows), int(answers.candidates.max()) + 1)
        at = (inverse, answers.candidates)
        lengths = answers.lengths.new_zeros(shape).index_put(at, answers.lengths, accumulate=True)
        values = answers.scores.new_zeros(shape).index_put(at, answers.scores, accumulate=True)
        found[prompt] = Scores(rows, values.masked_fill(lengths == 0, -torch.inf), lengths)
    for prompt, hidden in output.readouts.items():
        head = tensors[prompt].head
        assert head is not None, f"prompt {prompt} is read out and has no label vectors"
        values = torch.nn.functional.linear(hidden.values.float(), head.weight.float(), head.bias.float())
        found[prompt] = Scores(hidden.rows, values, torch.ones_like(values, dtype=torch.long))
    return found


def token_batches(rows: Sequence[Row], batch_tokens: int) -> Iterator[list[int]]:
    """Indices of rows in batches of similar length whose padded size stays within ``batch_tokens`` (one row at least).

    >>> from softprompt.core.records import Node, Text
    >>> rows = [Row((Node(Text((0,) * n)),)) for n in (3, 1, 3)]
    >>> list(token_batches(rows, 6))
    [[0, 2], [1]]
    """
    lengths = [num_tokens(row) for row in rows]
    batch: list[int] = []
    for i in sorted(range(len(rows)), key=lambda i: -lengths[i]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > batch_tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def num_tokens(row: Row) -> int:
    """All tokens of a row, readers without tokens counted as none."""
    return sum(0 if isinstance(node.segment, Readout) else len(node.segment) for node in row.nodes)


def _join(parts: Sequence[Scores]) -> Scores:
    """Batches as one, padded to the largest number of candidates, in the order of the rows."""
    width = max(part.values.shape[1] for part in parts)
    rows = torch.cat([part.rows for part in parts])
    order = rows.argsort()

    def pad(tensor: Tensor, value: float) -> Tensor:
        return torch.nn.functional.pad(tensor, (0, width - tensor.shape[1]), value=value)

    values = torch.cat([pad(part.values, -torch.inf) for part in parts])
    lengths = torch.cat([pad(part.lengths, 0.0) for part in parts])
    return Scores(rows[order], values[order], lengths[order])
