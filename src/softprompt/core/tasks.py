"""What is asked of the model: kind, candidate answers, target, decoding, metrics.

A protocol rather than an enumeration: whatever has these members can be tuned, judged and served. The three that stand
here cover labels for a text (*classify*), candidates that stand in the row (*choose*) and free text (*generate*).

Knows nothing of tokens, templates or models.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from softprompt.core.config import Settings
from softprompt.core.errors import DataError, nearest
from softprompt.core.records import Example

__all__ = ["AnyTask", "Choose", "Classify", "Generate", "Label", "Task", "parse_task"]


class Label(Settings):
    """One label: its name in the data is the key; ``say`` is the text that stands for it in the answer.

    >>> Label.parse({"say": "billing", "from": ["Biling"]}).spellings
    ('Biling',)
    """

    say: str = Field(min_length=1, description="text of the answer")
    spellings: tuple[str, ...] = Field((), alias="from", description="other spellings in the data that mean it")

    @model_serializer(mode="wrap")
    def _without_nothing(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Most labels are spelt in one way, and manifests are read by people."""
        return {key: value for key, value in dump(self).items() if value or key not in {"from", "spellings"}}


def _label(name: str, given: Any) -> Any:
    """A label as one may write it: the text of the answer, or its parts, of which the name stands in for the text."""
    if given is None or isinstance(given, str):
        return {"say": name if given is None else given}
    return {"say": name, **given} if isinstance(given, Mapping) else given


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
    def classify(labels: Sequence[str] | Mapping[str, Any], *, target: str = "label", **settings: Any) -> "Classify":
        """A label for a text.

        Args:
            labels: Names, or name -> text of the answer, or name -> ``{"say": text, "from": [other spellings]}``, of
                which either may be left out.
            target: Column of the label.

        >>> Task.classify({"BILLING_01": "billing", "DELIVERY_02": {"say": "delivery"}}).says
        ('billing', 'delivery')
        """
        return Classify.parse({"labels": labels, "target": target, **settings})

    @staticmethod
    def choose(candidates: str | Sequence[str] = "candidates", *, target: str = "label", **settings: Any) -> "Choose":
        """One of the candidates that stand in the row: in one list column, or in several columns."""
        return Choose.parse({"candidates": candidates, "target": target, **settings})

    @staticmethod
    def generate(*, target: str = "target", **settings: Any) -> "Generate":
        """Free text: a summary, a translation, an answer, a reply, code."""
        return Generate.parse({"target": target, **settings})


class Classify(Task):
    """One of a fixed set of labels."""

    fixed_candidates: ClassVar[bool] = True

    kind: Literal["classify"] = "classify"
    labels: dict[str, Label] = Field(description="label name -> text of the answer")
    metrics: tuple[str, ...] = ("macro_f1", "accuracy")

    @field_validator("labels", mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(name): _label(str(name), given) for name, given in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, str):
            names = [str(name) for name in value]
            if len(set(names)) < len(names):
                raise ValueError("a label stands twice")
            return {name: {"say": name} for name in names}
        return value

    @model_validator(mode="after")
    def _distinct(self) -> "Classify":
        if len(self.labels) < 2:
            raise ValueError("a classify task needs at least two labels")
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

    def answer(self, example: Example) -> int:
        if example.target is None:
            raise DataError("data.no_target", f"the row has no {self.target!r}").at(example.source or example.id)
        name = str(example.target)
        if name not in self.labels:
            raise DataError(
                "data.unknown_label",
                f"label {name!r} is not in the task; {nearest(name, self.labels)}",
                cure="add it under task.labels or correct the row",
            ).at(example.source or example.id)
        return self.names.index(name)

    def reference(self, example: Example) -> str:
        return self.names[self.answer(example)]

    def decode(self, scores: Sequence[float], example: Example) -> str:
        return self.names[max(range(len(scores)), key=lambda i: scores[i])]


class Choose(Task):
    """One of the candidates in the row; the target is the right one's index (from 0) or its text."""

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


class Generate(Task):
    """Free text; several references a row are allowed (a list in the data), the first is learnt."""

    kind: Literal["generate"] = "generate"
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

    def decode(self, scores: Sequence[float], example: Example) -> str:
        raise TypeError("free text is generated, not decoded from scores")


AnyTask = Annotated[Classify | Choose | Generate, Field(discriminator="kind")]


def parse_task(data: Mapping[str, Any]) -> Task:
    """A task from plain data (YAML, a manifest); ``kind`` decides which.

    Raises:
        ConfigError: ``config.invalid``, ``config.unknown_key``.

    >>> parse_task({"kind": "classify", "labels": ["yes", "no"]}).target
    'label'
    """

    class Holder(Settings):
        task: AnyTask

    return Holder.parse({"task": dict(data)}).task
