r"""The grammar of templates: text to parts, and errors that point; nothing in a template is ever evaluated.

    words                   stand as they are, over as many lines as needed
    {name}                  a field of the data
    {answer}                where the answer goes: once, at the end
    {bos}                   the model's beginning-of-sequence token, nothing where it has none: at the start only
    <soft 20>               20 learned vectors; also <soft 20 name>, <soft 20 "start text">, <soft 20 name "start text">
    <decoder>               of an encoder-decoder: the text is read up to here, from here on the model writes
    {? words {name} ?}      an optional part: left out when a field inside is empty
    {special "<|user|>"}    text of the model's own chat skeleton, where special-token strings are special tokens

One rule of escaping: what has a meaning is written twice to be plain: ``{{``, ``}}``, ``<<soft``, ``<<decoder>``, and
``""`` inside quotes.

Knows nothing of tokens, examples or tasks.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable
from typing import NoReturn

from softprompt.core.errors import TemplateError
from softprompt.model.templates.parts import AnswerPlace, Bos, Decoder, Field, OptionalPart, Part, Slot, Special, Words

__all__ = ["parse"]

MAX_LENGTH = 10_000  # soft tokens a slot: far above use, far below what would exhaust memory before it is refused

_NAME = re.compile(r"[^\W\d](?:[\w.\- ]*\w)?")
_BRACES = re.compile(r"\{([^{}\n]*)\}")
_SPECIAL = re.compile(r'\{special\s+"((?:[^"]|"")*)"\s*\}')
# "<software>" is plain text, "<soft20>" a typing error worth a message
_ANGLE = re.compile(r"(<+)(soft(?![^\W\d])|decoder>)")
_SLOT = re.compile(r'<soft\s+(\d+)(?:\s+([A-Za-z_][\w-]*))?(?:\s+"((?:[^"]|"")*)")?\s*>', re.ASCII)
_CLOSE = re.compile(r"\?(\}+)")
_PLAIN = re.compile(r"[^{}<?]+|[<?]")
_SLOT_FORMS = '<soft 20>, <soft 20 name>, <soft 20 "start text"> or <soft 20 name "start text">'


def parse(source: str, *, bos: bool = True, answer: bool = True) -> tuple[Part, ...]:
    """The parts of a template; white space after ``{answer}`` is dropped.

    Args:
        source: What the user wrote.
        bos: Whether ``{bos}`` may stand at the start (not in the parts of a chat).
        answer: Whether ``{answer}`` must stand at the end, or must not stand at all.

    Raises:
        TemplateError: ``template.syntax``, ``template.unclosed``, ``template.slot``, ``template.optional``,
            ``template.bos_not_first``, ``template.no_answer``, ``template.answer_not_last``, ``template.decoder``; with
            the line and a caret.

    >>> parse("{text}<soft 20> It was {answer}")
    (Field(name='text'), Slot(length=20, name=None, start_text=None), Words(text=' It was '), AnswerPlace())
    """
    scanner = _Scanner(source)
    placed = scanner.scan()
    _check_order(scanner, placed, bos=bos, answer=answer)
    _check_slots(scanner, placed)
    return tuple(part for _, part in placed)


class _Scanner:
    """One pass over the source, left to right; every part with the position of its first character."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0

    def fail(self, code: str, position: int, message: str, *, cure: str) -> NoReturn:
        """Raise with the line and a caret under ``position``."""
        raise TemplateError(code, f"{message}\n{_point(self.source, position)}", cure=cure)

    def scan(self) -> list[tuple[int, Part]]:
        placed: list[tuple[int, Part]] = []
        while self.at < len(self.source):
            start = self.at
            part = self._optional() if self.source.startswith("{?", start) else self._marked()
            _append(placed, start, part or Words(self._words()))
        return placed

    def _marked(self) -> Part | None:
        """The part in braces or angle brackets that begins here, None where words begin."""
        if self.source[self.at] == "{" and not self.source.startswith("{{", self.at):
            return self._braces()
        found = _ANGLE.match(self.source, self.at)
        if found is None or len(found[1]) != 1:
            return None
        if found[2] == "soft":
            return self._slot()
        self.at = found.end()
        return Decoder()

    def _words(self) -> str:
        """The next few characters of plain text, escapes resolved."""
        start = self.at
        if self.source.startswith(("{{", "}}"), start):
            self.at += 2
            return self.source[start]
        if self.source[start] == "}":
            self.fail("template.unclosed", start, "a } closes nothing", cure="write }} for a plain brace")
        if found := _ANGLE.match(self.source, start):
            # two brackets are one plain one; an odd one out opens a slot and stays for the next round
            pairs, odd = divmod(len(found[1]), 2)
            self.at = start + 2 * pairs if odd else found.end()
            return "<" * pairs + ("" if odd else found[2])
        found = _PLAIN.match(self.source, start)
        assert found is not None
        self.at = found.end()
        return found[0]

    def _optional(self) -> OptionalPart:
        start = self.at
        self.at += 2
        placed: list[tuple[int, Part]] = []
        while True:
            here = self.at
            if here >= len(self.source):
                self.fail("template.unclosed", start, "the optional part {? is never closed", cure="close it with ?}")
            closing = _CLOSE.match(self.source, here)
            if closing and len(closing[1]) % 2:  # an even number of braces is plain ones behind a question mark
                self.at += 2
                break
            nested = self.source.startswith("{?", here)
            part = None if nested else self._marked()
            if nested or not isinstance(part, Field | None):
                cure = "move it out of the {? ?}"
                self.fail("template.optional", here, "an optional part holds words and fields only", cure=cure)
            _append(placed, here, part or Words(self._words()))
        parts = tuple(part for _, part in placed if isinstance(part, Words | Field))
        if not any(isinstance(part, Field) for part in parts):
            self.fail("template.optional", start, "no field in the optional part decides", cure="put a {field} into it")
        return OptionalPart(parts)

    def _braces(self) -> Part:
        start = self.at
        if special := _SPECIAL.match(self.source, start):
            self.at = special.end()
            return Special(special[1].replace('""', '"'))
        found = _BRACES.match(self.source, start)
        if found is None:
            self.fail(
                "template.unclosed", start, "a { is never closed", cure="close it with } or write {{ for a plain brace"
            )
        self.at = found.end()
        name = found[1]
        if name == "bos":
            return Bos()
        if name == "answer":
            return AnswerPlace()
        if name == "eos":
            self.fail(
                "template.syntax",
                start,
                "{eos} is no part: every answer gets its terminator by itself",
                cure="leave it out",
            )
        if not _NAME.fullmatch(name):
            message = f"{found[0]} names no field: letters, digits, blanks and _ . - are allowed; nothing is evaluated"
            self.fail("template.syntax", start, message, cure="write {{ and }} for plain braces")
        return Field(name)

    def _slot(self) -> Slot:
        start = self.at
        found = _SLOT.match(self.source, start)
        if found is None:
            if ">" not in self.source[start:]:
                self.fail("template.unclosed", start, "a <soft is never closed", cure=f"write {_SLOT_FORMS}")
            written = self.source[start : self.source.index(">", start) + 1]
            self.fail(
                "template.slot",
                start,
                f"{written} is no soft slot",
                cure=f"write {_SLOT_FORMS}, or <<soft for plain text",
            )
        length = int(found[1]) if len(found[1]) < 10 else MAX_LENGTH + 1
        if not 1 <= length <= MAX_LENGTH:
            message = f"a soft slot has 1 to {MAX_LENGTH} tokens, got {found[1]}"
            self.fail("template.slot", start, message, cure="20 is a good start")
        self.at = found.end()
        return Slot(length, found[2], found[3].replace('""', '"') if found[3] else None)


def _append(placed: list[tuple[int, Part]], start: int, part: Part) -> None:
    """Add a part; words next to words become one."""
    if isinstance(part, Words) and placed and isinstance(last := placed[-1][1], Words):
        placed[-1] = (placed[-1][0], Words(last.text + part.text))
    elif part != Words(""):
        placed.append((start, part))


def _check_order(scanner: _Scanner, placed: list[tuple[int, Part]], *, bos: bool, answer: bool) -> None:
    """``{bos}`` first, ``{answer}`` once and last, or neither where they are not allowed."""
    for index, (start, part) in enumerate(placed):
        if isinstance(part, Bos) and (index or not bos):
            where = "at the very start" if bos else "not in a part of a chat"
            scanner.fail("template.bos_not_first", start, f"{{bos}} stands {where}", cure="move or remove it")
    marks = [(index, start) for index, (start, part) in enumerate(placed) if isinstance(part, Decoder)]
    if marks and not (bos and answer):
        cure = "remove it: chat formats belong to causal models"
        scanner.fail("template.decoder", marks[0][1], "<decoder> stands in a part of a chat", cure=cure)
    if len(marks) > 1:
        scanner.fail("template.decoder", marks[1][1], "<decoder> stands a second time", cure="keep one of them")
    if marks and not any(not isinstance(part, Bos) for _, part in placed[: marks[0][0]]):
        message = "nothing stands before <decoder> for the encoder to read"
        scanner.fail("template.decoder", marks[0][1], message, cure="write the text before <decoder>")
    answers = [index for index, (_, part) in enumerate(placed) if isinstance(part, AnswerPlace)]
    if answers and not answer:
        cure = "remove it, or write it into the assistant's part"
        scanner.fail(
            "template.answer_not_last", placed[answers[0]][0], "{answer} belongs to the assistant's turn", cure=cure
        )
    if not answers and answer:
        names = [part.name for _, part in placed if isinstance(part, Field)]
        close = difflib.get_close_matches("answer", names, n=1)
        hint = f"did you mean it by {{{close[0]}}}?" if close else "add it at the end, as in 'It was {answer}'"
        scanner.fail("template.no_answer", len(scanner.source), "the template has no {answer}", cure=hint)
    if len(answers) > 1:
        scanner.fail(
            "template.answer_not_last", placed[answers[1]][0], "{answer} stands a second time", cure="keep the last"
        )
    if answers and (rest := placed[answers[0] + 1 :]):
        start, part = rest[0]
        if len(rest) > 1 or not isinstance(part, Words) or part.text.strip():
            scanner.fail(
                "template.answer_not_last", start, "something stands after {answer}", cure="let {answer} be the end"
            )
        placed.pop()


def _check_slots(scanner: _Scanner, placed: Iterable[tuple[int, Part]]) -> None:
    """Slots of one name share their vectors, so they agree in length and start text."""
    known: dict[str, Slot] = {}
    for start, part in placed:
        if not isinstance(part, Slot) or part.name is None:
            continue
        first = known.setdefault(part.name, part)
        if part.length != first.length:
            message = f"slot {part.name!r} has {first.length} tokens above and {part.length} here"
            scanner.fail(
                "template.slot", start, message, cure="one name shares its vectors: agree in length or rename one"
            )
        if part.start_text and first.start_text and part.start_text != first.start_text:
            message = f"slot {part.name!r} starts from {first.start_text!r} above and {part.start_text!r} here"
            scanner.fail("template.slot", start, message, cure="write the start text once or rename one")
        if part.start_text:
            known[part.name] = part


def _point(source: str, position: int) -> str:
    """The line of ``position``, at most 72 characters of it, and a caret under it; wide characters count two."""
    begin = source.rfind("\n", 0, position) + 1
    end = source.find("\n", position)
    line = source[begin : len(source) if end < 0 else end].rstrip("\r")
    column = position - begin
    left = max(0, column - 50)
    shown = ("…" if left else "") + line[left : left + 72] + ("…" if len(line) > left + 72 else "")
    before = ("…" if left else "") + line[left:column]
    pad = "".join("\t" if c == "\t" else "  " if unicodedata.east_asian_width(c) in "WF" else " " for c in before)
    return f"  line {source.count(chr(10), 0, position) + 1}, column {column + 1}:\n    {shown}\n    {pad}^"
