"""Several prompts as one predictor: how the probabilities that they give become one.

    mean, weights, greedy    p = sum_k w_k p_k, the linear opinion pool; the three differ in how the weights were found
    majority                 p = (votes + mean) / (K + 1): a vote each, and the mean probability settles what is equal

and then p^(1/T), normalised, where a temperature was fitted. A pool of good forecasts is less sure than it ought to be,
so T is often below 1 (Ranjan, Gneiting, Combining probability forecasts, JRSS B 72, 2010, theorem 1).

Knows arrays of probabilities; no prompts, no rows and no models.
"""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from jaxtyping import Float
from pydantic import Field, model_validator

from softprompt.core.config import Settings

__all__ = ["By", "Pooling", "tempered"]

By = Literal["mean", "majority", "weights", "greedy"]


class Pooling(Settings):
    """How K prompts answer as one.

    >>> said = [np.array([0.6, 0.4]), np.array([0.6, 0.4]), np.array([0.0, 1.0])]
    >>> Pooling(weights=(1, 1, 1)).pool(said).round(2).tolist()
    [0.4, 0.6]
    >>> Pooling(by="majority", weights=(1, 1, 1)).pool(said).round(2).tolist()
    [0.6, 0.4]
    """

    by: By = Field("mean", description="what was asked for; majority counts votes, the others average probabilities")
    weights: tuple[float, ...] = Field(min_length=1, description="of the prompts, in their order")
    temperature: float = Field(1.0, gt=0, description="probabilities are taken to the power of its inverse")

    @model_validator(mode="after")
    def _weighs(self) -> Self:
        if min(self.weights) < 0 or sum(self.weights) <= 0:
            raise ValueError(f"weights are at least 0 and not all of them 0, not {list(self.weights)}")
        return self

    @property
    def shares(self) -> Float[np.ndarray, " K"]:
        """The weights, summing to 1."""
        weights = np.asarray(self.weights, dtype=np.float64)
        return np.asarray(weights / weights.sum())

    def pool(
        self, probabilities: Sequence[Float[np.ndarray, " C"]], *, independent: bool = False
    ) -> Float[np.ndarray, " C"]:
        """Probabilities of the C candidates of one row.

        Args:
            probabilities: [C] a prompt.
            independent: Each candidate is a yes or no of its own.
        """
        said = np.stack([np.asarray(one, dtype=np.float64) for one in probabilities])
        mixed = self.shares @ said
        if self.by == "majority":
            votes = np.bincount(said.argmax(axis=1), minlength=said.shape[1])
            mixed = (votes + mixed) / (len(said) + 1)
        return tempered(mixed, self.temperature, independent=independent)


def tempered(
    p: Float[np.ndarray, "*n C"], temperature: float, *, independent: bool = False
) -> Float[np.ndarray, "*n C"]:
    """Probabilities at a temperature: p^(1/T), normalised to sum 1; the order of the candidates stays.

    Args:
        p: Of the candidates, along the last axis.
        temperature: Above 0; below 1 makes answers surer.
        independent: Each candidate is a yes or no of its own: its odds are taken to the power of 1/T.

    >>> tempered(np.array([0.8, 0.2]), 0.5).round(3).tolist(), tempered(np.array([0.5]), 0.5, independent=True).tolist()
    ([0.941, 0.059], [0.5])
    """
    if temperature == 1:
        return p
    logs = np.log(np.maximum(p, 1e-300)) / temperature
    against = np.log(np.maximum(1 - p, 1e-300)) / temperature
    norm = np.logaddexp(logs, against) if independent else np.logaddexp.reduce(logs, axis=-1, keepdims=True)
    return np.asarray(np.exp(logs - norm))
