"""How a contest is run, and who can take part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from softprompt.lab.training.settings import EFFORTS

__all__ = ["CONTENDERS", "DOCUMENTED", "GRID", "Plan", "Recipe"]

#: Key -> what it is, in the order of the tables.
CONTENDERS: Mapping[str, str] = {
    "after": "ours, after the text",
    "before": "ours, before the text",
    "peft": "PEFT as documented",
    "peft_best": "PEFT, best of the grid",
    "tfidf": "TF-IDF + logistic regression",
    "probe": "linear probe",
    "majority": "majority",
}


@dataclass(frozen=True)
class Recipe:
    """What a PEFT user sets: where the vectors start and the learning rate.

    >>> str(Recipe("TEXT", 0.03))
    'TEXT-0.03'
    """

    init: str
    rate: float

    def __str__(self) -> str:
        return f"{self.init}-{self.rate:g}"


#: Start by default, rate of the documentation's example.
DOCUMENTED = Recipe("RANDOM", 3e-2)

#: RANDOM draws from N(0, 1), many times the size of a usual table, and needs larger rates than a start from text.
GRID = (
    *(Recipe("RANDOM", rate) for rate in (3e-2, 3e-1)),
    *(Recipe("TEXT", rate) for rate in (3e-3, 1e-2, 3e-2, 1e-1)),
)


@dataclass(frozen=True)
class Plan:
    """How a contest is run.

    Attributes:
        seeds: Prompts a learned contender.
        steps: Of each training, for both sides; those of our default effort.
        batch_size: Rows a step, for both sides.
        grid: What PEFT's best is chosen from.
        contenders: Which take part.
        ours: Further settings of our training; empty for our defaults.
    """

    seeds: int = 5
    steps: int = EFFORTS["normal"].steps
    batch_size: int = 16
    grid: Sequence[Recipe] = GRID
    contenders: Sequence[str] = tuple(CONTENDERS)
    ours: Mapping[str, Any] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """For the report."""
        return {
            "seeds": self.seeds,
            "steps": self.steps,
            "batch_size": self.batch_size,
            "grid": [str(recipe) for recipe in self.grid],
            **({"ours": dict(self.ours)} if self.ours else {}),
        }
