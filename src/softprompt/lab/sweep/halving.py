"""Successive halving without waiting: at a ninth and a third of the steps only the best third goes on.

A trial goes on from a rung if its score there is among the best third of all scores that the rung has seen: those of
the trials beside it in the pass, which stand at the same step, and those of earlier ones (Li et al., A system for
massively parallel hyperparameter tuning, MLSys 2020: ASHA, with trials that come in groups).

Knows scores; no trials and no training.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["ETA", "Rungs"]

#: One in so many goes on.
ETA = 3


class Rungs:
    """Scores by rung, and who goes on.

    Args:
        every: Steps between two looks, of which there are ETA^2; the first and the third are rungs.
        earlier: (step, score) of earlier trials, one sequence a trial.

    >>> rungs = Rungs(10)
    >>> rungs.given_up(10, {"a": 0.5, "b": 0.9, "c": 0.7})
    ['a', 'c']
    >>> rungs.given_up(20, {"b": 0.1}), rungs.given_up(30, {"b": 0.6})
    ([], [])
    """

    def __init__(self, every: int, *, earlier: Iterable[Sequence[tuple[int, float]]] = ()) -> None:
        self.steps = tuple(every * ETA**power for power in range(2))
        self._seen: dict[int, list[float]] = {step: [] for step in self.steps}
        for looks in earlier:
            for step, score in looks:
                if step in self._seen:
                    self._seen[step].append(score)

    def given_up(self, step: int, scores: Mapping[str, float]) -> list[str]:
        """The trials that do not go on; a score that is no number never does."""
        if step not in self._seen:
            return []
        told = {name: -math.inf if math.isnan(score) else score for name, score in scores.items()}
        self._seen[step] += told.values()
        ranked = sorted(self._seen[step], reverse=True)
        bar = ranked[max(1, math.ceil(len(ranked) / ETA)) - 1]
        return [name for name, score in told.items() if score < bar or score == -math.inf]
