"""Rows with the same text: within a data set and across splits, exactly or but for case, blanks and punctuation.

A test text that was trained on measures memory; the same text with two answers teaches noise. Comparing is by folded
text, not by meaning: paraphrases are not found.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from softprompt.core.records import Example
from softprompt.data.dataset import Dataset

__all__ = ["Twins", "duplicates", "fold", "text_key", "without_duplicates"]


class _Folding(dict[int, str]):
    """Character table, filled as characters are met: punctuation, blanks and controls become a blank, the rest stays.

    Marks stay (they are the vowels of many scripts), symbols too (a thumb up is not a thumb down).
    """

    def __missing__(self, code: int) -> str:
        character = chr(code)
        self[code] = " " if unicodedata.category(character)[0] in "PZC" else character
        return self[code]


_FOLDING = _Folding()


def fold(text: str) -> str:
    """Text without case, punctuation and doubled blanks.

    >>> fold("  Where's my ORDER?! "), fold("C++"), fold("ﬁne")
    ('where s my order', 'c++', 'fine')
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().translate(_FOLDING).split())


def text_key(example: Example) -> tuple[tuple[str, str], ...]:
    """What two rows have in common when they are duplicates: the folded text of every field.

    A text that folds to nothing (":-(") stands for itself.
    """
    return tuple((name, fold(text) or text) for name, text in sorted(example.fields.items()))


@dataclass(frozen=True, slots=True)
class Twins:
    """Rows with the same text.

    Attributes:
        places: ``(part, index)`` of each row, in order.
        exact: The texts are equal character by character.
        conflicting: They have different answers.
    """

    places: tuple[tuple[str, int], ...]
    exact: bool
    conflicting: bool

    @property
    def parts(self) -> tuple[str, ...]:
        """The splits in which they stand, each once; more than one means leakage."""
        return tuple(dict.fromkeys(part for part, _ in self.places))


def duplicates(parts: Mapping[str, Dataset]) -> tuple[Twins, ...]:
    """All groups of two or more rows with the same folded text, in order of their first row.

    >>> train = Dataset((Example({"text": "Hi!"}, "a"), Example({"text": "Bye"}, "b")))
    >>> test = Dataset((Example({"text": "hi"}, "b"),))
    >>> duplicates({"train": train, "test": test})
    (Twins(places=(('train', 0), ('test', 0)), exact=False, conflicting=True),)
    """
    places: dict[object, list[tuple[str, int]]] = {}
    for name, data in parts.items():
        for index, row in enumerate(data):
            places.setdefault(text_key(row), []).append((name, index))
    found = []
    for group in places.values():
        if len(group) > 1:
            rows = [parts[name][index] for name, index in group]
            exact = len({row.content for row in rows}) == 1
            answers = {repr(row.target) for row in rows if row.target is not None}
            found.append(Twins(tuple(group), exact, len(answers) > 1))
    return tuple(found)


def without_duplicates(train: Dataset, *, against: Sequence[Dataset]) -> Dataset:
    """The training rows whose folded text stands in none of the other splits.

    The training side loses them, so that scores on the other splits stay comparable with what others report.

    >>> train = Dataset((Example({"text": "Hi!"}), Example({"text": "Bye"})))
    >>> [row.fields["text"] for row in without_duplicates(train, against=[Dataset((Example({"text": "hi"}),))])]
    ['Bye']
    """
    taken = {text_key(row) for data in against for row in data}
    return train.select(i for i, row in enumerate(train) if text_key(row) not in taken)
