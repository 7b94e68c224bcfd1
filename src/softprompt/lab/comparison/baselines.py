"""Baselines that learn without a prompt and without a model: the most frequent answer, words and their parts.

Each sees the fields that the prompt's template reads, learns from the same training rows, and chooses its variants on
the same validation rows. Knows no prompts and no models; scikit-learn stands behind ``logistic``.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from softprompt.core.errors import DataError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison.classifying import classified, said_of
from softprompt.lab.comparison.contenders import Fitted, label_predictions
from softprompt.lab.comparison.logistic import NUMBER_BYTES, Logistic, Matrix, sklearn
from softprompt.lab.comparison.one_vs_rest import OneVsRest
from softprompt.model.prediction import Prediction, candidate_names

__all__ = ["Majority", "TfidfLogistic"]


@dataclass(frozen=True)
class Majority:
    """Always the most frequent answer of the training rows, with their shares as probabilities.

    *choose*: the most frequent place among the candidates; *generate*: the most frequent reference; *multilabel*: the
    labels' shares, and the labels that are best given to every row; *score*: the median.

    >>> rows = Dataset(tuple(Example({"text": "hi"}, target=label) for label in ("no", "no", "yes")))
    >>> fitted = Majority().fit(rows, None, Task.classify(["yes", "no"]))
    >>> [(one.text, round(one.confidence, 2)) for one in fitted.predict(rows[:1])]
    [('no', 0.67)]
    """

    name: str = "majority"

    def supports(self, task: Task) -> bool:
        return True

    def fit(self, train: Dataset, validation: Dataset | None, task: Task, *, seed: int = 0) -> Fitted:
        answers = [task.answer(example) for example in train]
        counted = [answer for answer in answers if not isinstance(answer, tuple)]
        if counted:
            return _FittedMajority(task, Counter(counted))
        usual = task.usual(train.rows)
        return _FittedUsual(task.settled([usual] * len(train), train.rows), usual)


@dataclass(frozen=True)
class _FittedMajority:
    task: Task
    counts: Counter[int | str]
    num_trained: int = 0
    num_bytes: int = 0
    note: str = ""

    def predict(self, examples: Sequence[Example]) -> list[Prediction]:
        return [self._one(example) for example in examples]

    def _one(self, example: Example) -> Prediction:
        names = candidate_names(self.task, example)
        if not names:
            text, count = self.counts.most_common(1)[0]
            return Prediction(example.id, str(text), None, count / self.counts.total())
        counts = np.array([self.counts[i] for i in range(len(names))], dtype=np.float64)
        p = (counts / counts.sum() if counts.sum() else np.full(len(names), 1 / len(names))).tolist()
        return Prediction(example.id, self.task.decode(p, example), dict(zip(names, p, strict=True)), max(p))


@dataclass(frozen=True)
class _FittedUsual:
    """The same probabilities for every row."""

    task: Task
    probabilities: tuple[float, ...]
    num_trained: int = 0
    num_bytes: int = 0

    @property
    def note(self) -> str:
        said = self.task.decode(self.probabilities, Example({}))
        return f"always {', '.join(said) if isinstance(said, tuple) else f'{said:g}'}"

    def predict(self, examples: Sequence[Example]) -> list[Prediction]:
        return label_predictions(np.array([self.probabilities] * len(examples)), examples, self.task)


@dataclass(frozen=True)
class TfidfLogistic:
    """TF-IDF of words (1-2) and of parts of words (2-5 letters), logistic regression.

    Needs no model and is hard to beat where single words decide. C is chosen (see ``logistic``). Of several labels each
    is told from the rest; a number is the expected value over the anchors of its scale.

    Attributes:
        fields: What it reads: the fields of the prompt's template.
        strengths: Values of C.
        offsets: Added to the logarithms of the labels' probabilities: what corrects a prompt for the labels' shares
            has to correct what stands beside it, or macro-F1 compares corrections.
    """

    fields: tuple[str, ...] = ("text",)
    strengths: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)
    offsets: tuple[float, ...] = ()
    name: str = "TF-IDF + logistic regression"

    def supports(self, task: Task) -> bool:
        return task.fixed_candidates

    def fit(self, train: Dataset, validation: Dataset | None, task: Task, *, seed: int = 0) -> Fitted:
        """Raises ``extra.missing``, ``data.one_label``, and ``data.no_text`` when no row has a word."""
        train.require_two_labels()
        vectorisers = self._vectorisers([self._text(example) for example in train])
        fitted = _FittedText(self, task, tuple(vectorisers))
        held_out = ({"words": fitted.features(validation)}, validation) if validation else None
        classifier, settled = classified(
            {"words": fitted.features(train)},
            train,
            held_out,
            task,
            strengths=self.strengths,
            offsets=self.offsets,
            seed=seed,
        )
        return replace(fitted, classifier=classifier, task=settled)

    def _text(self, example: Example) -> str:
        return "\n".join(example.fields.get(name, "") for name in self.fields)

    def _vectorisers(self, texts: Sequence[str]) -> list[Any]:
        text = sklearn("feature_extraction.text", purpose=self.name)
        both = (
            text.TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b"),
            text.TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
        )
        # texts of punctuation alone have no words; white space alone has no parts either
        there = (any(map(_has_word, texts)), any(map(str.strip, texts)))
        used = [one for one, has in zip(both, there, strict=True) if has]
        if not used:
            raise DataError("data.no_text", f"no training row has text in {', '.join(self.fields)}")
        return [one.fit(texts) for one in used]


@dataclass(frozen=True)
class _FittedText:
    contender: TfidfLogistic
    task: Task
    vectorisers: tuple[Any, ...]
    classifier: Logistic | OneVsRest | None = None

    def features(self, examples: Sequence[Example]) -> Matrix:
        import scipy.sparse

        texts = [self.contender._text(example) for example in examples]
        return scipy.sparse.csr_array(scipy.sparse.hstack([one.transform(texts) for one in self.vectorisers]))

    @property
    def num_trained(self) -> int:
        assert self.classifier is not None
        return self.classifier.num_trained

    @property
    def num_bytes(self) -> int:
        """Weights, document frequencies and the vocabulary itself."""
        words = [word for one in self.vectorisers for word in one.vocabulary_]
        return NUMBER_BYTES * (self.num_trained + len(words)) + sum(len(word.encode()) for word in words)

    @property
    def note(self) -> str:
        assert self.classifier is not None
        return said_of(self.classifier, self.contender.offsets)

    def predict(self, examples: Sequence[Example]) -> list[Prediction]:
        assert self.classifier is not None
        if not examples:
            return []
        return label_predictions(self.classifier.probabilities(self.features(examples)), examples, self.task)


def _has_word(text: str) -> bool:
    return any(c.isalnum() or c == "_" for c in text)
