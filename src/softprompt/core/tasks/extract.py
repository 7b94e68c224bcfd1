"""An object of a schema, read out of a text (*extract*).

The answer is the object's canonical JSON (:mod:`softprompt.core.schema`): learnt by its likelihood, written within the
schema, judged field by field.
"""

from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from softprompt.core.errors import DataError, nearest
from softprompt.core.metrics.labels import ClassScore
from softprompt.core.metrics.objects import WholeObject, field_report
from softprompt.core.records import Example
from softprompt.core.schema import Schema
from softprompt.core.tasks.writing import Writing

__all__ = ["Extract"]


class Extract(Writing):
    """An object whose fields stand in the text.

    Attributes:
        schema_: As JSON Schema; key ``schema``.
        written: How a row says what is right: an object (or its JSON) in the target's cell, or a column a field.
    """

    model_config = ConfigDict(serialize_by_alias=True, populate_by_name=True)

    kind: Literal["extract"] = "extract"
    target: str = Field("answer", description="column of the object")
    schema_: dict[str, Any] = Field(alias="schema", description="the fields, as JSON Schema")
    written: Literal["cell", "columns"] | dict[str, str] = Field(
        "cell", description="cell holds the object, columns are one a field; or field -> column"
    )
    max_new_tokens: int = Field(128, ge=1, description="longest answer in tokens")
    metrics: tuple[str, ...] = ("field_f1", "field_precision", "field_recall", "whole_object")

    @field_validator("schema_", mode="before")
    @classmethod
    def _in_full(cls, value: Any) -> dict[str, Any]:
        return Schema.parse(value).to_dict()

    @model_validator(mode="after")
    def _agrees_with_the_schema(self) -> Self:
        if isinstance(self.written, dict):
            for name in self.written:
                if name not in self.answer_schema.names:
                    raise ValueError(
                        f"written names {name!r}, which is no field; {nearest(name, self.answer_schema.names)}"
                    )
        if self.decoding is not None and (self.decoding.stop or self.decoding.min_new_tokens):
            raise ValueError("the schema alone decides where an answer ends: leave stop and min_new_tokens out")
        return self

    @cached_property
    def answer_schema(self) -> Schema:
        """The schema of the answers."""
        return Schema.parse(self.schema_)

    @property
    def columns(self) -> dict[str, str]:
        """Column of each field; empty where the target's cell holds the object."""
        if self.written == "cell":
            return {}
        named = self.written if isinstance(self.written, dict) else {}
        return {name: named.get(name, name) for name in self.answer_schema.names}

    @property
    def target_columns(self) -> tuple[str, ...]:
        """The target's column, or one a field."""
        return tuple(self.columns.values()) or (self.target,)

    def read(self, value: Any) -> str:
        """Canonical JSON of an object, of its JSON, or of cells by column.

        Raises:
            DataError: ``data.not_in_schema``, ``data.no_target``.

        >>> from softprompt.core.tasks import Task
        >>> Task.extract({"who": "string", "amount": "number or null"}).read('{"who": "Ada"}')
        '{"who":"Ada","amount":null}'
        >>> task = Task.extract({"who": "string", "amount": "number"}, written={"amount": "EUR"})
        >>> task.read({"who": "Ada", "EUR": "12.50"})
        '{"who":"Ada","amount":12.5}'
        """
        if self.columns:
            cells = value if len(self.columns) > 1 and isinstance(value, Mapping) else {self.target_columns[0]: value}
            value = self.answer_schema.of_cells({name: cells.get(column) for name, column in self.columns.items()})
        elif value is None or value != value or (isinstance(value, str) and not value.strip()):
            raise DataError("data.no_target", f"the row has no {self.target!r}")
        return self.answer_schema.take(value)

    def answer(self, example: Example) -> str:
        if example.target is None:
            raise DataError("data.no_target", f"the row has no {self.target!r}").at(example.source or example.id)
        return self.answer_schema.take(example.target)

    def reference(self, example: Example) -> dict[str, Any]:
        return self.answer_schema.read(self.answer(example))

    def right(self, answer: Any, reference: Any) -> bool:
        """Whether every field is right."""
        return bool(WholeObject().value(answer, reference))

    def report(
        self,
        answers: Sequence[Any],
        references: Sequence[Any],
        *,
        level: float,
        groups: Sequence[Hashable] | None = None,
    ) -> tuple[ClassScore, ...]:
        """Recall and precision by field."""
        return field_report(answers, references, names=self.answer_schema.names, level=level, groups=groups)

    def decode(self, scores: Sequence[float], example: Example) -> str:
        raise TypeError("an object is written, not decoded from scores")

    def written_as(self, text: str) -> Any:
        """The object of a text; the text itself where it is none."""
        try:
            return self.answer_schema.read(text)
        except DataError:
            return text
