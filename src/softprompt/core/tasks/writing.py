"""What tasks have in common whose answers are written token by token: how long they may be, and how they are written.

Knows no model: model/decoding writes, the tasks of this house say what.
"""

from typing import Any, ClassVar, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from softprompt.core.decoding import Decoding
from softprompt.core.records import Example
from softprompt.core.tasks.task import Task

__all__ = ["Writing"]


class Writing(Task):
    """Answers that are written, not chosen.

    Attributes:
        max_new_tokens: Longest answer in tokens.
        decoding: How tokens are chosen, and when an answer ends; None: greedily.
    """

    objective: ClassVar[str] = "likelihood"
    forms: ClassVar[tuple[str, ...]] = ("words",)

    max_new_tokens: int = Field(64, ge=1, description="longest answer in tokens")
    decoding: Decoding | None = Field(None, description="how answers are written; None: greedily")

    @model_validator(mode="after")
    def _said_once(self) -> Self:
        """The longest answer has one place, because rows keep room for it."""
        if self.decoding is None:
            return self
        if self.decoding.max_new_tokens is not None:
            longest = self.decoding.max_new_tokens
            raise ValueError(f"decoding.max_new_tokens is {longest}; say max_new_tokens: {longest} beside decoding")
        self.way_of_writing  # noqa: B018 - fewest and most tokens are checked against each other
        return self

    @model_serializer(mode="wrap")
    def _without_none(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A task that says nothing of it is written as it was before one could."""
        return {key: value for key, value in dump(self).items() if key != "decoding" or value is not None}

    @property
    def way_of_writing(self) -> Decoding:
        """All of it in one, the longest answer included.

        >>> from softprompt.core.tasks import Task
        >>> task = Task.generate(max_new_tokens=9, decoding={"num_beams": 4})
        >>> task.way_of_writing.method, task.way_of_writing.max_new_tokens
        ('beam', 9)
        """
        return (self.decoding or Decoding()).changed({"max_new_tokens": self.max_new_tokens})

    def candidates(self, example: Example) -> None:
        return None
