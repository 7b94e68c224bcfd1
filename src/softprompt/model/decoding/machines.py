"""Machines that read canonical JSON byte by byte: what may come next, and how a text is finished soonest.

One machine for each kind of field of :class:`softprompt.core.schema.Schema`, and :class:`ObjectMachine` that runs them
in the order of the schema. Each accepts exactly the canonical texts: what a machine accepts parses, satisfies the
schema, and is how the object would be written.

States are small tuples, so they can be keys of caches. The room of a string, the characters that it may still have, is
told apart from the rest of a state: what may follow is looked up once for all rooms.

Knows bytes and schemas; no tokens and no models.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from softprompt.core.schema import DIGITS, Property, Schema, quote

__all__ = ["Finish", "Machine", "ObjectMachine", "State", "machine_of"]

State = tuple[Any, ...]

#: How a text is finished soonest: bytes that complete a character, and the text after it.
Finish = tuple[int, str]

_MOST_STEPS = 1 << 17  #: steps of an object that are remembered

_QUOTE, _BACKSLASH, _MINUS, _ZERO, _POINT = b'"'[0], b"\\"[0], b"-"[0], b"0"[0], b"."[0]


class Machine(ABC):
    """Reads the bytes of one value."""

    @property
    @abstractmethod
    def start(self) -> State:
        """Before the first byte."""

    @abstractmethod
    def step(self, state: State, byte: int) -> State | None:
        """After one more byte; None where it cannot come."""

    @abstractmethod
    def accepts(self, state: State) -> bool:
        """Whether the value may end here."""

    @abstractmethod
    def finish(self, state: State) -> Finish:
        """The shortest way to an accepting state."""

    def split(self, state: State) -> tuple[State, int]:
        """The state as if nothing had been written into the string it is in, and the room that string has left."""
        return state, 0

    def spent(self, since: State, state: State) -> int | None:
        """Room of the string of ``since`` (as :meth:`split` gives it) that is spent; None once that string is left."""
        return None


@dataclass(frozen=True)
class Options(Machine):
    """One of several texts. States: the bytes so far.

    >>> machine = Options((b"low", b"high"))
    >>> machine.step(machine.start, ord("h")), machine.step(machine.start, ord("x")), machine.finish((b"l",))
    ((b'h',), None, (0, 'ow'))
    """

    texts: tuple[bytes, ...]

    @property
    def start(self) -> State:
        return (b"",)

    def step(self, state: State, byte: int) -> State | None:
        after = state[0] + bytes([byte])
        return (after,) if any(text.startswith(after) for text in self.texts) else None

    def accepts(self, state: State) -> bool:
        return state[0] in self.texts

    def finish(self, state: State) -> Finish:
        before: bytes = state[0]
        rest = min((text[len(before) :] for text in self.texts if text.startswith(before)), key=len)
        # options hold whole characters: an unfinished one is a few bytes before the rest of the text
        pending = next(n for n in range(len(rest) + 1) if n == len(rest) or rest[n] & 0xC0 != 0x80)
        return pending, rest[pending:].decode()


@dataclass(frozen=True)
class Number(Machine):
    """A number without exponent, of at most :data:`DIGITS` digits, no zero that could be left out.

    States: (phase, digits so far, whether a minus came).

    >>> machine = Number(whole=False)
    >>> [reads(machine, text) for text in ("-0.5", "12", "-0", "1.50", "01")]
    [True, True, False, False, False]
    """

    whole: bool

    @property
    def start(self) -> State:
        return "start", 0, False

    def step(self, state: State, byte: int) -> State | None:
        phase, digits, minus = state
        digit = _ZERO <= byte <= _ZERO + 9
        if byte == _MINUS:
            return ("start", 0, True) if (phase, minus) == ("start", False) else None
        if byte == _POINT:
            return None if self.whole or phase not in {"zero", "int"} or digits >= DIGITS else ("point", digits, minus)
        if not digit or digits >= DIGITS or phase == "zero":
            return None
        if phase in {"point", "part", "gap"}:
            # a zero must be followed by a digit that needs it
            return ("part", digits + 1, minus) if byte != _ZERO else self._gap(digits + 1, minus)
        if phase == "start" and byte == _ZERO:
            return None if self.whole and minus else ("zero", 1, minus)
        return "int", digits + 1, minus

    def _gap(self, digits: int, minus: bool) -> State | None:
        return ("gap", digits, minus) if digits < DIGITS else None

    def accepts(self, state: State) -> bool:
        phase, _, minus = state
        return phase in {"int", "part"} or (phase == "zero" and not minus)

    def finish(self, state: State) -> Finish:
        phase, _, minus = state
        rest = {"start": "1" if minus else "0", "zero": ".1" if minus else "", "point": "1", "gap": "1"}
        return 0, rest.get(phase, "")


#: After the first byte of a character of several bytes: how many follow, and between what the second lies. Without
#: halves of surrogate pairs, longer forms than needed, and what lies beyond Unicode (RFC 3629, section 4).
_LEADS = {
    **dict.fromkeys(range(194, 224), (1, 128, 191)),
    **dict.fromkeys(range(225, 240), (2, 128, 191)),
    **dict.fromkeys(range(241, 244), (3, 128, 191)),
    0xE0: (2, 0xA0, 0xBF),
    0xED: (2, 0x80, 0x9F),
    0xF0: (3, 0x90, 0xBF),
    0xF4: (3, 0x80, 0x8F),
}
_SHORT_ESCAPES = frozenset(b'"\\bfnrt')
#: The last digit of \u000x and \u001x where JSON has no shorter form.
_HEX = {"0": frozenset(b"01234567bef"), "1": frozenset(b"0123456789abcdef")}


@dataclass(frozen=True)
class String(Machine):
    """A string of at most ``max_length`` characters. States: (phase, characters left, what the phase needs).

    >>> machine = String(3)
    >>> [reads(machine, quote(text)) for text in ("", "a\\n\\x1f", "üß€", "four")]
    [True, True, True, False]
    >>> reads(machine, '"\\\\/"')
    False
    """

    max_length: int

    @property
    def start(self) -> State:
        return ("start", self.max_length)

    def step(self, state: State, byte: int) -> State | None:
        phase, left = state[:2]
        match phase:
            case "start":
                return ("in", left) if byte == _QUOTE else None
            case "in":
                return self._inside(left, byte)
            case "more":
                _, _, pending, low, high = state
                if not low <= byte <= high:
                    return None
                return ("more", left, pending - 1, 0x80, 0xBF) if pending > 1 else ("in", left)
            case "escape":
                if byte in _SHORT_ESCAPES:
                    return "in", left
                return ("hex", left, "") if byte == b"u"[0] else None
            case "hex":
                return self._hex(left, state[2], byte)
            case _:
                return None

    def _inside(self, left: int, byte: int) -> State | None:
        if byte == _QUOTE:
            return ("closed", left)
        if not left or byte < 0x20:
            return None
        if byte == _BACKSLASH:
            return "escape", left - 1
        if byte < 0x80:
            return "in", left - 1
        return ("more", left - 1, *_LEADS[byte]) if byte in _LEADS else None

    def _hex(self, left: int, digits: str, byte: int) -> State | None:
        if len(digits) < 2:
            return ("hex", left, digits + "0") if byte == _ZERO else None
        if len(digits) == 2:
            return ("hex", left, digits + chr(byte)) if chr(byte) in _HEX else None
        return ("in", left) if byte in _HEX[digits[2]] else None

    def accepts(self, state: State) -> bool:
        return bool(state[0] == "closed")

    def finish(self, state: State) -> Finish:
        phase = state[0]
        if phase == "more":
            return state[2], '"'
        rest = {"start": '""', "in": '"', "escape": 'n"', "closed": ""}
        return 0, rest[phase] if phase in rest else f'{"0000"[len(state[2]) :]}"'

    def split(self, state: State) -> tuple[State, int]:
        return (state[0], self.max_length, *state[2:]), state[1]

    def spent(self, since: State, state: State) -> int:
        return int(since[1] - state[1])


@dataclass(frozen=True)
class Strings(Machine):
    """An array of at most ``max_items`` strings. States: (phase, strings left, state of the string).

    >>> machine = Strings(String(5), 2)
    >>> [reads(machine, text) for text in ('[]', '["a","b"]', '["a",]', '["a","b","c"]')]
    [True, True, False, False]
    """

    string: Machine
    max_items: int

    @property
    def start(self) -> State:
        return "start", self.max_items, ()

    def step(self, state: State, byte: int) -> State | None:
        phase, left, inner = state
        if phase == "start":
            return ("open", left, ()) if byte == b"["[0] else None
        if phase == "item" and (after := self.string.step(inner, byte)) is not None:
            return "item", left, after
        ended = phase == "open" or (phase == "item" and self.string.accepts(inner))
        if ended and byte == b"]"[0]:
            return "closed", 0, ()
        if phase == "item" and ended:
            return ("comma", left, ()) if byte == b","[0] and left else None
        if phase in {"open", "comma"} and left and (after := self.string.step(self.string.start, byte)) is not None:
            return "item", left - 1, after
        return None

    def accepts(self, state: State) -> bool:
        return bool(state[0] == "closed")

    def finish(self, state: State) -> Finish:
        phase, _, inner = state
        if phase == "item":
            pending, rest = self.string.finish(inner)
            return pending, f"{rest}]"
        return 0, {"start": "[]", "open": "]", "comma": '""]', "closed": ""}[phase]

    def split(self, state: State) -> tuple[State, int]:
        phase, left, inner = state
        if phase != "item":
            return state, 0
        inner, room = self.string.split(inner)
        return (phase, left, inner), room

    def spent(self, since: State, state: State) -> int | None:
        same = since[0] == state[0] == "item" and since[1] == state[1]
        return self.string.spent(since[2], state[2]) if same else None


@dataclass(frozen=True)
class Nullable(Machine):
    """``null``, or what another machine reads. States: ("null", bytes so far), or those of the other."""

    value: Machine

    @property
    def start(self) -> State:
        return ("either",)

    def step(self, state: State, byte: int) -> State | None:
        if state[0] == "either":
            after = self.value.step(self.value.start, byte)
            return after if after is not None else ("null", 1) if byte == b"n"[0] else None
        if state[0] == "null":
            return ("null", state[1] + 1) if b"null"[state[1] : state[1] + 1] == bytes([byte]) else None
        return self.value.step(state, byte)

    def accepts(self, state: State) -> bool:
        if state[0] in {"either", "null"}:
            return state == ("null", 4)
        return self.value.accepts(state)

    def finish(self, state: State) -> Finish:
        if state[0] == "either":
            return min((0, "null"), self.value.finish(self.value.start), key=lambda way: len(way[1]))
        return (0, "null"[state[1] :]) if state[0] == "null" else self.value.finish(state)

    def split(self, state: State) -> tuple[State, int]:
        return (state, 0) if state[0] in {"either", "null"} else self.value.split(state)

    def spent(self, since: State, state: State) -> int | None:
        return None if {since[0], state[0]} & {"either", "null"} else self.value.spent(since, state)


def machine_of(field: Property) -> Machine:
    """The machine of a field's values."""
    if field.kind in ("enum", "boolean"):
        texts = field.written_options if field.kind == "enum" else ("true", "false")
        texts = (*texts, "null") if field.nullable else texts
        return Options(tuple(text.encode() for text in texts))
    if field.kind in ("integer", "number"):
        machine: Machine = Number(whole=field.kind == "integer")
    else:
        machine = String(field.max_length)
        machine = Strings(machine, field.max_items) if field.kind == "array" else machine
    return Nullable(machine) if field.nullable else machine


class ObjectMachine(Machine):
    """An object of a schema. States: (number of the part, state in the part); parts are keys and values in turn.

    Args:
        schema: Its fields.
        lead: Text that stands before the object.

    >>> machine = ObjectMachine(Schema.parse({"n": "integer", "ok": "boolean"}))
    >>> [reads(machine, text) for text in ('{"n":7,"ok":true}', '{"n":7}', '{"n":7,"ok":true} ')]
    [True, False, False]
    >>> machine.finish(machine.start)
    (0, '{"n":0,"ok":true}')
    """

    def __init__(self, schema: Schema, *, lead: str = "") -> None:
        parts: list[Machine] = []
        for number, field in enumerate(schema.properties):
            before = "," if number else lead + "{"
            parts += [Options((f"{before}{quote(field.name)}:".encode(),)), machine_of(field)]
        self.parts: Sequence[Machine] = (*parts, Options((b"}",)))
        rests = [part.finish(part.start)[1] for part in self.parts]
        self._after = ["".join(rests[i + 1 :]) for i in range(len(rests))]
        self._known: dict[tuple[State, int], State | None] = {}

    @property
    def start(self) -> State:
        return 0, self.parts[0].start

    def step(self, state: State, byte: int) -> State | None:
        key = state, byte
        if key not in self._known:
            if len(self._known) > _MOST_STEPS:
                self._known.clear()
            self._known[key] = self._step(state, byte)
        return self._known[key]

    def _step(self, state: State, byte: int) -> State | None:
        part, inner = state
        after = self.parts[part].step(inner, byte)
        if after is None and part + 1 < len(self.parts) and self.parts[part].accepts(inner):
            part += 1
            after = self.parts[part].step(self.parts[part].start, byte)
        return None if after is None else (part, after)

    def accepts(self, state: State) -> bool:
        part, inner = state
        return part == len(self.parts) - 1 and self.parts[part].accepts(inner)

    def finish(self, state: State) -> Finish:
        part, inner = state
        pending, rest = self.parts[part].finish(inner)
        return pending, rest + self._after[part]

    def split(self, state: State) -> tuple[State, int]:
        part, inner = state
        inner, room = self.parts[part].split(inner)
        return (part, inner), room

    def spent(self, since: State, state: State) -> int | None:
        return self.parts[state[0]].spent(since[1], state[1]) if since[0] == state[0] else None


def reads(machine: Machine, text: str) -> bool:
    """Whether a machine accepts a whole text."""
    state: State | None = machine.start
    for byte in text.encode():
        state = None if state is None else machine.step(state, byte)
    return state is not None and machine.accepts(state)
