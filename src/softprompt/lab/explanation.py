r"""Which words decided: for each word of the text, how much it spoke for the answer that was given.

**Occlusion** deletes a word and asks again: the weight is the fall of the answer's log-odds log p/(1 - p), in nats. All
variants of a text go through the model together, and their common beginnings are read once (:mod:`~.variants`).

**Gradients** cost eight passes forwards and backwards, however long the text: a word's weight is the sum over its
tokens' embeddings of input x gradient, the gradient averaged over the way from no text (zero vectors) to this one
(integrated gradients). It is a little less faithful, and taken for long texts. The gradient at the text alone would
cost an eighth and is worth nothing here: a sure answer is flat, and its deletion test came out below chance.

Words are the user's, not the model's tokens. A word that was cut from a long text has no weight, and nothing moves up
into the place of a deleted one. Whether the weights are worth anything is measured: :func:`deletion_test`.

Sources: Zeiler, Fergus, ECCV 2014, 818-833 (occlusion), as Li, Monroe, Jurafsky, arXiv:1612.08220 (2016) for words;
Sundararajan, Taly, Yan, ICML 2017, 3319-3328 (integrated gradients); DeYoung et al., ACL 2020, 4443-4458
(comprehensiveness, the deletion test).

Knows predictors; no files and no colours.
"""

import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from softprompt.core.answers import CONTENT_FREE
from softprompt.core.errors import ConfigError, DataError, nearest
from softprompt.core.records import Example
from softprompt.lab.gradients import integrated_gradients, token_ends
from softprompt.model.prediction import Ask, Prediction, Predictor
from softprompt.model.templates.segments import TextPiece
from softprompt.model.templates.truncation import GAP

__all__ = ["METHODS", "DeletionTest", "Explanation", "Method", "Word", "deletion_test", "explain", "words_of"]

Method = Literal["auto", "occlusion", "gradient"]
METHODS: tuple[str, ...] = get_args(Method)

#: Words from which ``auto`` takes gradients: so many variants take as long as reading a few hundred texts.
LONG = 200

#: Writing without blanks between words, where a character stands for a word: kana, han, Thai, Lao, Khmer, Burmese.
_ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_ALONE}]|(?:(?![{_ALONE}])\w)+(?:['’.@-](?:(?![{_ALONE}])\w)+)*|[^\w\s]+")


@dataclass(frozen=True, slots=True)
class Word:
    """A word and what it did.

    Attributes:
        text: As it stands.
        field: Where it stands.
        start: Its first character in the field.
        weight: How much it spoke for the answer (against it below 0), in nats of log-odds.
        without: The answer's probability without it; None for gradients.
    """

    text: str
    field: str
    start: int
    weight: float
    without: float | None = None


@dataclass(frozen=True)
class Explanation:
    """Why an answer was given.

    Attributes:
        answer: The likeliest one, also where it was withheld.
        probability: Of it.
        words: All words that the model read, in order.
        method: ``occlusion`` or ``gradient``.
    """

    answer: str
    probability: float
    words: tuple[Word, ...]
    method: str

    def decisive(self, count: int | None = None) -> tuple[Word, ...]:
        """The words that speak for the answer, the strongest first."""
        return tuple(sorted((word for word in self.words if word.weight > 0), key=lambda word: -word.weight)[:count])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; the offset of a word counts characters."""
        words = [asdict(word) for word in self.words]
        for word in words:
            word["word"], word["offset"] = word.pop("text"), word.pop("start")
        return {"method": self.method, "words": words}


@dataclass(frozen=True, slots=True)
class DeletionTest:
    """What deleting words does to the probability of the answer.

    Attributes:
        deleted: Words deleted from each text.
        decisive: Mean fall when these are the most decisive ones.
        random: Mean fall when they are any.
        rows: Texts with more words than that.
    """

    deleted: int
    decisive: float
    random: float
    rows: int


def explain(predictor: Predictor, example: Example, *, ask: int = 0, method: Method = "auto") -> Explanation:
    """Say which words decided; of a text that is read in windows, in the window that speaks most for the answer.

    Args:
        predictor: Asks the model.
        example: The text.
        ask: Which of the predictor's prompts.
        method: ``auto`` deletes words one by one, and takes gradients for texts of more than 200 words.

    Raises:
        ConfigError: ``config.unknown_name`` for the method.
        DataError: ``data.not_probabilities`` for a task whose answers are written.
        TemplateError: as :meth:`RowBuilder.row`.

    >>> from softprompt.core.tasks import Task
    >>> from softprompt.model.templates import RowBuilder, Template
    >>> from softprompt.testing import tiny
    >>> backbone = tiny()
    >>> builder = RowBuilder(Template.parse("{text} It was {answer}"), Task.classify(["no", "yes"]), backbone.tokenizer,
    ...                      max_tokens=64)
    >>> found = explain(Predictor(backbone, [Ask(builder)]), Example({"text": "It works well."}))
    >>> [(word.text, word.start) for word in found.words], found.method
    ([('It', 0), ('works', 3), ('well', 9), ('.', 13)], 'occlusion')
    """
    if method not in METHODS:
        raise ConfigError("config.unknown_name", f"no way to explain is called {method!r}; {nearest(method, METHODS)}")
    asked = predictor.asks[ask]
    if asked.task.candidates(example) is None:
        message = f"{asked.name or 'the prompt'} writes its answers, and only choices are explained"
        raise DataError("data.not_probabilities", message, cure="use a classify or choose task")
    if not asked.task.one_right:
        message = f"{asked.name or 'the prompt'} gives sets of labels or numbers, and only single choices are explained"
        raise DataError("data.not_probabilities", message, cure="use a classify or choose task")
    standing = _standing(asked, _telling(predictor, ask, example))
    words = [(name, *found) for name, text in standing.fields.items() for found in words_of(text)]
    if method == "gradient" or (method == "auto" and len(words) > LONG):
        found = _by_gradient(predictor, asked, ask, standing, words)
        if found is not None:
            return _placed(found, example, standing)
    return _placed(_by_occlusion(predictor, ask, standing, words), example, standing)


def words_of(text: str) -> Iterator[tuple[int, str]]:
    """Words and marks of a text with the place of their first character.

    >>> list(words_of("Don't wait, 3.5 kg!"))
    [(0, "Don't"), (6, 'wait'), (10, ','), (12, '3.5'), (16, 'kg'), (18, '!')]
    >>> [word for _, word in words_of("返金を iPhone")]
    ['返', '金', 'を', 'iPhone']
    """
    return ((match.start(), match.group()) for match in _WORD.finditer(text))


def deletion_test(
    predictor: Predictor,
    examples: Sequence[Example],
    *,
    deleted: int = 3,
    ask: int = 0,
    method: Method = "auto",
    draws: int = 5,
    seed: int = 0,
) -> DeletionTest:
    """Whether the words that are called decisive are: deleting them must change more than deleting any others.

    Args:
        predictor: Asks the model.
        examples: Texts; those without more than ``deleted`` words are passed over.
        deleted: Words to delete from each.
        ask: Which of the predictor's prompts.
        method: As :func:`explain`.
        draws: Random choices a text.
        seed: Of these.

    Raises:
        DataError: ``data.nothing_to_score`` when no text has enough words.
    """
    rng = random.Random(seed)
    falls: list[tuple[float, float]] = []
    for example in examples:
        found = explain(predictor, example, ask=ask, method=method)
        if len(found.words) <= deleted:
            continue
        ranked = sorted(found.words, key=lambda word: -word.weight)
        choices = [ranked[:deleted], *(rng.sample(ranked, deleted) for _ in range(draws))]
        said = predictor.variants([example, *(_without(example, words) for words in choices)], ask=ask)
        p = [(one.probabilities or {})[found.answer] for one in said]
        falls.append((p[0] - p[1], p[0] - sum(p[2:]) / draws))
    if not falls:
        raise DataError("data.nothing_to_score", f"no text has more than {deleted} words")
    decisive, any_words = (sum(column) / len(falls) for column in zip(*falls, strict=True))
    return DeletionTest(deleted, decisive, any_words, len(falls))


# --- what stands in the row


def _telling(predictor: Predictor, ask: int, example: Example) -> Example:
    """The example, or the one of its windows that gives the pooled answer the highest probability."""
    parts = predictor.asks[ask].builder.windows(replace(example, target=None))
    if len(parts) == 1:
        return example
    whole, *said = predictor.variants([example, *parts], ask=ask)
    return max(zip(said, parts, strict=True), key=lambda pair: (pair[0].probabilities or {})[whole.text])[1]


def _standing(ask: Ask, example: Example) -> Example:
    """The example with its fields as they stand in the row, cut where they were too long; no answer."""
    texts: dict[str, str] = {}
    for piece, _ in ask.builder.reading(example).pieces:
        if isinstance(piece, TextPiece) and piece.field is not None:
            texts.setdefault(piece.field, piece.text.strip() if ask.builder.template.strip else piece.text)
    fields = {name: texts.get(name, "") for name in ask.builder.template.fields}
    return replace(example, fields={**example.fields, **fields} if not texts else fields, target=None)


def _placed(found: Explanation, example: Example, standing: Example) -> Explanation:
    """The same with offsets in the texts as they came; the mark where the middle was left out is no word."""
    words = []
    for word in found.words:
        start = _offset(example.fields.get(word.field, ""), standing.fields[word.field], word.start)
        if start is not None:
            words.append(replace(word, start=start))
    return replace(found, words=tuple(words))


def _offset(original: str, standing: str, place: int) -> int | None:
    if original.rstrip().endswith(standing):
        return len(original.rstrip()) - len(standing) + place
    if (found := original.find(standing)) >= 0:
        return found + place
    head, gap, tail = standing.partition(GAP)
    if place < len(head):
        return original.find(head) + place
    return original.rfind(tail) + place - len(head) - len(gap) if place >= len(head) + len(gap) else None


def _without(example: Example, words: Sequence[Word]) -> Example:
    """The example less some words, each with one of the blanks beside it."""
    fields = dict(example.fields)
    for word in sorted(words, key=lambda one: -one.start):
        text = fields[word.field]
        before, after = text[: word.start], text[word.start + len(word.text) :]
        if after[:1].isspace() and (not before or before[-1].isspace()):
            after = after[1:]
        fields[word.field] = before + after
    if not any(text.strip() for text in fields.values()):
        fields[words[0].field] = CONTENT_FREE[0]  # a template may need some word before its answer
    return replace(example, fields=fields, target=None)


# --- the two ways


def _by_occlusion(
    predictor: Predictor, ask: int, example: Example, words: Sequence[tuple[str, int, str]]
) -> Explanation:
    named = [Word(text, name, start, 0.0) for name, start, text in words]
    said = predictor.variants([example, *(_without(example, [word]) for word in named)], ask=ask)
    answer = said[0].text
    whole = _log_odds(said[0], answer)
    weighed = tuple(
        replace(word, weight=whole - _log_odds(one, answer), without=(one.probabilities or {})[answer])
        for word, one in zip(named, said[1:], strict=True)
    )
    return Explanation(answer, said[0].confidence, weighed, "occlusion")


def _log_odds(prediction: Prediction, answer: str) -> float:
    """The logarithm of p / (1 - p), with 1 - p as the sum of the others, which does not round to 0."""
    probabilities = prediction.probabilities or {}
    others = sum(p for name, p in probabilities.items() if name != answer)
    return math.log(max(probabilities[answer], 1e-300)) - math.log(max(others, 1e-300))


def _by_gradient(
    predictor: Predictor, asked: Ask, ask: int, example: Example, words: Sequence[tuple[str, int, str]]
) -> Explanation | None:
    """None where there is nothing to differentiate by (an ensemble), or tokens cannot be led back to characters."""
    if asked.members:
        return None
    (said,) = predictor.variants([example], ask=ask)
    row = asked.builder.row(example, target=False)
    places = token_ends(asked, row, example)
    if not places:
        return None
    weights: dict[tuple[str, int], float] = {}
    for (name, ends), values in zip(places, integrated_gradients(predictor, asked, row, said), strict=True):
        starts = [start for field, start, _ in words if field == name]
        for end, value in zip(ends, values.tolist(), strict=True):
            if owner := [start for start in starts if start < end]:
                weights[name, owner[-1]] = weights.get((name, owner[-1]), 0.0) + value
    weighed = tuple(Word(text, name, start, weights.get((name, start), 0.0)) for name, start, text in words)
    return Explanation(said.text, said.confidence, weighed, "gradient")
