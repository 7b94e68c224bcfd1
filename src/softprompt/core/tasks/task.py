"""The protocol of tasks: kind, candidate answers, target, decoding, metrics.

A protocol rather than an enumeration: whatever has these members can be tuned, judged and served.

Knows nothing of tokens, templates or models.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from softprompt.core.cards import draw
from softprompt.core.cards.views import task_card
from softprompt.core.config import Settings
from softprompt.core.metrics.labels import ClassScore, class_report
from softprompt.core.records import Example
from softprompt.core.schema import Schema

if TYPE_CHECKING:
    import softprompt.core.tasks.dialogue
    import softprompt.core.tasks.extract
    import softprompt.core.tasks.labels
    import softprompt.core.tasks.multilabel
    import softprompt.core.tasks.score
    import softprompt.core.tasks.texts

__all__ = ["Task"]


class Task(Settings, ABC):
    """What is asked.

    Attributes:
        target: Column (or field) of the data that holds the right answer.
        metrics: Names of the metrics; the first decides.
        fixed_candidates: Whether the candidate answers are the same for every row.
        one_right: Whether exactly one of the candidates is right, so that their probabilities can be judged as such.
        independent: Whether each candidate is a yes or no of its own; else their probabilities sum to 1.
        objective: Name of what is minimised, see ``model/objectives.py``.
        forms: How answers can be had from a model: ``words``, ``vectors`` or both.
        named: Further columns of the data that the task reads by itself, where they are there.
    """

    fixed_candidates: ClassVar[bool] = False
    one_right: ClassVar[bool] = True
    independent: ClassVar[bool] = False
    objective: ClassVar[str] = "choice"
    forms: ClassVar[tuple[str, ...]] = ("words", "vectors")
    named: ClassVar[tuple[str, ...]] = ()

    target: str = Field("label", description="column of the right answer")
    metrics: tuple[str, ...] = Field((), description="names of metrics; the first decides")

    def _repr_html_(self) -> str:
        """The card that a notebook shows."""
        return draw(task_card(self.model_dump(mode="json", by_alias=True)))

    @property
    def names(self) -> tuple[str, ...]:
        """Label names where they are fixed, else empty."""
        return ()

    @property
    def says(self) -> tuple[str, ...]:
        """Answer texts where they are fixed, else empty."""
        return ()

    @property
    def yes_and_no(self) -> tuple[str, ...]:
        """Where candidates are independent, the texts of the yes and the no of each, in turn."""
        return ()

    @property
    def defined(self) -> bool:
        """Whether the task says what its answers mean, in :attr:`words`."""
        return False

    @property
    def words(self) -> Mapping[str, str]:
        """What templates may say of the task, by name, e.g. ``task.labels``."""
        return {}

    @property
    def answer_schema(self) -> Schema | None:
        """What written answers look like; None: any text."""
        return None

    @property
    def target_columns(self) -> tuple[str, ...]:
        """The columns that hold the answer: one, where the kind does not say otherwise."""
        return (self.target,)

    @property
    def roles(self) -> Mapping[str, str]:
        """Parts of columns that the task makes, see :meth:`unfold`."""
        return {}

    def unfold(self, values: Mapping[str, Any], *, answers: bool) -> Sequence[Mapping[str, Any]]:
        """The rows that one row of the data stands for.

        Args:
            values: Cells by column.
            answers: Whether the rows must have answers.

        Raises:
            DataError: What is wrong with the row.
        """
        return [values]

    def asked(self, text: str) -> str:
        """A plain text as the field that is read."""
        return text

    @property
    def choices(self) -> str:
        """What was settled, in words; empty where there was nothing."""
        return ""

    @property
    def settles(self) -> bool:
        """Whether something of the task is chosen on rows that were not learnt from, by :meth:`settled`."""
        return False

    @abstractmethod
    def candidates(self, example: Example) -> tuple[str, ...] | None:
        """Texts of the candidate answers, None for free text."""

    @abstractmethod
    def answer(self, example: Example) -> int | str | tuple[float, ...]:
        """Index of the right candidate, the reference text to learn, or what each candidate ought to get.

        Raises:
            DataError: ``data.unknown_label``, ``data.no_target``.
        """

    def spelt(self, name: str) -> str:
        """The answer that is written ``name`` in the data; ``name`` itself where nothing else is known of it."""
        return name

    def read(self, value: Any) -> Any:
        """The answer that a cell of the data holds, where it is more than a text; None: it is a text like any other.

        Args:
            value: What came, None for nothing; cells by column where :attr:`target_columns` are several.

        Raises:
            DataError: What is wrong with it.
        """
        return None

    @abstractmethod
    def reference(self, example: Example) -> Any:
        """What metrics compare a prediction with."""

    @abstractmethod
    def decode(self, scores: Sequence[float], example: Example) -> Any:
        """The prediction as users see it, from the probability of each candidate."""

    def written_as(self, text: str) -> Any:
        """The prediction as users see it, from the text that was written."""
        return text

    def confidence(self, probabilities: Sequence[float]) -> float:
        """Probability that what :meth:`decode` makes of the candidates' probabilities is right."""
        return max(probabilities)

    def right(self, answer: Any, reference: Any) -> bool:
        """Whether an answer is right."""
        return bool(answer == reference)

    def report(
        self,
        answers: Sequence[Any],
        references: Sequence[Any],
        *,
        level: float,
        groups: Sequence[Hashable] | None = None,
    ) -> tuple[ClassScore, ...]:
        """Recall and precision by label, or by field; empty where there is neither.

        Args:
            answers: One an item, None where it was withheld.
            references: One an item.
            level: Of the intervals.
            groups: The cluster of each item, where rows depend.
        """
        if not self.fixed_candidates:
            return ()
        held = [[self.held(one) for one in said] for said in (answers, references)]
        return class_report(*held, labels=self.names, level=level, groups=groups)

    def held(self, answer: Any) -> tuple[str, ...]:
        """The labels that an answer names; none for None (withheld)."""
        return () if answer is None else (str(answer),)

    def usual(self, examples: Sequence[Example]) -> tuple[float, ...]:
        """Probabilities that say most without reading the text, where answers are what each candidate ought to get.

        Args:
            examples: At least one row with its answer.
        """
        answers = [answer for example in examples if isinstance(answer := self.answer(example), tuple)]
        return tuple(sum(column) / len(answers) for column in zip(*answers, strict=True))

    def settled(self, probabilities: Sequence[Sequence[float]], examples: Sequence[Example]) -> "Task":
        """The task with what is chosen on rows that were not learnt from; itself where nothing is.

        Args:
            probabilities: Of the candidates, by row.
            examples: The rows, with their answers.
        """
        return self

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
    def multilabel(
        labels: Sequence[str] | Mapping[str, Any], *, target: str = "labels", **settings: Any
    ) -> "softprompt.core.tasks.multilabel.Multilabel":
        """None, one or several of a fixed set of labels.

        Args:
            labels: As for :meth:`classify`.
            target: Column of the labels.
            settings: Of :class:`Multilabel`, e.g. ``separator`` for cells like ``late; billing``.

        >>> Task.multilabel(["late", "billing"], separator=";").read("billing; late")
        ('late', 'billing')
        """
        from softprompt.core.tasks.multilabel import Multilabel

        return Multilabel.parse({"labels": labels, "target": target, **settings})

    @staticmethod
    def score(
        scale: Sequence[Any] | Mapping[Any, Any], *, target: str = "score", **settings: Any
    ) -> "softprompt.core.tasks.score.Score":
        """A number on a scale: stars, a grade, a degree.

        Args:
            scale: The numbers that have an answer of their own, number -> text of the answer, or
                ``{"from": 0, "to": 100, "anchors": 5}``.
            target: Column of the number.

        >>> Task.score([1, 2, 3, 4, 5]).decode([0.0, 0.0, 0.0, 0.5, 0.5], Example({}))
        4.5
        """
        from softprompt.core.tasks.score import Score

        return Score.parse({"scale": scale, "target": target, **settings})

    @staticmethod
    def choose(
        candidates: str | Sequence[str] = "candidates", *, target: str = "label", **settings: Any
    ) -> "softprompt.core.tasks.labels.Choose":
        """One of the candidates that stand in the row: in one list column, or in several columns."""
        from softprompt.core.tasks.labels import Choose

        return Choose.parse({"candidates": candidates, "target": target, **settings})

    @staticmethod
    def dialogue(*, target: str = "answer", **settings: Any) -> "softprompt.core.tasks.dialogue.Dialogue":
        """The assistant's next turn of a conversation (rows with ``messages``).

        >>> Task.dialogue(learn="every").roles
        {'group': 'conversation_id'}
        """
        from softprompt.core.tasks.dialogue import Dialogue

        return Dialogue.parse({"target": target, **settings})

    @staticmethod
    def generate(*, target: str = "target", **settings: Any) -> "softprompt.core.tasks.texts.Generate":
        """Free text: a summary, a translation, an answer, a reply, code."""
        from softprompt.core.tasks.texts import Generate

        return Generate.parse({"target": target, **settings})

    @staticmethod
    def extract(
        schema: Mapping[str, Any], *, target: str = "answer", **settings: Any
    ) -> "softprompt.core.tasks.extract.Extract":
        """An object whose fields stand in the text.

        Args:
            schema: JSON Schema, or in short field -> type (``string``, ``integer``, ``number``, ``boolean``, ``array``
                of strings; ``string or null``), or field -> list of its values.
            target: Column of the object, or of its JSON.
            settings: Of :class:`Extract`, e.g. ``written="columns"`` where each field has a column.

        >>> Task.extract({"who": "string", "urgency": ["low", "high"]}).answer_schema.names
        ('who', 'urgency')
        """
        from softprompt.core.tasks.extract import Extract

        return Extract.parse({"schema": schema, "target": target, **settings})
