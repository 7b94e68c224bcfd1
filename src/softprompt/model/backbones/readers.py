"""Which tokens are read, and what is made of their logits and states.

The output layer is the most expensive part of a small model (8,000 to 250,000 rows), so it runs only where an answer, a
head or the caller reads; each place once, whoever reads there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from softprompt.model.backbones.base import AnswerScores, Hidden, Want
from softprompt.model.backbones.splicing.lines import Lowered

__all__ = ["Readers"]


@dataclass(frozen=True)
class Readers:
    """Places (line, token) of a batch that are read, numbered.

    Attributes:
        lowered: The batch.
        index: Number by place.
        device: Of the model.
    """

    lowered: Lowered
    index: dict[tuple[int, int], int]
    device: torch.device

    @classmethod
    def of(cls, lowered: Lowered, want: Want, device: torch.device) -> "Readers":
        """Number the places that the batch and the caller read."""
        places = [(line, at) for answer in lowered.answers for line, at, _ in answer.reads]
        places += [(place.line, place.at) for place in lowered.readouts]
        if want.last or want.hidden:
            places += [(place.line, place.at) for place in lowered.ends]
        return cls(lowered, {place: number for number, place in enumerate(dict.fromkeys(places))}, device)

    def flat(self, columns: int) -> Tensor:
        """The places as indices into [lines * columns]; one harmless place where nothing is read."""
        return self._tensor([line * columns + at for line, at in self.index] or [0])

    def answers(self, logits: Float[Tensor, "N V"]) -> dict[int, AnswerScores]:
        """Log-probability of each candidate: the sum over its tokens, terminator included (law 9); negative where it is
        said against one."""
        found = self.lowered.answers
        if not found:
            return {}
        places = self._tensor([self.index[line, at] for answer in found for line, at, _ in answer.reads])
        tokens = self._tensor([token for answer in found for _, _, token in answer.reads])
        owners = self._tensor([n for n, answer in enumerate(found) for _ in answer.reads])
        exact = logits if logits.dtype == torch.float64 else logits.float()
        chosen = exact[places, tokens] - exact.logsumexp(-1)[places]
        totals = chosen.new_zeros(len(found)).index_add(0, owners, chosen)
        if any(answer.against for answer in found):
            totals = torch.where(self._tensor([answer.against for answer in found]).bool(), -totals, totals)
        mine: dict[int, list[int]] = {}
        for n, answer in enumerate(found):
            mine.setdefault(answer.prompt, []).append(n)
        return {
            prompt: AnswerScores(
                self._tensor([found[n].row for n in numbers]),
                self._tensor([found[n].candidate for n in numbers]),
                self._tensor([len(found[n].reads) for n in numbers]),
                totals[self._tensor(numbers)],
            )
            for prompt, numbers in sorted(mine.items())
        }

    def readouts(self, hidden: Float[Tensor, "N H"]) -> dict[int, Hidden]:
        """States under the heads, by prompt."""
        mine: dict[int, list[tuple[int, int]]] = {}
        for place in self.lowered.readouts:
            mine.setdefault(place.prompt, []).append((place.row, self.index[place.line, place.at]))
        return {
            prompt: Hidden(self._tensor([row for row, _ in pairs]), hidden[self._tensor([at for _, at in pairs])])
            for prompt, pairs in sorted(mine.items())
        }

    def ends(self) -> tuple[Tensor, Tensor]:
        """Rows and numbers of the last tokens of branches."""
        ends = self.lowered.ends
        return self._tensor([end.row for end in ends]), self._tensor([self.index[end.line, end.at] for end in ends])

    def _tensor(self, values: Sequence[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.long).to(self.device)
