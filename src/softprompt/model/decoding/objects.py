"""Answers that are objects of a schema: a machine's states turned into the tokens that may come next.

Every token is a few bytes. What may follow a state is found by walking the machine along a trie of all tokens, once for
each state, and kept. A token is allowed only where the object can still be finished in the tokens that are left, so no
answer is ever cut.

Knows bytes, tokens and machines; no model. The idea of indexing a vocabulary by an automaton's states: Willard and
Louf, arXiv:2307.09702.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from weakref import WeakKeyDictionary

import numpy as np
from jaxtyping import Int

from softprompt.core.errors import ConfigError, ModelError
from softprompt.core.schema import Schema
from softprompt.core.tokens import Tokenizer
from softprompt.model.decoding.machines import Machine, ObjectMachine, State

__all__ = ["ObjectConstraint", "Trie", "constraint_of", "trie_of"]

_MOST_LISTS = 512  #: lists of allowed tokens that are kept
_MOST_LINES = 4096  #: answers whose state is kept
_FAR = 1 << 20  #: more tokens than any answer has


class Trie:
    """The tokens of a vocabulary by their bytes.

    Args:
        pieces: Bytes of each token that may be written.

    >>> trie = Trie({5: b"a", 6: b"ab", 7: b"b"})
    >>> trie.fewest(b"abb"), trie.fewest(b"ac") >= len(b"ac") * 1000
    (2, True)
    """

    def __init__(self, pieces: Mapping[int, bytes]) -> None:
        self.pieces = pieces
        self.children: list[dict[int, int]] = [{}]
        self.tokens: list[list[int]] = [[]]
        for token, piece in pieces.items():
            if piece:
                self._add(token, piece)
        # a character that was begun can be completed whatever its bytes are
        self.completes = all(self._has(bytes([byte])) for byte in range(0x80, 0xC0))

    def _add(self, token: int, piece: bytes) -> None:
        node = 0
        for byte in piece:
            if byte not in self.children[node]:
                self.children[node][byte] = len(self.children)
                self.children.append({})
                self.tokens.append([])
            node = self.children[node][byte]
        self.tokens[node].append(token)

    def _has(self, piece: bytes) -> bool:
        node = 0
        for byte in piece:
            if byte not in self.children[node]:
                return False
            node = self.children[node][byte]
        return bool(self.tokens[node])

    def fewest(self, text: bytes) -> int:
        """Tokens that a text takes at least; very many where it cannot be written."""
        best = [0, *[_FAR] * len(text)]
        for start in range(len(text)):
            node = 0
            for end in range(start, len(text)):
                if text[end] not in self.children[node]:
                    break
                node = self.children[node][text[end]]
                if self.tokens[node]:
                    best[end + 1] = min(best[end + 1], best[start] + 1)
        return best[-1]

    def walk(self, machine: Machine, since: State) -> Iterable[tuple[int, int, State]]:
        """Tokens that may follow ``since``, with the room of its string that they take, and the state behind them."""
        stack = [(0, since, 0)]
        while stack:
            node, state, need = stack.pop()
            for byte, below in self.children[node].items():
                after = machine.step(state, byte)
                if after is None:
                    continue
                spent = machine.spent(since, after)
                taken = need if spent is None else spent
                stack.append((below, after, taken))
                for token in self.tokens[below]:
                    yield token, taken, after


_TRIES: WeakKeyDictionary[Tokenizer, Trie] = WeakKeyDictionary()


def trie_of(tokenizer: Tokenizer) -> Trie:
    """The trie of a tokenizer, made once; special tokens are not in it."""
    if tokenizer not in _TRIES:
        pieces = {token: tokenizer.as_bytes(token) for token in range(tokenizer.vocab_size)}
        _TRIES[tokenizer] = Trie({token: piece for token, piece in pieces.items() if piece})
    return _TRIES[tokenizer]


_CONSTRAINTS: WeakKeyDictionary[Tokenizer, dict[tuple[Schema, str], "ObjectConstraint"]] = WeakKeyDictionary()


def constraint_of(schema: Schema, tokenizer: Tokenizer, *, lead: str = "") -> "ObjectConstraint":
    """The constraint of a schema for a tokenizer, made once: what it has found out serves every row.

    Raises:
        ModelError: As :class:`ObjectConstraint`.
    """
    made = _CONSTRAINTS.setdefault(tokenizer, {})
    if (schema, lead) not in made:
        made[schema, lead] = ObjectConstraint(schema, tokenizer, lead=lead)
    return made[schema, lead]


class ObjectConstraint:
    """Only objects of a schema, as :class:`softprompt.model.decoding.Constraint`.

    Args:
        schema: Of the objects.
        tokenizer: Of the model.
        lead: Text that stands before the object: the blank that the template leaves to the answer.

    Raises:
        ModelError: ``model.unsupported``: the model's tokens cannot write such an object.

    >>> from softprompt.testing import tiny
    >>> tokenizer = tiny().tokenizer
    >>> constraint = ObjectConstraint(Schema.parse({"n": "integer"}), tokenizer)
    >>> constraint.fewest, [tokenizer.decode([token]) for token in constraint.allowed((), room=20)]
    (8, ['{'])
    """

    def __init__(self, schema: Schema, tokenizer: Tokenizer, *, lead: str = "") -> None:
        self.machine = ObjectMachine(schema, lead=lead)
        self.eos_id = tokenizer.eos_id
        self.trie = trie_of(tokenizer)
        self._costs: dict[tuple[int, str], int] = {}
        self._masks: dict[State, tuple[Int[np.ndarray, " n"], ...]] = {}
        self._lists: OrderedDict[tuple[State, int, int], list[int]] = OrderedDict()
        self._lines: OrderedDict[tuple[int, ...], State] = OrderedDict()
        #: Tokens of the shortest object, terminator included.
        self.fewest = self._cost(self.machine.start)
        if self.fewest >= _FAR:
            message = "the model's tokens cannot write the fields of the schema letter by letter"
            raise ModelError("model.unsupported", message, cure="use a model with a byte-level tokenizer")

    def require(self, max_new_tokens: int) -> None:
        """Refuse answers that are too short for any object.

        Raises:
            ConfigError: ``config.invalid``.
        """
        if max_new_tokens < self.fewest:
            message = (
                f"max_new_tokens is {max_new_tokens}, the shortest object of the schema takes {self.fewest} tokens"
            )
            raise ConfigError("config.invalid", message, cure="raise task.max_new_tokens, or ask for fewer fields")

    def allowed(self, ids: tuple[int, ...], *, room: int) -> Collection[int]:
        """Tokens after which an object can still be finished in ``room - 1`` tokens."""
        state = self._state(ids)
        if self.machine.accepts(state):
            return [self.eos_id]
        since, left = self.machine.split(state)
        tokens, needs, costs = self._mask(since)
        key = since, min(left, int(needs.max(initial=0))), min(room, int(costs.max(initial=0)) + 1)
        if key not in self._lists:
            self._lists[key] = tokens[(needs <= key[1]) & (costs < key[2])].tolist()
            if len(self._lists) > _MOST_LISTS:
                self._lists.popitem(last=False)
        self._lists.move_to_end(key)
        return self._lists[key]

    def _state(self, ids: tuple[int, ...]) -> State:
        """The state behind an answer, from the longest beginning whose state is known."""
        known = len(ids)
        while known and ids[:known] not in self._lines:
            known -= 1
        state = self._lines[ids[:known]] if known else self.machine.start
        for n in range(known, len(ids)):
            for byte in self.trie.pieces.get(ids[n], b""):
                after = self.machine.step(state, byte)
                assert after is not None, "a token that was not allowed"
                state = after
            self._lines[ids[: n + 1]] = state
            if len(self._lines) > _MOST_LINES:
                self._lines.popitem(last=False)
        return state

    def _mask(self, since: State) -> tuple[Int[np.ndarray, " n"], ...]:
        """Tokens that may follow, the room of the string that each takes, and the tokens that finish after it."""
        if since not in self._masks:
            found = [(token, need, self._cost(state)) for token, need, state in self.trie.walk(self.machine, since)]
            table = np.array([row for row in found if row[2] < _FAR], dtype=np.int64).reshape(-1, 3)
            table = table[table[:, 0].argsort(kind="stable")]
            self._masks[since] = tuple(table.T)
        return self._masks[since]

    def _cost(self, state: State) -> int:
        """Tokens that finish the object soonest, terminator included."""
        pending, rest = way = self.machine.finish(state)
        if way not in self._costs:
            able = not pending or self.trie.completes
            self._costs[way] = pending + self.trie.fewest(rest.encode()) + 1 if able else _FAR
        return self._costs[way]
