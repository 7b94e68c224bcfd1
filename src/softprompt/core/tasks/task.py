"""The protocol of tasks: kind, candidate answers, target, decoding, metrics.

A protocol rather than an enumeration: whatever has these members can be tuned, judged and served.

Knows nothing of tokens, templates or models.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from softprompt.core.config import Settings
from softprompt.core.records import Example

if TYPE_CHECKING:
    import softprompt.core.tasks.labels
    import softprompt.core.tasks.texts

__all__ = ["Task"]


class Task(Settings, ABC):
    """What is asked.

    Attributes:
        target: Column (or field) of the data that holds the right answer.
        metrics: Names of the metrics; the first decides.
    """

    fixed_candidates: ClassVar[bool] = False

    target: str = Field("label", description="column of the right answer")
    metrics: tuple[str, ...] = Field((), description="names of metrics; the first decides")

    @property
    def names(self) -> tuple[str, ...]:
        """Label names where they are fixed, else empty."""
        return ()

    @property
    def says(self) -> tuple[str, ...]:
        """Answer texts where they are fixed, else empty."""
        return ()

    @abstractmethod
    def candidates(self, example: Example) -> tuple[str, ...] | None:
        """Texts of the candidate answers, None for free text."""

    @abstractmethod
    def answer(self, example: Example) -> int | str:
        """Index of the right candidate, or the reference text to learn.

        Raises:
            DataError: ``data.unknown_label``, ``data.no_target``.
        """

    def spelt(self, name: str) -> str:
        """The answer that is written ``name`` in the data; ``name`` itself where nothing else is known of it."""
        return name

    @abstractmethod
    def reference(self, example: Example) -> Any:
        """What metrics compare a prediction with."""

    @abstractmethod
    def decode(self, scores: Sequence[float], example: Example) -> str:
        """The prediction as users see it, from one score a candidate."""

    @staticmethod
    def classify(
        labels: Sequence[str] | Mapping[str, Any], *, target: str = "label", **settings: Any
    ) -> "softprompt.core.tasks.labels.Classify":
        """A label for a text.

        Args:
            labels: Names, or name -> text of the answer, or name -> ``{"say": text, "from": [other spellings]}``, of
                which either may be left out.
            target: Column of the label.

        >>> Task.classify({"BILLING_01": "billing", "DELIVERY_02": {"say": "delivery"}}).says
        ('billing', 'delivery')
        """
        from softprompt.core.tasks.labels import Classify

        return Classify.parse({"labels": labels, "target": target, **settings})

    @staticmethod
    def choose(
        candidates: str | Sequence[str] = "candidates", *, target: str = "label", **settings: Any
    ) -> "softprompt.core.tasks.labels.Choose":
        """One of the candidates that stand in the row: in one list column, or in several columns."""
        from softprompt.core.tasks.labels import Choose

        return Choose.parse({"candidates": candidates, "target": target, **settings})

    @staticmethod
    def generate(*, target: str = "target", **settings: Any) -> "softprompt.core.tasks.texts.Generate":
        """Free text: a summary, a translation, an answer, a reply, code."""
        from softprompt.core.tasks.texts import Generate

        return Generate.parse({"target": target, **settings})
