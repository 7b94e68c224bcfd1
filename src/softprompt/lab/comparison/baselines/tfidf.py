"""TF-IDF of words and of parts of words, and logistic regression: the baseline that needs no model.

It sees the fields that the prompt's template reads, learns from the same training rows, and chooses its strength of
regularisation on the same validation rows. Knows no prompts and no models; counts enter as 1 + log(count) (sublinear
scaling: Manning, Raghavan & Schütze, Introduction to Information Retrieval, 2008, 6.4.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from softprompt.core.errors import DataError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison.baselines.classifier import describe, fit_classifier
from softprompt.lab.comparison.baselines.logistic import NUMBER_BYTES, Logistic, Matrix
from softprompt.lab.comparison.baselines.one_vs_rest import OneVsRest
from softprompt.lab.comparison.contenders import Fitted, label_predictions
from softprompt.lab.comparison.scikit_learn import sklearn
from softprompt.model.prediction import Prediction

__all__ = ["TfidfLogistic"]


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
        classifier, settled = fit_classifier(
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
        return describe(self.classifier, self.contender.offsets)

    def predict(self, examples: Sequence[Example]) -> list[Prediction]:
        assert self.classifier is not None
        if not examples:
            return []
        return label_predictions(self.classifier.probabilities(self.features(examples)), examples, self.task)


def _has_word(text: str) -> bool:
    return any(c.isalnum() or c == "_" for c in text)
