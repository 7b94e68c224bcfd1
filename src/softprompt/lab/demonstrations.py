"""Worked examples as tokens: training rows with their right answers, for soft tokens that start from them.

A demonstration is what the template makes of a row without its soft slots, then the right answer in words, then an
empty line. Labels take turns, in an order that the prompt's seed decides; whole demonstrations are taken while they
fit, and what remains free at the beginning holds the end of one more, so that no answer stands without its text.

Knows rows and tokens; no models and no methods.
"""

from collections.abc import Iterable, Sequence
from itertools import zip_longest

import torch

from softprompt.core.errors import TrainingError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.model.templates.rows import RowBuilder
from softprompt.model.templates.segments import SlotSpec, join

__all__ = ["BETWEEN", "Demonstrations", "packed", "said_of"]

#: Stands after each demonstration, here and in text prompts.
BETWEEN = "\n\n"


class Demonstrations:
    """Draws worked examples: ``(number of tokens, generator) -> ids``.

    Args:
        builder: Template, task and tokenizer.
        examples: Training rows; those without an answer are left out.
        special: Ids that begin or end texts, which stand in no demonstration.

    Raises:
        TrainingError: ``training.no_rows`` on drawing, without any row to show.
    """

    def __init__(
        self, builder: RowBuilder, examples: Sequence[Example | None], *, special: frozenset[int] = frozenset()
    ) -> None:
        self.builder, self.special = builder, special
        there = [(i, one) for i, one in enumerate(examples) if one is not None and one.target is not None]
        said = [(i, one, said_of(builder.task, one)) for i, one in there]
        self.places = [i for i, _, text in said if text]
        self.examples = [(one, text) for _, one, text in said if text]

    def __call__(self, length: int, rng: torch.Generator) -> tuple[int, ...]:
        """Exactly ``length`` ids."""
        return self._drawn(length, rng)[0]

    def shown(self, length: int, rng: torch.Generator) -> frozenset[int]:
        """Places of the examples of which a part stands among the ids that a call gives."""
        return self._drawn(length, rng)[1]

    def _drawn(self, length: int, rng: torch.Generator) -> tuple[tuple[int, ...], frozenset[int]]:
        if not self.examples:
            raise TrainingError("training.no_rows", "no training row has an answer to show", cure="give labelled rows")
        order = torch.randperm(len(self.examples), generator=rng).tolist()
        by_answer: dict[str, list[int]] = {}
        for i in order:
            by_answer.setdefault(self.examples[i][1], []).append(i)
        turns = [i for turn in zip_longest(*by_answer.values()) for i in turn if i is not None]
        ids, taken = _packed((self._ids(*self.examples[i]) for i in turns), length)
        return ids, frozenset(self.places[turns[n]] for n in taken)

    def _ids(self, example: Example, said: str) -> tuple[int, ...]:
        reading = self.builder.reading(example)
        encode = self.builder.tokenizer.encode
        text = [token for piece, ids in reading.pieces if not isinstance(piece, SlotSpec) for token in ids]
        ids = (*text, *encode(join(reading.lead, said)), *encode(BETWEEN))
        return tuple(token for token in ids if token not in self.special)


def packed(texts: Iterable[tuple[int, ...]], length: int) -> tuple[int, ...]:
    """Texts while they fit, the first one last, and in front of them the end of one that did not fit.

    A text too many is passed over for a shorter one; where nothing fits, or all do, the first is repeated or cut.

    >>> packed([(1, 2), (3, 4, 5, 6), (7,)], 4)
    (6, 7, 1, 2)
    """
    return _packed(texts, length)[0]


def _packed(texts: Iterable[tuple[int, ...]], length: int) -> tuple[tuple[int, ...], list[int]]:
    """The same, and which texts a part of it is of."""
    taken: list[tuple[int, tuple[int, ...]]] = []
    over: tuple[int, tuple[int, ...]] | None = None
    free = length
    for n, text in enumerate(texts):
        if len(text) <= free:
            taken.append((n, text))
            free -= len(text)
        elif over is None:
            over = (n, text)
        if not free:
            break
    last, text = over or taken[0]
    whole = text * -(-free // len(text))
    ids = (*whole[len(whole) - free :], *(token for _, text in reversed(taken) for token in text))
    return ids, [*(n for n, _ in taken), *([last] if free else [])]


def said_of(task: Task, example: Example) -> str:
    """The right answer of a row in words; empty where it has none.

    >>> said_of(Task.classify(["no", "yes"]), Example({}, target="yes"))
    'yes'
    """
    right = task.answer(example)
    if isinstance(right, str):
        return right
    if isinstance(right, int):
        return (task.candidates(example) or task.says)[right]
    if task.independent:
        return ", ".join(say for say, share in zip(task.says, right, strict=True) if share >= 0.5)
    return task.says[max(range(len(right)), key=right.__getitem__)]
