"""Free text: a summary, a translation, an answer, a reply, code (*generate*)."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from softprompt.core.errors import DataError
from softprompt.core.metrics.answers import ExactMatch
from softprompt.core.records import Example
from softprompt.core.tasks.task import Task

__all__ = ["Generate", "Written"]


class Written(Task):
    """Answers in free text; several references a row are allowed (a list in the data), the first is learnt."""

    objective: ClassVar[str] = "likelihood"
    forms: ClassVar[tuple[str, ...]] = ("words",)

    max_new_tokens: int = Field(64, ge=1, description="longest answer in tokens")
    metrics: tuple[str, ...] = ("rouge_l", "exact_match", "token_f1")

    def candidates(self, example: Example) -> None:
        return None

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
