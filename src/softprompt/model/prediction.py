"""From examples to predictions: one or several prompts over one reading of each text, as a stream.

Examples come and predictions go in the same order, a chunk at a time, so a file of any length can be answered. Within
a chunk rows are batched by length. What all rows have in common before their first field (demonstrations, a soft slot
before the text) is read once.

Knows rows, scores and decoding; no metrics and no references.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from jaxtyping import Float

from softprompt.core.answers import CONTENT_FREE, AnswerSettings, answer_probabilities, pooled
from softprompt.core.cuts import Fit
from softprompt.core.decoding import DEFAULT_LENGTH, Decoding
from softprompt.core.errors import ConfigError, DataError, TemplateError
from softprompt.core.records import Example, Row, merge
from softprompt.core.tasks import Task
from softprompt.core.tensors import PromptTensors
from softprompt.model.backbones.base import Backbone
from softprompt.model.compiled import CompiledModel
from softprompt.model.decoding import Constraint, constraint_of
from softprompt.model.ensemble import Pooling
from softprompt.model.finite import require_numbers
from softprompt.model.prompted import PromptedModel, Scores
from softprompt.model.states import StateStore
from softprompt.model.templates import RowBuilder
from softprompt.model.templates.rows import Split
from softprompt.model.variants import VariantModel

__all__ = ["Ask", "Prediction", "Predictor", "candidate_names"]


@dataclass(frozen=True)
class Ask:
    """One prompt and what it is asked.

    Attributes:
        builder: Template, task and form of the answers.
        tensors: Of the prompt; empty for a text prompt.
        answers: How scores become probabilities; its form is ``auto`` or the builder's.
        name: For people.
        strip_html: Whether it learnt from texts whose HTML was turned into plain text; who brings rows does the same.
        group: Column whose equal values made its training rows dependent; who judges it counts such rows once.
        columns: Template field -> column of its training rows, where the names differed.
        members: Of an ensemble: the prompts that are asked in its place, about the same candidates.
        pooling: How their answers become one.

    Raises:
        ConfigError: ``config.invalid`` when settings and builder disagree.
    """

    builder: RowBuilder
    tensors: PromptTensors = field(default_factory=PromptTensors)
    answers: AnswerSettings = field(default_factory=AnswerSettings)
    name: str = ""
    strip_html: bool = False
    group: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    members: tuple["Ask", ...] = ()
    pooling: Pooling | None = None

    def __post_init__(self) -> None:
        form = self.builder.answers
        if self.answers.form not in ("auto", form) or (form == "vectors" and self.answers.corrected):
            message = f"the rows are built for answers: {form}, the settings say {self.answers.model_dump()}"
            raise ConfigError("config.invalid", message, cure="build the rows with the form of the settings")

    @property
    def task(self) -> Task:
        """What is asked."""
        return self.builder.task

    @property
    def max_new_tokens(self) -> int:
        """Longest written answer in tokens."""
        return int(getattr(self.task, "max_new_tokens", DEFAULT_LENGTH))

    @property
    def way_of_writing(self) -> Decoding:
        """As the task says, which then says how long, too."""
        found: Decoding = getattr(self.task, "way_of_writing", Decoding(max_new_tokens=self.max_new_tokens))
        return found

    def answer(self, text: str, example: Example) -> str:
        """A written text without its blank: it is the template's, and stands in the answer's first token."""
        return text.removeprefix(self.builder.lead(example))

    def constraint(self, example: Example) -> Constraint | None:
        """What may be written as the answer to an example; None: anything.

        Raises:
            ConfigError: ``config.invalid``: the answers are too short for any object of the task's schema.
        """
        if self.task.answer_schema is None:
            return None
        lead = self.builder.lead(example)
        constraint = constraint_of(self.task.answer_schema, self.builder.tokenizer, lead=lead)
        constraint.require(self.max_new_tokens)
        return constraint

    @property
    def calibrated(self) -> bool:
        """Whether what the model would answer anyway is divided out."""
        return self.answers.calibrate == "contextual"


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one example.

    Attributes:
        id: Of the example.
        text: Label name, candidate, or written text, the names of a set of labels, the number on a scale; also where
            the answer is withheld.
        probabilities: By label name or candidate, in their order; None for free text.
        confidence: Probability of ``text``; for free text the geometric mean of its tokens' probabilities.
        abstained: Whether the confidence is too low for an answer.
        cut: Tokens of the example that were not read.
        ends: Where these stood: ``end``, ``beginning``, ``middle``.
        windows: Readings whose scores were pooled.
    """

    id: str
    text: Any
    probabilities: Mapping[str, float] | None
    confidence: float
    abstained: bool = False
    cut: int = 0
    ends: tuple[str, ...] = ()
    windows: int = 1

    @property
    def answer(self) -> Any:
        """The text, None when withheld."""
        return None if self.abstained else self.text

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON.

        >>> Prediction("7", "yes", {"no": 0.25, "yes": 0.75}, 0.75, abstained=True).to_dict()["answer"] is None
        True
        """
        return {
            "id": self.id,
            "answer": self.answer,
            "confidence": self.confidence,
            "abstained": self.abstained,
            "probabilities": None if self.probabilities is None else dict(self.probabilities),
            "cut": self.cut,
            **({"cut_at": list(self.ends)} if self.ends else {}),
            **({"windows": self.windows} if self.windows > 1 else {}),
        }


def candidate_names(task: Task, example: Example) -> tuple[str, ...]:
    """What users call the candidates of an example, in order.

    >>> candidate_names(Task.classify({"B1": "billing", "D2": "delivery"}), Example({}))
    ('B1', 'D2')
    """
    return task.names or task.candidates(example) or ()


class Predictor:
    """Asks a frozen model about examples.

    Args:
        backbone: The frozen model.
        asks: Prompts that are asked about every example, over one reading of what they share.
        store: Frozen states to use; without one each text is read once for all asks.
        min_confidence: Below it an answer is withheld.
        batch_tokens: Padded tokens a batch at most.
        chunk_rows: Examples taken from the stream at a time.

    >>> from softprompt.model.templates import Template
    >>> from softprompt.testing import tiny
    >>> backbone, task = tiny(), Task.classify(["no", "yes"])
    >>> builder = RowBuilder(Template.parse("{text} It was {answer}"), task, backbone.tokenizer, max_tokens=64)
    >>> (prediction,) = next(Predictor(backbone, [Ask(builder)]).predict([Example({"text": "Fine."}, id="a")]))
    >>> prediction.id, sorted(prediction.probabilities), round(sum(prediction.probabilities.values()), 6)
    ('a', ['no', 'yes'], 1.0)
    """

    def __init__(
        self,
        backbone: Backbone,
        asks: Sequence[Ask],
        *,
        store: StateStore | None = None,
        min_confidence: float | None = None,
        batch_tokens: int = 4096,
        chunk_rows: int = 256,
    ) -> None:
        if min_confidence is not None and not 0 <= min_confidence <= 1:
            message = f"min_confidence is a probability from 0 to 1, got {min_confidence}"
            raise ConfigError("config.invalid", message)
        self.backbone = backbone
        self.asks = tuple(asks)
        self.store = store
        self.min_confidence = min_confidence
        self.batch_tokens = batch_tokens
        self.chunk_rows = chunk_rows
        tensors = [ask.tensors for ask in self.asks]
        self._model = PromptedModel(backbone, tensors)
        self._compiled = CompiledModel(backbone, tensors)
        self._anyway: dict[int, list[Float[np.ndarray, " C"]]] = {}
        self._single: Predictor | None = None  # asks the members of ensembles, and whoever stands beside them
        if any(ask.members for ask in self.asks):
            single = [one for ask in self.asks for one in ask.members or (ask,)]
            self._single = Predictor(backbone, single, store=store, batch_tokens=batch_tokens, chunk_rows=chunk_rows)

    def predict(self, examples: Iterable[Example]) -> Iterator[tuple[Prediction, ...]]:
        """One prediction an ask for each example, in the order of both; labels are not looked at.

        Raises:
            TemplateError: as :meth:`RowBuilder.row`.
            DataError: ``data.no_candidates``.
            ModelError: ``model.not_finite``.
        """
        for chunk in _chunks(examples, self.chunk_rows):
            if self._single is not None:
                for example, said in zip(chunk, self._single.predict(chunk), strict=True):
                    yield tuple(self._joined(k, example, said) for k in range(len(self.asks)))
                continue
            columns: dict[int, list[Prediction]] = {}
            scored = [k for k, ask in enumerate(self.asks) if ask.task.candidates(chunk[0]) is not None]
            columns |= self._scored(scored, chunk) if scored else {}
            for group in self._written_together(k for k in range(len(self.asks)) if k not in scored):
                columns |= self._written(group, chunk)
            yield from zip(*(columns[k] for k in range(len(self.asks))), strict=True)

    def losses(self, examples: Iterable[Example]) -> Iterator[tuple[tuple[float, int], ...]]:
        """For each example, by ask: negative log-likelihood of the right answer's words, and their tokens.

        Raises:
            DataError: ``data.no_target``; ``data.not_probabilities``: several answers of a row are right, or an ask
                is an ensemble.
            TemplateError: ``template.windows``: windows have no likelihood in common.
        """
        if any(ask.builder.template.windowed for ask in self.asks):
            message = "the likelihood of an answer (perplexity) is that of one reading, and this template reads windows"
            raise TemplateError("template.windows", message, cure="leave perplexity out, or choose another keep")
        if self._single is not None:
            message = "an ensemble has probabilities of answers and none of their tokens, which perplexity needs"
            raise DataError("data.not_probabilities", message, cure="leave perplexity out, or judge its members")
        for chunk in _chunks(examples, self.chunk_rows):
            rows = []
            for example in chunk:
                for ask in self.asks:
                    ask.task.reference(example)  # an unlabelled row says so here
                rows.append(self._row(range(len(self.asks)), example, target=True))
            found = self._scores(rows)
            for i, row in enumerate(rows):
                right = {k: row.target[k] for k in range(len(self.asks))}
                if not all(isinstance(at, int) for at in right.values()):
                    message = "the likelihood of an answer (perplexity) needs one right answer a row"
                    raise DataError("data.not_probabilities", message, cure="leave perplexity out")
                places = {k: at for k, at in right.items() if isinstance(at, int)}
                yield tuple((-float(found[k][i][0][at]), int(found[k][i][1][at])) for k, at in places.items())

    def variants(self, examples: Sequence[Example], *, ask: int = 0) -> list[Prediction]:
        """What one of the asks says to variants of one example; what they share with the first is read once.

        Raises:
            TemplateError, DataError: as :meth:`predict`.
        """
        if self._single is not None:
            columns = [self._single.variants(examples, ask=k) for k in self._members(ask)]
            rows = zip(examples, zip(*columns, strict=True), strict=True)
            return [self._pooled(ask, example, said) for example, said in rows]
        model = VariantModel(self.backbone, [one.tensors for one in self.asks])
        return self._scored([ask], examples, model)[ask]

    def only(self, k: int) -> "Predictor":
        """The same for one of the asks."""
        return Predictor(
            self.backbone,
            [self.asks[k]],
            store=self.store,
            min_confidence=self.min_confidence,
            batch_tokens=self.batch_tokens,
            chunk_rows=self.chunk_rows,
        )

    # --- ensembles

    def _members(self, k: int) -> range:
        """Places of an ask's members, or of the ask itself, among the single prompts."""
        first = sum(len(ask.members) or 1 for ask in self.asks[:k])
        return range(first, first + (len(self.asks[k].members) or 1))

    def _joined(self, k: int, example: Example, said: Sequence[Prediction]) -> Prediction:
        return self._pooled(k, example, [said[n] for n in self._members(k)])

    def _pooled(self, k: int, example: Example, said: Sequence[Prediction]) -> Prediction:
        """One prediction from those of the members; told is what was cut from the one that lost most."""
        ask, most = self.asks[k], max(said, key=lambda one: one.cut)
        text, named, confidence = most.text, most.probabilities, most.confidence
        if ask.pooling is not None:
            shares = [np.array(list((one.probabilities or {}).values())) for one in said]
            p = ask.pooling.pool(shares, independent=ask.task.independent).tolist()
            named = dict(zip(candidate_names(ask.task, example), p, strict=True))
            text, confidence = ask.task.decode(p, example), ask.task.confidence(p)
        return self._prediction(ask, example, text, named, confidence, fit=Fit(most.cut, most.ends, most.windows))

    # --- candidates

    def _scored(
        self, asks: Sequence[int], chunk: Sequence[Example], model: PromptedModel | None = None
    ) -> dict[int, list[Prediction]]:
        splits = {k: [self.asks[k].builder.split(_unlabelled(example)) for example in chunk] for k in asks}
        found = self._scores([row for i in range(len(chunk)) for row in self._windows(splits, i)], model)
        result: dict[int, list[Prediction]] = {}
        for k in asks:
            anyway = self._content_free(k, chunk) if self.asks[k].calibrated else [[]] * len(chunk)
            scores = iter(found[k])  # by window, in the order of the examples
            result[k] = [
                self._choice(k, example, split, list(islice(scores, len(split.parts))), blank)
                for example, split, blank in zip(chunk, splits[k], anyway, strict=True)
            ]
        return result

    def _windows(self, splits: Mapping[int, Sequence[Split]], i: int) -> Iterator[Row]:
        """The rows of one example: the first windows of all asks, the second of those that have one, and so on."""
        parts = {k: mine[i].parts for k, mine in splits.items()}
        for n in range(max(map(len, parts.values()))):
            yield merge(
                [
                    self.asks[k].builder.row(mine[n], prompt_index=k, target=False)
                    for k, mine in parts.items()
                    if n < len(mine)
                ]
            )

    def _choice(
        self,
        k: int,
        example: Example,
        split: Split,
        scores: Sequence[tuple[Float[np.ndarray, " C"], Float[np.ndarray, " C"]]],
        anyway: Sequence[Float[np.ndarray, " C"]],
    ) -> Prediction:
        ask = self.asks[k]
        settings = ask.builder.template.windows
        by_token = ask.answers.normalise == "length"
        p = pooled(
            [
                answer_probabilities(
                    values,
                    lengths=lengths if by_token else None,
                    content_free=anyway,
                    offsets=ask.answers.offsets,
                    independent=ask.task.independent,
                )
                for values, lengths in scores
            ],
            how="mean" if settings is None else settings.pool,
            independent=ask.task.independent,
        )
        named = dict(zip(candidate_names(ask.task, example), p.tolist(), strict=True))
        text = ask.task.decode(p.tolist(), example)
        return self._prediction(ask, example, text, named, ask.task.confidence(p.tolist()), fit=split.fit)

    def _content_free(self, k: int, chunk: Sequence[Example]) -> list[list[Float[np.ndarray, " C"]]]:
        """Scores of the candidates for inputs without content, by example; once for all where candidates are fixed."""
        fixed = self.asks[k].task.fixed_candidates
        if fixed and k in self._anyway:
            return [self._anyway[k]] * len(chunk)
        blanks = [self._blank_rows(k, example) for example in (chunk[:1] if fixed else chunk)]
        found = iter(self._scores([row for rows in blanks for row in rows])[k])
        scores = [[next(found)[0] for _ in rows] for rows in blanks]
        if not fixed:
            return scores
        self._anyway[k] = scores[0]
        return scores * len(chunk)

    def _blank_rows(self, k: int, example: Example) -> list[Row]:
        """Rows with nothing to go by; an input is left out where the template then has no word before the answer."""
        builder = self.asks[k].builder
        rows = []
        for words in CONTENT_FREE:
            blank = Example(dict.fromkeys(builder.template.fields, words), candidates=example.candidates)
            try:
                rows.append(builder.row(blank, prompt_index=k, target=False))
            except TemplateError as error:
                if error.code != "template.no_context":
                    raise
        return rows

    def _scores(
        self, rows: Sequence[Row], model: PromptedModel | None = None
    ) -> dict[int, list[tuple[Float[np.ndarray, " C"], Float[np.ndarray, " C"]]]]:
        """Scores and lengths of the candidates, by prompt and row that asks it."""
        store = self.store if model is None else None
        if model is None:
            model = self._compiled if store is None and self._compiled.pays(rows) else self._model
        found = model.score_all(rows, store=store, batch_tokens=self.batch_tokens)
        for scores in found.values():
            require_numbers(scores.values, self.backbone.spec.dtype)
        return {prompt: _by_row(scores) for prompt, scores in found.items()}

    def _row(self, asks: Iterable[int], example: Example, *, target: bool) -> Row:
        return merge([self.asks[k].builder.row(example, prompt_index=k, target=target) for k in asks])

    # --- free text

    def _written_together(self, asks: Iterable[int]) -> Iterator[list[int]]:
        """Asks that a written answer can be told apart by: those with soft slots; each text prompt goes alone."""
        soft = []
        for k in asks:
            if self.asks[k].builder.template.slots:
                soft.append(k)
            else:
                yield [k]
        alike: dict[Any, list[int]] = {}
        for k in soft:
            schema, template = self.asks[k].task.answer_schema, self.asks[k].builder.template
            limits = (schema, template.digest) if schema else None  # one constraint a row
            alike.setdefault((self.asks[k].way_of_writing, limits), []).append(k)
        yield from alike.values()

    def _written(self, asks: Sequence[int], chunk: Sequence[Example]) -> dict[int, list[Prediction]]:
        rows = [self._row(asks, example, target=False) for example in chunk]
        first = self.asks[asks[0]]
        within = [first.constraint(_unlabelled(example)) for example in chunk]
        result: dict[int, dict[int, Prediction]] = {k: {} for k in asks}
        for i, one in self._compiled.write(rows, first.way_of_writing, within=within, batch_tokens=self.batch_tokens):
            k = one.prompt if len(asks) > 1 else asks[0]
            ask, example = self.asks[k], chunk[i]
            confidence = math.exp(one.logprob / max(1, len(one.ids)))
            text = ask.task.written_as(ask.answer(one.text, example))
            fit = ask.builder.split(_unlabelled(example)).fit
            result[k][i] = self._prediction(ask, example, text, None, confidence, fit=fit)
        return {k: [by_row[i] for i in range(len(chunk))] for k, by_row in result.items()}

    def _prediction(
        self,
        ask: Ask,
        example: Example,
        text: Any,
        probabilities: Mapping[str, float] | None,
        confidence: float,
        *,
        fit: Fit,
    ) -> Prediction:
        abstained = self.min_confidence is not None and confidence < self.min_confidence
        return Prediction(example.id, text, probabilities, confidence, abstained, fit.cut, fit.ends, fit.windows)


def _by_row(scores: Scores) -> list[tuple[Float[np.ndarray, " C"], Float[np.ndarray, " C"]]]:
    values, lengths = scores.values.double().cpu().numpy(), scores.lengths.double().cpu().numpy()
    there = lengths > 0
    return [(v[t], n[t]) for v, n, t in zip(values, lengths, there, strict=True)]


def _unlabelled(example: Example) -> Example:
    return Example(example.fields, id=example.id, candidates=example.candidates, source=example.source)


def _chunks(examples: Iterable[Example], size: int) -> Iterator[list[Example]]:
    stream = iter(examples)
    while chunk := list(islice(stream, size)):
        yield chunk
