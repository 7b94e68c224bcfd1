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
        kinds: Kinds of model that can take it.
        earlier: Whether it begins from the prompt that plain learnt on another problem.
    """

    method: Mapping[str, Any]
    place: str = "after"
    length: int = LENGTH
    kinds: tuple[str, ...] = ("causal", "masked")
    earlier: bool = False

    def settings(self, training: Mapping[str, Any]) -> dict[str, Any]:
        """As in a run's file.

        >>> WAYS["low rank"].settings({})["template"]
        {'place': 'after', 'length': 20}
        """
        template = {"place": self.place, "length": self.length}
        return {"template": template, "method": dict(self.method), "training": dict(training)}


_CAUSAL = ("causal",)

#: Name in tables -> way, in the order of the trials. *Label vectors alone* has no soft token; others add to it.
WAYS: Mapping[str, Way] = {
    "label vectors alone": Way({"name": "plain"}, length=0),
    "plain": Way({"name": "plain"}),
    "deep": Way({"name": "deep"}, kinds=_CAUSAL),
    "late": Way({"name": "late"}, kinds=_CAUSAL),
    "residual": Way({"name": "residual"}),
    "low rank": Way({"name": "low_rank"}),
    "superposition": Way({"name": "superposition"}),
    "context": Way({"name": "context"}),
    "p-tuning, mlp": Way({"name": "p_tuning", "encoder": "mlp"}),
    "p-tuning, lstm": Way({"name": "p_tuning", "encoder": "lstm"}),
    "plain, before": Way({"name": "plain"}, place="before"),
    "deep, before": Way({"name": "deep"}, place="before", kinds=_CAUSAL),
    "progressive": Way({"name": "progressive"}, length=2 * LENGTH, earlier=True),
}

#: Problem -> the problem whose plain prompt *progressive* stands in front of.
EARLIER: Mapping[str, str] = {
    "sst2": "emotion",
    "emotion": "sst2",
    "ag_news": "example topic",
    "example topic": "ag_news",
}


def ways_for(kind: str, problem: str) -> dict[str, Way]:
    """The ways that a kind of model can take on a problem.

    >>> "deep" in ways_for("masked", "sst2"), "progressive" in ways_for("causal", "another")
    (False, False)
    """
    return {name: way for name, way in WAYS.items() if kind in way.kinds and (not way.earlier or problem in EARLIER)}
