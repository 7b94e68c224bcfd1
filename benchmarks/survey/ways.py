"""What is compared: every method with its own settings, and where its soft tokens stand.

Knows names and settings; trains nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["BASE", "EARLIER", "LENGTH", "WAYS", "Way", "ways_for"]

#: Soft tokens of every way.
LENGTH = 20

#: What the others are compared with.
BASE = "plain"


@dataclass(frozen=True)
class Way:
    """One way of tuning.

    Attributes:
        method: Settings of the method, with its name.
        place: Of the soft tokens.
        length: Soft tokens.
        earlier: Whether it begins from the prompt that plain learnt on another problem.
    """

    method: Mapping[str, Any]
    place: str = "after"
    length: int = LENGTH
    earlier: bool = False

    def settings(self, training: Mapping[str, Any]) -> dict[str, Any]:
        """As in a run's file.

        >>> WAYS["low rank"].settings({})["template"]
        {'place': 'after', 'length': 20}
        """
        template = {"place": self.place, "length": self.length}
        return {"template": template, "method": dict(self.method), "training": dict(training)}


#: Name in tables -> way, in the order of the trials. *Label vectors alone* has no soft token; others add to it.
WAYS: Mapping[str, Way] = {
    "label vectors alone": Way({"name": "plain"}, length=0),
    "plain": Way({"name": "plain"}),
    "deep": Way({"name": "deep"}),
    "late": Way({"name": "late"}),
    "residual": Way({"name": "residual"}),
    "low rank": Way({"name": "low_rank"}),
    "superposition": Way({"name": "superposition"}),
    "context": Way({"name": "context"}),
    "p-tuning, mlp": Way({"name": "p_tuning", "encoder": "mlp"}),
    "p-tuning, lstm": Way({"name": "p_tuning", "encoder": "lstm"}),
    "plain, before": Way({"name": "plain"}, place="before"),
    "deep, before": Way({"name": "deep"}, place="before"),
    "progressive": Way({"name": "progressive"}, length=2 * LENGTH, earlier=True),
}

#: Problem -> the problem whose plain prompt *progressive* stands in front of.
EARLIER: Mapping[str, str] = {
    "sst2": "emotion",
    "emotion": "sst2",
    "ag_news": "example topic",
    "example topic": "ag_news",
}


def ways_for(problem: str) -> dict[str, Way]:
    """The ways that are tried on a problem.

    >>> "progressive" in ways_for("sst2"), "progressive" in ways_for("another")
    (True, False)
    """
    return {name: way for name, way in WAYS.items() if not way.earlier or problem in EARLIER}
