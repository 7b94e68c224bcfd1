"""Which answers are allowed: a constraint names the tokens that may come next.

Knows tokens only, no model and no text.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from softprompt.core.errors import ConfigError

__all__ = ["Choices", "Constraint"]


class Constraint(Protocol):
    """What may be written. Stateless: it is asked with all tokens so far, so beams and rows can share one.

    A constraint alone decides when an answer ends: ``min_new_tokens`` and ``stop`` have no say beside it. To end an
    answer it allows the terminator, or nothing.
    """

    def allowed(self, ids: tuple[int, ...], *, room: int) -> Collection[int]:
        """Tokens that may follow.

        Args:
            ids: The answer so far.
            room: How many more tokens will be written at most. Where a complete answer fits into the room, only tokens
                should be allowed from which it still can be completed; then no answer is ever cut.
        """
        ...


class Choices:
    """One of the given answers, as a trie of tokens.

    Args:
        answers: Token ids, terminator included, as in :class:`softprompt.core.records.Answer`.

    Raises:
        ConfigError: ``config.invalid`` for no answers, an empty one, or one that begins another: without a terminator
            it could not be told from it.

    >>> choices = Choices([(5, 6, 0), (5, 7, 8, 0), (9, 0)])
    >>> sorted(choices.allowed((), room=9)), sorted(choices.allowed((5,), room=2)), choices.allowed((9, 0), room=5)
    ([5, 9], [6], [])
    """

    def __init__(self, answers: Sequence[tuple[int, ...]]) -> None:
        self.answers = tuple(answers)
        #: Tokens so far -> next token -> how many tokens the shortest answer through it still needs.
        self._next: dict[tuple[int, ...], dict[int, int]] = {}
        for answer in self.answers:
            for n, token in enumerate(answer):
                after = self._next.setdefault(answer[:n], {})
                after[token] = min(after.get(token, len(answer)), len(answer) - n)
        cut = next((answer for answer in self.answers if not answer or answer in self._next), None)
        if cut is not None or not self.answers:
            fault = "no answer was given" if cut is None else f"the answer {cut} is empty or begins another"
            cure = "give at least one answer and end each with the terminator"
            raise ConfigError("config.invalid", f"answers to choose from: {fault}", cure=cure)

    def allowed(self, ids: tuple[int, ...], *, room: int) -> list[int]:
        """Next tokens of the answers that begin with ``ids`` and can be completed within ``room`` tokens."""
        return [token for token, needed in self._next.get(ids, {}).items() if needed <= room]
