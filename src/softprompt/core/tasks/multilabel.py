"""None, one or several labels for a text (*multilabel*): a yes or no for each, over one reading.

How a row says which labels it has is a setting, never a guess:

``cell``     the target's cell names them: a list, a list in JSON or Python as text, or names parted by ``separator``
``flags``    the target's cell is a list of 0 and 1, one for each label in the order of ``labels``
``columns``  each label has a column of its name that says yes or no; the target is no column

An empty cell is a row with none of the labels; a row without the cell has no answer.
"""

import ast
import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from softprompt.core.errors import DataError
from softprompt.core.records import Example
from softprompt.core.tasks.labels import Labelled
from softprompt.core.thresholds import choose_thresholds

__all__ = ["Multilabel", "names_in"]

#: What stands between labels in the wild, for advice.
SEPARATORS = (";", "|", ",", "/")

YES = frozenset({"1", "1.0", "true", "yes", "y", "x"})
NO = frozenset({"0", "0.0", "false", "no", "n", ""})


def names_in(value: Any, *, separator: str | None = None) -> tuple[str, ...]:
    """The names that a cell holds, each once, in its order.

    >>> names_in("late; billing;", separator=";"), names_in("['late', 'billing']"), names_in(None), names_in("a;b")
    (('late', 'billing'), ('late', 'billing'), (), ('a;b',))
    """
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("[") and text.endswith("]"):
            value = _list_in(text)
        else:
            value = text.split(separator) if separator else [text]
    elif not isinstance(value, (list, tuple)):
        value = [] if value is None else [value]
    names = (_text(part) for part in value)
    return tuple(dict.fromkeys(name for name in names if name))


class Multilabel(Labelled):
    """None, one or several of a fixed set of labels.

    Attributes:
        written: How a row says which labels it has.
        separator: What stands between names in a cell of text; None: such a cell holds one name.
        affirm: What says in words that a label is given, behind its text and a colon.
        deny: What says that it is not.
        thresholds: Probability from which on each label is given, in their order; chosen on rows that were not learnt
            from where there are none.
    """

    one_right: ClassVar[bool] = False
    independent: ClassVar[bool] = True
    objective: ClassVar[str] = "labels"
    kind: Literal["multilabel"] = "multilabel"
    target: str = Field("labels", description="column of the labels")
    written: Literal["cell", "flags", "columns"] = Field(
        "cell", description="cell names them, flags is a list of 0 and 1, columns are one of yes and no a label"
    )
    separator: str | None = Field(None, min_length=1, description="between names in a cell of text")
    affirm: str = Field("yes", min_length=1, description="answers in words: a label is given, as in 'billing: yes'")
    deny: str = Field("no", min_length=1, description="answers in words: a label is not given")
    thresholds: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        (), description="probability from which on each label is given; without them chosen on validation rows"
    )
    metrics: tuple[str, ...] = ("macro_f1", "micro_f1", "subset_accuracy", "hamming_loss")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.thresholds and len(self.thresholds) != len(self.labels):
            raise ValueError(f"{len(self.thresholds)} thresholds for {len(self.labels)} labels")
        if self.separator is not None and self.written != "cell":
            raise ValueError(f"separator is for cells that name labels, not for written: {self.written}")
        if self.affirm == self.deny:
            raise ValueError(f"affirm and deny are both {self.affirm!r}")
        return self

    @property
    def target_columns(self) -> tuple[str, ...]:
        """The target's column, or one a label."""
        return self.names if self.written == "columns" else (self.target,)

    @property
    def yes_and_no(self) -> tuple[str, ...]:
        """What is scored in words: the label's text cancels in yes less no, so no label gains by its own likelihood.

        >>> from softprompt.core.tasks import Task
        >>> Task.multilabel(["late", "billing"]).yes_and_no
        ('late: yes', 'late: no', 'billing: yes', 'billing: no')
        """
        return tuple(f"{say}: {word}" for say in self.says for word in (self.affirm, self.deny))

    @property
    def choices(self) -> str:
        """The thresholds."""
        bars = ", ".join(f"{name} {bar:.2f}" for name, bar in zip(self.names, self.thresholds, strict=False))
        return f"labels are given from these probabilities on: {bars}" if bars else ""

    @property
    def settles(self) -> bool:
        """Thresholds are chosen where none are given."""
        return not self.thresholds

    def read(self, value: Any) -> tuple[str, ...]:
        """The labels of a row, in the order of the task.

        Raises:
            DataError: ``data.unknown_label``, ``data.bad_value``.

        >>> from softprompt.core.tasks import Task
        >>> Task.multilabel(["late", "billing"], written="flags").read([0.0, 1.0])
        ('billing',)
        >>> Task.multilabel(["late", "billing"], written="columns").read({"late": "yes", "billing": ""})
        ('late',)
        """
        if self.written == "columns":
            cells = value if isinstance(value, Mapping) else {}
            return tuple(name for name in self.names if _yes(cells.get(name), f"the column {name!r}"))
        if self.written == "flags":
            return self._flagged(value)
        found = set()
        for name in names_in(value, separator=self.separator):
            label = self.spelt(name)
            if label not in self.labels:
                raise self._unknown_in(name)
            found.add(label)
        return tuple(name for name in self.names if name in found)

    def answer(self, example: Example) -> tuple[float, ...]:
        """1 for each label that the row has, else 0."""
        held = set(self.reference(example))
        return tuple(float(name in held) for name in self.names)

    def reference(self, example: Example) -> tuple[str, ...]:
        if example.target is None:
            raise DataError("data.no_target", f"the row has no {self.target!r}").at(example.source or example.id)
        held = (example.target,) if isinstance(example.target, str) else tuple(map(str, example.target))
        if strange := next((name for name in held if name not in self.labels), None):
            raise self.unknown(strange).at(example.source or example.id)
        return tuple(name for name in self.names if name in held)

    def decode(self, scores: Sequence[float], example: Example) -> tuple[str, ...]:
        bars = self.thresholds or (0.5,) * len(self.labels)
        return tuple(name for name, p, bar in zip(self.names, scores, bars, strict=True) if p >= bar)

    def confidence(self, probabilities: Sequence[float]) -> float:
        """Probability that every label is decided rightly, the decisions taken as independent."""
        given = self.decode(probabilities, Example({}))
        return math.prod(p if name in given else 1 - p for name, p in zip(self.names, probabilities, strict=True))

    def held(self, answer: Any) -> tuple[str, ...]:
        return tuple(answer or ())

    def settled(self, probabilities: Sequence[Sequence[float]], examples: Sequence[Example]) -> "Multilabel":
        """The task with the thresholds that are best on these rows, where none are given."""
        if not self.settles:
            return self
        right = np.array([self.answer(example) for example in examples], dtype=bool)
        found = choose_thresholds(np.asarray(probabilities, dtype=np.float64), right)
        return self.model_copy(update={"thresholds": found})

    def _flagged(self, value: Any) -> tuple[str, ...]:
        if isinstance(value, str) and value.strip().startswith("["):
            value = _list_in(value.strip())
        if not isinstance(value, (list, tuple)) or len(value) != len(self.labels):
            came = f"{len(value)} values" if isinstance(value, (list, tuple)) else f"{value!r}"
            message = f"the cell holds {came}, a list of {len(self.labels)} times 0 or 1 is needed"
            raise DataError("data.bad_value", message, cure="or set task.written to cell or columns")
        return tuple(name for name, flag in zip(self.names, value, strict=True) if _yes(flag, f"the flag of {name!r}"))

    def _unknown_in(self, name: str) -> DataError:
        fault = self.unknown(name)
        parts = ((mark, [part.strip() for part in name.split(mark)]) for mark in SEPARATORS)
        there = next((mark for mark, found in parts if len(found) > 1 and any(p in self.labels for p in found)), None)
        if there is None or self.separator is not None:
            return fault
        # in the message: a bad row among others keeps its message alone
        advice = f"if these are several labels, set task.separator: '{there}'"
        return DataError(fault.code, f"{fault.message}; {advice}")


def _list_in(text: str) -> list[Any]:
    """A list as JSON or Python writes it (data frames write the latter into CSV files)."""
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list):
            return found
    raise DataError("data.bad_value", f"the cell holds {text[:60]!r}, which is no list", cure='write ["a", "b"]')


def _text(part: Any) -> str:
    whole = isinstance(part, float) and part.is_integer()
    return str(int(part) if whole else part).strip() if part is not None else ""


def _yes(cell: Any, what: str) -> bool:
    text = _text(cell).lower()
    if text not in YES | NO:
        message = f"{what} holds {cell!r}, yes or no is needed (1 or 0, true or false, x or nothing)"
        raise DataError("data.bad_value", message)
    return text in YES
