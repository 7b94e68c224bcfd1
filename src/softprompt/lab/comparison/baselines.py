"""Baselines that learn without a prompt: the most frequent answer, words and their parts, the frozen model's states.

Each sees the fields that the prompt's template reads, learns from the same training rows, and chooses its variants on
the same validation rows. Knows no prompts; scikit-learn stands behind ``logistic``.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from softprompt.core.errors import DataError
from softprompt.core.records import Batch, Example, Node, Readout, Row, Text
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison.contenders import Fitted, label_predictions
from softprompt.lab.comparison.logistic import Logistic, Matrix, fit_logistic, sklearn
from softprompt.lab.comparison.one_vs_rest import OneVsRest, fit_one_vs_rest
from softprompt.model.backbones.base import Backbone
from softprompt.model.prediction import Prediction, candidate_names
from softprompt.model.prompted import token_batches
from softprompt.model.templates import RowBuilder, Template

__all__ = ["LinearProbe", "Majority", "TfidfLogistic"]

_BYTES = 8  # a stored number
_MEAN_OVER = 64  # tokens of a text whose states are averaged, evenly spaced


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
        classifier, settled = _classified(
            {"words": fitted.features(train)}, train, held_out, task, strengths=self.strengths, seed=seed
        )
        if isinstance(classifier, Logistic):
            classifier = classifier.corrected(self.offsets)
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
        return _BYTES * (self.num_trained + len(words)) + sum(len(word.encode()) for word in words)

    @property
    def note(self) -> str:
        assert self.classifier is not None
        corrected = ", corrected for the labels' shares as the prompt is" if self.contender.offsets else ""
        return f"C = {self.classifier.strength:g}{corrected}"

    def predict(self, examples: Sequence[Example]) -> list[Prediction]:
        assert self.classifier is not None
        if not examples:
            return []
        return label_predictions(self.classifier.probabilities(self.features(examples)), examples, self.task)


@dataclass(frozen=True)
class LinearProbe:
    """Logistic regression on states of the frozen model: what a prompt could at most pick up linearly.

    The states are those that the output layer gets: after the last token before the answer, the mean over the tokens of
    the fields, or both, whichever does best, with C, on rows that were not learnt from. Standardised.

    Attributes:
        backbone: The frozen model.
        template: Soft slots are left out of it.
        max_tokens: Longest row; None: the model's context.
        strengths: Values of C.
        batch_tokens: Padded tokens a batch at most.
    """

    backbone: Backbone
    template: Template
    max_tokens: int | None = None
    strengths: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    batch_tokens: int = 4096
    name: str = "linear probe"

    def supports(self, task: Task) -> bool:
        return task.fixed_candidates

    def fit(self, train: Dataset, validation: Dataset | None, task: Task, *, seed: int = 0) -> Fitted:
        """Raises ``extra.missing``, ``data.one_label`` and what building a row raises."""
        train.require_two_labels()
        raw = self.states(train, task)
        scales = {variant: (x.mean(0), np.maximum(x.std(0), 1e-6)) for variant, x in raw.items()}
        held_out = (_scaled(self.states(validation, task), scales), validation) if validation else None
        classifier, settled = _classified(
            _scaled(raw, scales), train, held_out, task, strengths=self.strengths, seed=seed
        )
        return _FittedProbe(self, settled, scales, classifier)

    def states(self, examples: Sequence[Example], task: Task) -> dict[str, Float[np.ndarray, "n d"]]:
        """The frozen model's states by variant: ``last`` and ``mean`` [n, H], ``both`` [n, 2 H]."""
        longest = self.max_tokens or self.backbone.spec.max_positions
        template = self.template.without_slots()
        builder = RowBuilder(template, task, self.backbone.tokenizer, max_tokens=longest, answers="vectors")
        rows = [_read_out(builder.row(example, target=False)) for example in examples]
        last = np.zeros((len(rows), self.backbone.spec.head_dim))
        mean = np.zeros_like(last)
        with torch.no_grad():
            for indices in token_batches(rows, self.batch_tokens):
                found = self.backbone.forward(Batch(tuple(rows[i] for i in indices))).readouts
                for prompt, out in ((0, last), (1, mean)):
                    if prompt in found:
                        at = np.array(indices)[found[prompt].rows.cpu().numpy()]
                        np.add.at(out, at, found[prompt].values.double().cpu().numpy())
        counts = np.array([sum(isinstance(n.segment, Readout) for n in row.nodes) - 1 for row in rows])
        mean = np.where(counts[:, None] > 0, mean / np.maximum(counts, 1)[:, None], last)
        return {"last": last, "mean": mean, "both": np.hstack([last, mean])}


@dataclass(frozen=True)
class _FittedProbe:
    contender: LinearProbe
    task: Task
    scales: dict[str, tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]]
    classifier: Logistic | OneVsRest

    @property
    def num_trained(self) -> int:
        return self.classifier.num_trained

    @property
    def num_bytes(self) -> int:
        """Weights; the scaling can be folded into them."""
        return _BYTES * self.num_trained

    @property
    def note(self) -> str:
        return f"states: {self.classifier.variant}, C = {self.classifier.strength:g}"

    def predict(self, examples: Sequence[Example]) -> list[Prediction]:
        features = _scaled(self.contender.states(examples, self.task), self.scales)[self.classifier.variant]
        return label_predictions(self.classifier.probabilities(features), examples, self.task)


def _classified(
    features: dict[str, Matrix],
    train: Dataset,
    validation: tuple[dict[str, Matrix], Dataset] | None,
    task: Task,
    *,
    strengths: Sequence[float],
    seed: int,
) -> tuple[Logistic | OneVsRest, Task]:
    """A classifier of the task's candidates, and the task with what is chosen on rows that were not learnt from."""
    if task.independent:
        wanted = None if validation is None else (validation[0], _shares(validation[1], task))
        found = fit_one_vs_rest(features, _shares(train, task), strengths=strengths, validation=wanted, seed=seed)
        judged = train if validation is None else validation[1]
        return found, task.settled(found.held_out.tolist(), judged.rows)
    right = None if validation is None else (validation[0], _targets(validation[1], task))
    classifier = fit_logistic(
        features,
        _targets(train, task),
        num_labels=len(candidate_names(task, train[0])),
        strengths=strengths,
        validation=right,
        seed=seed,
    )
    return classifier, task


def _shares(dataset: Sequence[Example], task: Task) -> Float[np.ndarray, "n C"]:
    """What each candidate ought to get, by row."""
    return np.array([task.answer(example) for example in dataset], dtype=np.float64)


def _targets(dataset: Sequence[Example], task: Task) -> Int[np.ndarray, " n"]:
    """Index of the right candidate, of the one that ought to get most, by row."""
    answers = [task.answer(example) for example in dataset]
    return np.array([np.argmax(one) if isinstance(one, tuple) else one for one in answers], dtype=np.int64)


def _has_word(text: str) -> bool:
    return any(c.isalnum() or c == "_" for c in text)


def _scaled(
    states: dict[str, Float[np.ndarray, "n d"]],
    scales: dict[str, tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]],
) -> dict[str, Float[np.ndarray, "n d"]]:
    return {variant: (x - scales[variant][0]) / scales[variant][1] for variant, x in states.items()}


def _read_out(row: Row) -> Row:
    """The chain with readouts of prompt 1 after evenly spaced tokens of the fields; prompt 0 reads at the end."""
    chain = [node.segment for node in row.nodes if isinstance(node.segment, Text)]
    total = sum(len(segment) for segment in chain if segment.field is not None)
    wanted = {round((k + 1) * total / min(total, _MEAN_OVER)) for k in range(min(total, _MEAN_OVER))}
    nodes: list[Node] = []
    last: int | None = None
    seen = 0
    for segment in chain:
        start = 0
        for at in range(1, len(segment) + 1):
            seen += segment.field is not None
            reads = segment.field is not None and seen in wanted
            if reads or at == len(segment):
                nodes.append(Node(Text(segment.ids[start:at], segment.field), last))
                last, start = len(nodes) - 1, at
            if reads:
                nodes.append(Node(Readout(1), last))
    nodes.append(Node(Readout(0), last))
    return Row(tuple(nodes))
