"""Free text: a summary, a translation, an answer, a reply, code (*generate*)."""

from collections.abc import Sequence
from typing import Any, Literal

from softprompt.core.errors import DataError
from softprompt.core.metrics.answers import ExactMatch
from softprompt.core.records import Example
from softprompt.core.tasks.writing import Writing

__all__ = ["Generate", "Written"]


class Written(Writing):
    """Answers in free text; several references a row are allowed (a list in the data), the first is learnt."""

    metrics: tuple[str, ...] = ("rouge_l", "exact_match", "token_f1")

    def answer(self, example: Example) -> str:
        reference = self.reference(example)
        return reference if isinstance(reference, str) else reference[0]

    def reference(self, example: Example) -> str | list[str]:
        if example.target is None or example.target == []:
            raise DataError("data.no_target", f"the row has no {self.target!r}").at(example.source or example.id)
        return (
            [str(part) for part in example.target] if isinstance(example.target, (list, tuple)) else str(example.target)
        )

    def right(self, answer: Any, reference: Any) -> bool:
        """Whether it equals a reference after normalisation."""
        return bool(ExactMatch().value(answer, reference))

    def decode(self, scores: Sequence[float], example: Example) -> str:
        raise TypeError("free text is generated, not decoded from scores")


class Generate(Written):
    """Free text: a summary, a translation, an answer, a reply, code."""

    kind: Literal["generate"] = "generate"
