"""One label for a text (*classify*), and one of the candidates that stand in the row (*choose*)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from softprompt.core.config import Settings
from softprompt.core.errors import DataError, nearest
from softprompt.core.records import Example
from softprompt.core.tasks.task import Task

__all__ = ["Choose", "Classify", "Label", "Labelled", "as_label"]


class Label(Settings):
    """One label: its name in the data is the key; ``say`` is the text that stands for it in the answer.

    >>> Label.parse({"say": "billing", "from": ["Biling"]}).spellings
    ('Biling',)
    """

    say: str = Field(min_length=1, description="text of the answer")
    spellings: tuple[str, ...] = Field((), alias="from", description="other spellings in the data that mean it")
    means: str = Field("", description="definition, for templates with {task.labels} and for text prompts")

    @model_serializer(mode="wrap")
    def _without_nothing(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Most labels are spelt in one way, and manifests are read by people."""
        return {key: value for key, value in dump(self).items() if value or key not in {"from", "spellings", "means"}}


def as_label(name: str, given: Any) -> Any:
    """A label as one may write it: the text of the answer, or its parts, of which the name stands in for the text."""
    if given is None or isinstance(given, str):
        return {"say": name if given is None else given}
    return {"say": name, **given} if isinstance(given, Mapping) else given


class Labelled(Task):
    """Answers from a fixed set of labels.

    Attributes:
        labels: Label name -> what is said for it, how it may be spelt, and what it means.
    """

    @property
    def defined(self) -> bool:
        """Whether the settings say what some label means."""
        return any(label.means for label in self.labels.values())

    @property
    def words(self) -> dict[str, str]:
        """The labels with their definitions, a line each.

        >>> from softprompt.core.tasks import Task
        >>> task = Task.classify({"B1": {"say": "billing", "means": "about invoices"}, "D2": "delivery"})
        >>> task.words["task.labels"]
        '- billing: about invoices\\n- delivery'
        """
        lines = (f"- {one.say}: {one.means}" if one.means else f"- {one.say}" for one in self.labels.values())
        return {"task.labels": "\n".join(lines)}

    fixed_candidates: ClassVar[bool] = True

    labels: dict[str, Label] = Field(description="label name -> text of the answer")

    @field_validator("labels", mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(name): as_label(str(name), given) for name, given in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, str):
            names = [str(name) for name in value]
            if len(set(names)) < len(names):
                raise ValueError("a label stands twice")
            return {name: {"say": name} for name in names}
        return value

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(self.labels) < 2:
            kind = getattr(self, "kind", "labelled")
            raise ValueError(f"a {kind} task needs at least two labels")
        says = [label.say.strip() for label in self.labels.values()]
        for i, say in enumerate(says):
            if says.index(say) < i:
                raise ValueError(f"two labels say {say!r}; every label needs a text of its own")
        spelt = [*self.labels, *(text for label in self.labels.values() for text in label.spellings)]
        if twice := next((text for i, text in enumerate(spelt) if text in spelt[:i]), None):
            raise ValueError(f"the spelling {twice!r} stands for two labels")
        return self

    def spelt(self, name: str) -> str:
        """The label that ``name`` is a spelling of.

        >>> Task.classify({"billing": {"from": ["Biling"]}, "delivery": "delivery"}).spelt("Biling")
        'billing'
        """
        return next((label for label, known in self.labels.items() if name in known.spellings), name)

    @property
    def names(self) -> tuple[str, ...]:
        """Label names in order: candidate i is ``names[i]``."""
        return tuple(self.labels)

    @property
    def says(self) -> tuple[str, ...]:
        """Answer texts in order."""
        return tuple(label.say for label in self.labels.values())

    def candidates(self, example: Example) -> tuple[str, ...]:
        return self.says

    def unknown(self, name: str) -> DataError:
        """The fault of a label that is not in the task."""
        message = f"label {name!r} is not in the task; {nearest(name, self.labels)}"
        return DataError("data.unknown_label", message, cure="add it under task.labels or correct the row")


class Classify(Labelled):
    """One of a fixed set of labels."""

    kind: Literal["classify"] = "classify"
    metrics: tuple[str, ...] = ("macro_f1", "accuracy")

    def answer(self, example: Example) -> int:
        if example.target is None:
            raise DataError("data.no_target", f"the row has no {self.target!r}").at(example.source or example.id)
        name = str(example.target)
        if name not in self.labels:
            raise self.unknown(name).at(example.source or example.id)
        return self.names.index(name)

    def reference(self, example: Example) -> str:
        return self.names[self.answer(example)]

    def decode(self, scores: Sequence[float], example: Example) -> str:
        return self.names[max(range(len(scores)), key=lambda i: scores[i])]


class Choose(Task):
    """One of the candidates in the row; the target is the right one's index (from 0) or its text."""

    forms: ClassVar[tuple[str, ...]] = ("words",)

    kind: Literal["choose"] = "choose"
    candidates_from: str | tuple[str, ...] = Field(
        "candidates", alias="candidates", description="list column, or columns"
    )
    metrics: tuple[str, ...] = ("accuracy",)

    def candidates(self, example: Example) -> tuple[str, ...]:
        found = example.candidates
        if found is None or len(found) < 2:
            came = "none" if found is None else str(len(found))
            raise DataError("data.no_candidates", f"the row has {came} candidates, a choice needs two").at(
                example.source or example.id
            )
        return found

    def answer(self, example: Example) -> int:
        if example.target is None:
            raise DataError("data.no_target", f"the row has no {self.target!r}").at(example.source or example.id)
        candidates = self.candidates(example)
        name = str(example.target)
        if name in candidates:
            return candidates.index(name)
        if name.isdigit() and int(name) < len(candidates):
            return int(name)
        raise DataError(
            "data.unknown_label",
            f"target {name!r} is neither one of the row's {len(candidates)} candidates nor an index below it",
        ).at(example.source or example.id)

    def reference(self, example: Example) -> str:
        return self.candidates(example)[self.answer(example)]

    def decode(self, scores: Sequence[float], example: Example) -> str:
        return self.candidates(example)[max(range(len(scores)), key=lambda i: scores[i])]
