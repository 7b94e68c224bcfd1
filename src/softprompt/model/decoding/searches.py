"""The searches: how one branch's answer is looked for among the tokens that the model proposes.

A search holds the lines that are fed to the model next. The loop proposes tokens for all lines of the batch at once (on
the device), hands every search its share (plain numbers), and is told which lines go on from which.

Beams follow transformers' semantics with ``early_stopping=False``, its default: the score is log-probability /
length ** penalty; the search ends when the best unfinished line, scored at its present length, cannot beat the worst of
as many finished ones as there are beams.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from softprompt.core.decoding import Decoding
from softprompt.model.decoding.endings import Finish, Line, Rules
from softprompt.model.decoding.sampling import draw, likely

__all__ = ["METHODS", "Beams", "Chain", "Proposals", "Search"]

#: Token and log-probability, best first, by line.
Proposals = Sequence[Sequence[tuple[int, float]]]


class Search(ABC):
    """The search for the answer of one branch.

    Args:
        rules: When answers of this branch end.
        settings: Of the decoding.
        generator: Source of the branch's draws.
    """

    def __init__(self, rules: Rules, settings: Decoding, generator: random.Random) -> None:
        self.rules, self.settings, self.generator = rules, settings, generator
        line, finished = rules.begin()
        self.lines: list[Line] = [] if finished else [line]
        self.outcome: tuple[Line, Finish] | None = (line, finished) if finished else None

    @abstractmethod
    def advance(self, proposals: Proposals) -> list[int]:
        """Go one token on; returns, for each of the new :attr:`lines`, the index of the old line that it continues.

        Without new lines the search is over and :attr:`outcome` holds the answer.
        """

    @property
    @abstractmethod
    def certain(self) -> tuple[int, ...]:
        """Tokens that will not be taken back."""


class Chain(Search):
    """One line, one token a step: greedy and sampling."""

    def advance(self, proposals: Proposals) -> list[int]:
        token, logprob = proposals[0][0]
        line, finished = self.rules.extend(self.lines[0], token, logprob)
        self.lines = [] if finished else [line]
        self.outcome = (line, finished) if finished else None
        return [0] * len(self.lines)

    @property
    def certain(self) -> tuple[int, ...]:
        return self.outcome[0].ids if self.outcome else self.lines[0].ids


@dataclass(frozen=True, slots=True)
class _Hypothesis:
    """A finished answer and its score, the log-probability / length ** penalty."""

    score: float
    line: Line
    finished: Finish


class Beams(Search):
    """Several lines; the best continuations of all of them go on."""

    def __init__(self, rules: Rules, settings: Decoding, generator: random.Random) -> None:
        super().__init__(rules, settings, generator)
        self._pool: list[_Hypothesis] = []

    def advance(self, proposals: Proposals) -> list[int]:
        beams = self.settings.num_beams
        candidates = sorted(
            (-(line.logprob + logprob), parent, token, logprob)
            for parent, line in enumerate(self.lines)
            for token, logprob in proposals[parent]
        )
        going: list[Line] = []
        parents: list[int] = []
        for rank, (_, parent, token, logprob) in enumerate(candidates[: _width(self.rules, beams)]):
            line, finished = self.rules.extend(self.lines[parent], token, logprob)
            if finished and rank < beams:
                self._pool.append(_Hypothesis(self._score(line), line, finished))
            elif not finished and len(going) < beams:
                going.append(line)
                parents.append(parent)
        self._pool = sorted(self._pool, key=lambda hypothesis: -hypothesis.score)[:beams]
        if going and len(self._pool) == beams and self._score(going[0]) <= self._pool[-1].score:
            going, parents = [], []
        self.lines = going
        if not going:
            self.outcome = self._pool[0].line, self._pool[0].finished
        return parents

    def _score(self, line: Line) -> float:
        return float(line.logprob / len(line.ids) ** self.settings.length_penalty)

    @property
    def certain(self) -> tuple[int, ...]:
        return self.outcome[0].ids if self.outcome else ()


def _width(rules: Rules, beams: int) -> int:
    """Candidates looked at in a step: enough that ``beams`` can go on even if every terminator comes first."""
    return (1 + len(rules.terminators)) * beams


# --- proposals, for all lines of the batch at once


def _likeliest(scores: Float[Tensor, "S V"], _searches: Sequence[Search]) -> Proposals:
    best, tokens = scores.max(-1)
    return [[pair] for pair in zip(tokens.tolist(), best.tolist(), strict=True)]


def _drawn(scores: Float[Tensor, "S V"], searches: Sequence[Search]) -> Proposals:
    settings = searches[0].settings
    probabilities, tokens = likely(scores, temperature=settings.temperature, top_k=settings.top_k, top_p=settings.top_p)
    drawn = draw(probabilities, tokens, [search.generator.random() for search in searches])
    logprobs = scores.gather(1, drawn[:, None]).squeeze(1)
    return [[pair] for pair in zip(drawn.tolist(), logprobs.tolist(), strict=True)]


def _several(scores: Float[Tensor, "S V"], searches: Sequence[Search]) -> Proposals:
    width = _width(searches[0].rules, searches[0].settings.num_beams)
    best, tokens = scores.topk(min(width, scores.shape[1]))
    return [
        [(token, logprob) for token, logprob in zip(*line, strict=True) if logprob > -torch.inf]
        for line in zip(tokens.tolist(), best.tolist(), strict=True)
    ]


#: Method -> its search, and how tokens are proposed to the lines of the searches that still run. Scores are the model's
#: own log-probabilities, -inf where a token is not allowed.
METHODS: dict[str, tuple[type[Search], Callable[[Float[Tensor, "S V"], Sequence[Search]], Proposals]]] = {
    "greedy": (Chain, _likeliest),
    "sample": (Chain, _drawn),
    "beam": (Beams, _several),
}
