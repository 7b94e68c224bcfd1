"""Few-shot text prompts whose demonstrations are the training rows nearest to each request.

Nearest by the cosine of TF-IDF vectors of words and parts of words (Liu et al., DeeLIO 2022, 100-114, with vectors that
need no further model). The demonstrations enter the template as a text of their own before everything else, so all
requests of a batch are read together. Contextual calibration is that of each request: the same demonstrations before
one input without content. Other text prompts take three such inputs, once; here each would be read for every request.

Knows templates and models; nothing is trained.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from softprompt.core.answers import CONTENT_FREE, AnswerSettings
from softprompt.core.errors import TemplateError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison.contenders import Fitted
from softprompt.lab.comparison.prompting.demonstrations import demonstration, num_demonstrations, room_for
from softprompt.lab.comparison.prompting.text_prompts import in_words
from softprompt.lab.comparison.scikit_learn import sklearn
from softprompt.model.backbones.base import Backbone
from softprompt.model.prediction import Ask, Prediction, Predictor
from softprompt.model.templates import RowBuilder, Template
from softprompt.model.templates.grammar import parse
from softprompt.model.templates.parts import Bos, Part, unparse

__all__ = ["Nearest", "SimilarShots"]

#: Below it a probability is rounding.
_TINY = 1e-12


class Nearest:
    """The training rows nearest to a text.

    Args:
        train: To choose from.
        fields: That count.

    Raises:
        ExtraError: ``extra.missing`` without scikit-learn.

    >>> rows = Dataset(tuple(Example({"text": text}, "a") for text in ("late parcel", "wrong bill", "parcel lost")))
    >>> Nearest(rows, fields=("text",))([Example({"text": "my bill"})], count=1)
    [[1]]
    """

    def __init__(self, train: Dataset, *, fields: Sequence[str]) -> None:
        text = sklearn("feature_extraction.text", purpose="few-shot by similarity")
        self.fields = tuple(fields)
        self._vectors: Any = text.TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
        texts = [self._text(row) for row in train]
        self._empty = not any(map(str.strip, texts))
        self._train: Any = None if self._empty else self._vectors.fit_transform(texts)
        self._count = len(texts)

    def __call__(self, examples: Sequence[Example], *, count: int) -> list[list[int]]:
        """Places of the nearest rows by example, the nearest first; equal ones in the order of the rows."""
        if self._empty:
            return [list(range(min(count, self._count))) for _ in examples]
        near = (self._vectors.transform([self._text(one) for one in examples]) @ self._train.T).toarray()
        return [np.argsort(-row, kind="stable")[:count].tolist() for row in near]

    def _text(self, example: Example) -> str:
        return "\n".join(example.fields.get(name, "") for name in self.fields)


@dataclass(frozen=True)
class SimilarShots:
    """The nearest answered training rows before the question, the nearest last, in several orders.

    Attributes:
        backbone: The frozen model.
        template: Soft slots are left out of it.
        shots: Demonstrations a label; without fixed labels in all.
        orders: The nearest last, and further orders by chance, whose probabilities are averaged.
        max_tokens: Longest row, demonstrations included; the model's context at most.
        calibrate: Divide out what the model would answer to an input without content.
        batch_tokens: Padded tokens a batch at most.
    """

    backbone: Backbone
    template: Template
    shots: int = 4
    orders: int = 1
    max_tokens: int = 1024
    calibrate: bool = True
    batch_tokens: int = 8192
    name: str = "few-shot text prompt, similar"

    def supports(self, task: Task) -> bool:
        return "words" in task.forms and self.template.turns is None and not task.independent

    def fit(self, train: Dataset, validation: Dataset | None, task: Task, *, seed: int = 0) -> Fitted:
        """Raises ``extra.missing``, and what building a row of the training data raises."""
        plain = in_words(self.template, task)
        shown = _name_beside(plain.fields)
        with_shots = _behind(plain, shown)
        longest = min(self.max_tokens, self.backbone.spec.max_positions)
        return _FittedSimilar(
            contender=self,
            task=task,
            builder=RowBuilder(with_shots, task, self.backbone.tokenizer, max_tokens=longest),
            shown=shown,
            nearest=Nearest(train, fields=plain.fields),
            said=tuple(demonstration(plain, one, task) for one in train),
            count=num_demonstrations(task, self.shots),
            room=room_for(RowBuilder(plain, task, self.backbone.tokenizer, max_tokens=longest), train),
            seed=seed,
            orders=1 if task.candidates(train[0]) is None else self.orders,
        )


@dataclass(frozen=True, kw_only=True)
class _FittedSimilar:
    contender: SimilarShots
    task: Task
    builder: RowBuilder
    shown: str
    nearest: Nearest
    said: tuple[str, ...]
    count: int
    room: int
    seed: int
    orders: int
    num_trained: int = 0
    num_bytes: int = 0
    costs: dict[str, int] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """How many are shown, and how they are read."""
        return f"up to {self.count} nearest rows" + (f", {self.orders} orders averaged" if self.orders > 1 else "")

    def num_tokens(self, example: Example) -> int:
        """Tokens of one request, all orders."""
        (rows,) = self._chosen([example])
        return self.orders * self.builder.lengths(self._asked(example, rows)).total

    def predict(self, examples: Sequence[Example]) -> list[Prediction]:
        if not examples:
            return []
        chosen = self._chosen(examples)
        rounds = []
        for order in range(self.orders):
            asked = [
                self._asked(one, self._ordered(rows, order, one)) for one, rows in zip(examples, chosen, strict=True)
            ]
            rounds.append(self._said(asked))
        if rounds[0][0].probabilities is None:
            return rounds[0]
        return [self._mean(row, one) for row, one in zip(zip(*rounds, strict=True), examples, strict=True)]

    def _chosen(self, examples: Sequence[Example]) -> list[list[int]]:
        """By example the nearest rows that fit into the room, the nearest first."""
        found = []
        for near in self.nearest(examples, count=2 * self.count):
            room, kept = self.room, list[int]()
            for i in near:
                cost = self._cost(self.said[i])
                if cost <= room and len(kept) < self.count:
                    kept.append(i)
                    room -= cost
            found.append(kept)
        return found

    def _cost(self, text: str) -> int:
        if text not in self.costs:
            self.costs[text] = len(self.contender.backbone.tokenizer.encode(text))
        return self.costs[text]

    def _ordered(self, rows: Sequence[int], order: int, example: Example) -> list[int]:
        """The nearest last, or in an order by chance, the same in every process."""
        if not order:
            return list(reversed(rows))
        return random.Random(f"{self.seed} {order} {example.content}").sample(list(rows), len(rows))

    def _asked(self, example: Example, rows: Sequence[int]) -> Example:
        text = "".join(self.said[i] for i in rows)
        return Example({**example.fields, self.shown: text}, id=example.id, candidates=example.candidates)

    def _said(self, asked: Sequence[Example]) -> list[Prediction]:
        plain = AnswerSettings(form="words")
        predictor = Predictor(
            self.contender.backbone, [Ask(self.builder, answers=plain)], batch_tokens=self.contender.batch_tokens
        )
        said = [one for (one,) in predictor.predict(asked)]
        if not self.contender.calibrate or said[0].probabilities is None:
            return said
        blank = [self._blank(one) for one in asked]
        anyway = _values([one for (one,) in predictor.predict(blank)])
        divided = _values(said) / np.maximum(anyway, _TINY)
        divided /= divided.sum(axis=1, keepdims=True)
        return [self._with(one, p.tolist(), row) for one, p, row in zip(said, divided, asked, strict=True)]

    def _blank(self, asked: Example) -> Example:
        """The same request about nothing."""
        shown = {self.shown: asked.fields[self.shown]}
        return Example(
            {**dict.fromkeys(asked.fields, CONTENT_FREE[0]), **shown}, id=asked.id, candidates=asked.candidates
        )

    def _mean(self, row: Sequence[Prediction], example: Example) -> Prediction:
        return self._with(row[0], _values(row).mean(axis=0).tolist(), example)

    def _with(self, one: Prediction, p: list[float], example: Example) -> Prediction:
        named = dict(zip(one.probabilities or {}, p, strict=True))
        text, confidence = self.task.decode(p, example), self.task.confidence(p)
        return replace(one, text=text, probabilities=named, confidence=confidence)


def _values(said: Sequence[Prediction]) -> np.ndarray:
    """Probabilities [n, C]."""
    return np.array([list((one.probabilities or {}).values()) for one in said], dtype=np.float64)


def _name_beside(fields: Sequence[str]) -> str:
    """A name for the demonstrations that no field has.

    >>> _name_beside(("text", "demonstrations"))
    'demonstrations_'
    """
    name = "demonstrations"
    while name in fields:
        name += "_"
    return name


def _behind(template: Template, name: str) -> Template:
    """The template behind a field of demonstrations; where a row is too long, they are cut first."""
    if template.turns is not None:
        raise TemplateError("template.invalid", "turns in a chat format have no place for demonstrations by request")
    first: list[Part] = [part for part in template.parts if isinstance(part, Bos)]
    rest = [part for part in template.parts if not isinstance(part, Bos)]
    parts = parse(f"{unparse(first) if first else ''}{{{name}}}{unparse(rest)}")
    order = template.truncate if template.truncate is not None else template.fields
    return Template(parts, (name, *order), {**template.keep, name: "tail"}, False, windows=template.windows)
