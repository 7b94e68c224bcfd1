"""Columns of text that are asked about together, by their names: a premise and its hypothesis, two sentences.

Each means little without the other, so a prompt that reads one of them answers another question than the file asks.
Names are English, German, French and Spanish; what columns hold is not looked at.
"""

import re
from collections.abc import Sequence

__all__ = ["name_words", "together"]


def _names(*texts: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(text.split()) for text in texts)


_ASKED = "question query frage pregunta"

#: Names of one text, and of those that go with it.
_PAIRS = (
    _names("premise prämisse prémisse premisa", "hypothesis hypothese hypothèse hipótesis"),
    _names("premise", _ASKED),
    _names("context kontext contexte contexto passage paragraph document article story text", _ASKED),
    _names("context passage paragraph document article text evidence", "claim statement hypothesis behauptung"),
    _names(_ASKED, "answer response reply antwort réponse respuesta sentence"),
    _names("source original", "translation übersetzung summary zusammenfassung paraphrase"),
)

#: ``sentence1``, ``text_b``, ``Question 2``: a stem and the place of the column.
_PLACED = re.compile(r"(.*?[^\W\d_])[ _.-]?(\d)|(.+?)[ _.-]([a-d])", re.IGNORECASE)
_PLACES = ("1", "2", "3", "4"), ("a", "b", "c", "d")


def together(names: Sequence[str]) -> list[tuple[str, ...]]:
    """The groups of columns that belong together, each in the order of the columns.

    >>> together(["id", "sentence2", "sentence1", "label"]), together(["title", "body"])
    ([('sentence2', 'sentence1')], [])
    >>> together(["context", "question", "title"])
    [('context', 'question')]
    """
    placed: dict[str, dict[str, str]] = {}
    for name in names:
        if found := _PLACED.fullmatch(name):
            stem, place = (found[1], found[2]) if found[1] else (found[3], found[4])
            placed.setdefault(stem.casefold(), {})[place.casefold()] = name
    whole = [set(places[:size]) for places in _PLACES for size in (2, 3, 4)]
    groups = [tuple(columns.values()) for columns in placed.values() if columns.keys() in whole]
    words = {name: name_words(name) for name in names}
    for left, right in _PAIRS:
        ones = [name for name in names if words[name] & left]
        others = [name for name in names if words[name] & right and name not in ones]
        if len(ones) == len(others) == 1:
            group = tuple(name for name in names if name in {*ones, *others})
            groups += [] if group in groups else [group]
    return groups


def name_words(name: str) -> set[str]:
    """The words of a column's name.

    >>> sorted(name_words("Customer.MessageText_de"))
    ['customer', 'de', 'message', 'text']
    """
    return {word.casefold() for word in re.findall(r"[A-ZÄÖÜ]?[^\W\d_A-ZÄÖÜ]+|[A-ZÄÖÜ]+(?![a-zäöü])", name)}
