"""How much of each field stays when a row is too long, and which part of its text that is.

A field is cut as text, between words where there are any, and then tokenised like any other: the row of a cut text is
the row of the shorter text, and no character is ever halved.

Knows nothing of templates; tokens appear only as counts.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from softprompt.core.turns import as_text, split_turns

__all__ = ["GAP", "allot", "shorten"]

#: Stands where the middle of a field was left out.
GAP = " ... "

_WORD = 24  # a cut goes back to the last white space within so many characters; texts without any are cut anywhere
_MAX_SEAM = 4  # tokens that joining a head and a tail may cost beyond the gap
_MAX_TRIES = 60  # two numbers of characters always meet by halving in far fewer


def allot(lengths: Mapping[str, int], *, room: int, order: Sequence[str] | None = None) -> dict[str, int] | None:
    """Tokens that each field may keep so that all fit into ``room``; None when they cannot.

    Args:
        lengths: Tokens of each field.
        room: Tokens for all fields together.
        order: The fields that may be cut, the first one first and entirely before the next; None cuts all, always the
            longest, so that short fields stay whole.

    >>> allot({"context": 90, "question": 10}, room=60)
    {'context': 50, 'question': 10}
    >>> allot({"context": 90, "question": 10}, room=60, order=["question", "context"])
    {'context': 60, 'question': 0}
    >>> allot({"context": 90, "question": 10}, room=60, order=["question"]) is None
    True
    """
    kept = dict(lengths)
    over = sum(kept.values()) - room
    if order is None:
        return _level(kept, room) if room >= 0 else None
    for name in order:
        cut = min(kept.get(name, 0), max(over, 0))
        if name in kept:
            kept[name] -= cut
        over -= cut
    return kept if over <= 0 else None


def _level(lengths: dict[str, int], room: int) -> dict[str, int]:
    """The longest fields come down to one level; a shorter one is never cut before a longer one."""
    kept = dict(lengths)
    rest = room
    shortest_first = sorted(kept, key=lambda name: kept[name])
    for position, name in enumerate(shortest_first):
        kept[name] = min(kept[name], max(rest, 0) // (len(shortest_first) - position))
        rest -= kept[name]
    return kept


def shorten(
    text: str,
    *,
    budget: int,
    keep: Literal["head", "tail", "head+tail", "turns"],
    count: Callable[[str], int],
) -> str:
    """The longest beginning, end, or both of ``text`` that counts at most ``budget`` tokens.

    Args:
        text: A text of more than ``budget`` tokens.
        budget: Tokens that may stay; 0 leaves nothing.
        keep: Which end stays; of ``head+tail`` the head gets half, and :data:`GAP` stands between; of a conversation
            (``turns``) the latest turns stay whole, behind the system's words at its beginning.
        count: Tokens of a text.

    >>> words = lambda text: len(text.split())
    >>> shorten("one two three four five six seven", budget=5, keep="head+tail", count=words)
    'one two ... six seven'
    >>> shorten("one two three", budget=2, keep="tail", count=words)
    'two three'
    """
    if budget <= 0:
        return ""
    if keep == "turns":
        return _latest(text, budget=budget, count=count)
    if keep != "head+tail":
        return _end(text, budget=budget, count=count, tail=keep == "tail")
    most = budget - count(GAP)
    for room in range(most, max(1, most - _MAX_SEAM), -1):
        head = _end(text, budget=(room + 1) // 2, count=count, tail=False)
        tail = _end(text[len(head) :], budget=room // 2, count=count, tail=True)
        if head and tail and count(both := head + GAP + tail) <= budget:
            return both
    return _end(text, budget=budget, count=count, tail=False)


def _latest(text: str, *, budget: int, count: Callable[[str], int]) -> str:
    """The latest turns of a conversation, whole; of a last turn that alone is too long, its end."""
    turns = split_turns(text)
    first = next((n for n, (name, _) in enumerate(turns) if name != "System"), 0)
    system, rest = turns[:first], turns[first:]
    for turns in [*(system + rest[n:] for n in range(1, len(rest))), rest[-1:]]:
        if count(shorter := as_text(turns)) <= budget:
            return shorter
    name, said = rest[-1]
    kept = _end(said, budget=budget, count=lambda part: count(as_text([(name, part)])), tail=True)
    return as_text([(name, kept)]) if kept else ""


def _end(text: str, *, budget: int, count: Callable[[str], int], tail: bool) -> str:
    """One end of ``text`` within ``budget``: guessed from characters a token, corrected until it fits closely."""

    def end(size: int) -> str:
        return text[len(text) - size :] if tail else text[:size]

    fits, fails = 0, len(text) + 1
    pace = 4.0  # characters a token, corrected by what is seen
    size = min(len(text), int(budget * pace))
    for attempt in range(_MAX_TRIES):
        if not fits < size < fails:
            break
        tokens = count(end(size))
        if tokens <= budget:
            fits = size
        else:
            fails = size
        if tokens == budget or fits + 1 >= fails:
            break
        pace = max(size / max(tokens, 1), 1 / 4)
        guess = size + int((budget - tokens) * pace)
        size = min(max(guess, fits + 1), fails - 1) if attempt < 8 else (fits + fails) // 2
    for whole in _whole_words(text, fits, tail=tail):
        if count(whole) <= budget:
            return whole
    return ""


def _whole_words(text: str, size: int, *, tail: bool) -> list[str]:
    """The first (or last) ``size`` characters with the word at the cut completed, without it, and as they are."""
    if tail:
        return [_flip(each) for each in _whole_words(_flip(text), size, tail=False)]
    kept = text[:size]
    if size in (0, len(text)) or text[size].isspace():
        return [kept.rstrip()]
    before = [i for i, c in enumerate(kept[-_WORD:], size - len(kept[-_WORD:])) if c.isspace()]
    behind = [i for i, c in enumerate(text[size : size + _WORD], size) if c.isspace()]
    ends = [*behind[:1], *before[-1:], size]
    return [text[:end].rstrip() for end in ends]


def _flip(text: str) -> str:
    return text[::-1]
