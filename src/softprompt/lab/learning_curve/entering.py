"""A contender of a comparison on growing subsets: what takes part there can be measured here.

What is fitted at once chooses its variants inside the subset; what is trained sets a fifth of it aside to choose its
rate and its last step on, as a run with so many rows would. Knows stages and entrants; no sizes and no draws.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from softprompt.core.errors import DataError, SoftpromptError
from softprompt.core.tasks import Task
from softprompt.data.balance import balanced
from softprompt.data.dataset import Dataset
from softprompt.data.splits import split
from softprompt.lab.comparison.attempts import Simple
from softprompt.lab.comparison.contenders import Fitted
from softprompt.lab.comparison.entrants import Entrant, entrant_of, reason_against
from softprompt.lab.comparison.settings import EntrantSettings
from softprompt.lab.comparison.stage import Stage

__all__ = ["Entering"]

#: Of each subset, what trained contenders choose by.
VALIDATION = 0.2

#: What the numbers of a point depend on besides: rows and seeds, which the point knows itself.
_OF_POINTS = ("rows", "ids", "seeds")


@dataclass(frozen=True)
class Entering:
    """A contender of a comparison.

    Attributes:
        settings: Its own.
        stage: Of all rows; its rows and seeds are replaced by those of each subset.
        weighted: Whether labels are balanced by weights.
    """

    settings: EntrantSettings
    stage: Stage
    weighted: bool = False

    @property
    def name(self) -> str:
        """As a comparison calls it."""
        return self.settings.called

    @property
    def unfit(self) -> str:
        """Why it takes no part; empty where it does.

        Raises:
            ConfigError, TemplateError: Its settings are wrong, with its name.
        """
        try:
            entrant = entrant_of(self.settings, self.stage)
        except SoftpromptError as error:
            raise error.at(self.name) from None
        return reason_against(entrant)

    @property
    def splits(self) -> Mapping[str, Dataset]:
        """The stage's rows, with the columns that its own template names; the stage's own where it names none."""
        return entrant_of(self.settings, self.stage).stage.splits

    @property
    def identity(self) -> str:
        """What its numbers depend on besides rows and seed."""
        facts = dict(entrant_of(self.settings, self.stage).facts())
        training = facts.get("training")
        if isinstance(training, dict):
            steps = self.stage.training.steps  # left open, they follow from the effort and the rows of a point
            facts["training"] = {**{name: value for name, value in training.items() if name != "seeds"}, "steps": steps}
        kept = {name: value for name, value in facts.items() if name not in _OF_POINTS}
        return json.dumps(kept, sort_keys=True, default=str)

    def supports(self, task: Task) -> bool:
        return not self.unfit

    def fit(self, train: Dataset, validation: Dataset | None, task: Task, *, seed: int = 0) -> Fitted:
        """Learn from a subset.

        Raises:
            DataError: ``data.one_label``, ``data.too_few_rows``, and what its training raises.
        """
        entrant = self._on(train, validation, seed)
        if isinstance(entrant, Simple):
            return entrant.contender.fit(train, validation, task, seed=seed)
        found = entrant.attempts(None)
        try:
            return next(found).fitted
        except StopIteration:
            raise DataError("data.nothing_to_score", f"{self.name} gave no result on {len(train)} rows") from None

    def _on(self, train: Dataset, validation: Dataset | None, seed: int) -> Entrant:
        """The contender on the stage of a subset."""
        parts = {"train": train, "validation": validation} if validation is not None else self._parts(train, seed)
        rows = parts["train"]
        stage = replace(
            self.stage,
            splits={**self.stage.splits, **parts},
            weighted=balanced(rows).rows if self.weighted else rows.rows,
            training=self.stage.training.model_copy(update={"seeds": (seed,)}),
            folder=None,
        )
        return entrant_of(self.settings, stage)

    def _parts(self, train: Dataset, seed: int) -> dict[str, Dataset]:
        return split(train, validation=VALIDATION, seed=seed)
