"""Which encoding a text file is written in: said by a byte order mark, proved by UTF-8, or a Western code page.

    byte order mark        UTF-8, UTF-16
    valid UTF-8            UTF-8: text of another encoding is practically never valid UTF-8 by accident
    every other byte zero  UTF-16 without a mark
    Western letters        Windows-1252, and the first word that decided is told
    anything else          refused: what was seen, and which setting settles it

Windows-1252 gives almost any byte a meaning, so it is taken only where letters beyond ASCII are the exception, as they
are in Western languages, and never for a file that is UTF-8 in most places (a damaged one).

Knows nothing of tables or JSON.
"""

import codecs
import re
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from softprompt.core.errors import DataError

__all__ = ["Encoding", "find_encoding"]

HEAD_BYTES = 1 << 16  #: of the file that are looked at for zero bytes and code pages
WESTERN = 0.3  #: share of letters beyond ASCII above which a text is not Western

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_MULTI = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_ASCII = bytes(range(128))
_LETTERS = string.ascii_letters.encode()
_UNDEFINED = (b"\x81", b"\x8d", b"\x8f", b"\x90", b"\x9d")  #: in Windows-1252
_WORD = re.compile(rb"[A-Za-z\x80-\xff]*[\x80-\xff][A-Za-z\x80-\xff]*")
_OTHERS = "cp1250 (Central European), cp1251 (Cyrillic), cp1253 (Greek), shift_jis, gb18030, big5, euc_kr"


@dataclass(frozen=True, slots=True)
class Encoding:
    """A codec, and why it was taken where that is worth saying."""

    name: str
    said: str = ""


def find_encoding(blocks: Iterable[bytes], *, name: str, wanted: str | None = None) -> Encoding:
    """The encoding of a file, every byte of which is checked.

    Args:
        blocks: The file from its beginning, once; it is not kept.
        name: For messages.
        wanted: The encoding that the user says it is.

    Raises:
        DataError: ``data.empty_file``, ``data.binary_file``, ``data.bad_encoding``.

    >>> find_encoding(["Grüße".encode()], name="a.csv")
    Encoding(name='utf-8', said='')
    >>> find_encoding(["Schöne Grüße".encode("cp1252")], name="a.csv").said
    "not UTF-8 (line 1, byte 0xf6): read as Windows-1252, which makes it 'Schöne'; set read.encoding if it is another"
    """
    iterator = iter(blocks)
    head = b""
    for block in iterator:
        head += block
        if len(head) >= HEAD_BYTES:
            break
    if not head:
        raise DataError("data.empty_file", "the file is empty", cure="check the path").at(name)
    guess, said = (wanted, "") if wanted else _by_zeros_and_marks(head, name)
    scan = _Scan(guess)
    for block in _chain(head, iterator):
        scan.feed(block)
    fault = scan.end()
    if fault is None:
        return Encoding(guess, said)
    if wanted or guess != "utf-8":
        cure = "say another encoding with --read encoding=..., or save the file as UTF-8"
        raise DataError(
            "data.bad_encoding", f"byte 0x{fault.byte:02x} is not {guess.removesuffix('-sig').upper()}", cure=cure
        ).at(f"{name}:{fault.line}")
    return _code_page(scan, fault, name)


def _chain(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def _by_zeros_and_marks(head: bytes, name: str) -> tuple[str, str]:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, "" if encoding == "utf-8-sig" else "UTF-16, as its byte order mark says"
    if b"\0" not in head:
        return "utf-8", ""
    even, odd = head[::2].count(0) / len(head[::2]), head[1::2].count(0) / max(1, len(head[1::2]))
    if min(even, odd) < 0.05 and max(even, odd) > 0.4:
        encoding = "utf-16-le" if odd > even else "utf-16-be"
        return encoding, f"every other byte is zero: read as {encoding.upper()}"
    raise DataError(
        "data.binary_file",
        f"this is no text file (a zero byte at {head.index(0)})",
        cure="export the data as CSV or JSON lines",
    ).at(name)


@dataclass(frozen=True, slots=True)
class _Fault:
    line: int
    byte: int
    word: bytes


class _Scan:
    """One pass over the bytes: whether they decode, and what of them a code page would have to explain."""

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding
        self.decoder = codecs.getincrementaldecoder(encoding)("strict")
        self.fault: _Fault | None = None
        self.line = 1
        self.high = self.ascii = self.multi = self.undefined = 0
        self.tail = b""

    def feed(self, block: bytes) -> None:
        if self.fault is None:
            before = len(self.decoder.getstate()[0])
            try:
                self.decoder.decode(block)
            except UnicodeDecodeError as error:
                self._found(error, block, before)
        self.line += block.count(b"\n")
        high = 0 if block.isascii() else len(block.translate(None, _ASCII))
        self.high += high
        self.ascii += len(block) - len(block.translate(None, _LETTERS))
        # before the first fault every such byte is a part of valid UTF-8
        self.multi += high if self.fault is None else sum(map(len, _MULTI.findall(block)))
        self.undefined += sum(block.count(byte) for byte in _UNDEFINED) if high else 0

    def _found(self, error: UnicodeDecodeError, block: bytes, before: int) -> None:
        at = max(0, error.start - before)
        at = min(at, len(block) - 1)
        found = _WORD.search(block, max(block.rfind(b" ", 0, at), block.rfind(b"\n", 0, at)) + 1)
        word = found[0] if found else block[at : at + 1]
        seen = error.object[min(error.start, len(error.object) - 1)]
        self.fault = _Fault(self.line + block.count(b"\n", 0, at), seen, word[:40])

    def end(self) -> _Fault | None:
        """What does not decode, if anything."""
        if self.fault is None:
            try:
                self.decoder.decode(b"", final=True)
            except UnicodeDecodeError as error:
                self.fault = _Fault(self.line, error.object[min(error.start, len(error.object) - 1)], b"")
        return self.fault


def _code_page(scan: _Scan, fault: _Fault, name: str) -> Encoding:
    """Windows-1252 where the bytes speak for it."""
    seen = f"byte 0x{fault.byte:02x} is not UTF-8"
    cure = f"say which encoding it is with --read encoding=cp1252 (Western) or another, e.g. {_OTHERS}"
    if scan.multi > scan.high / 2:
        reason = f"{seen}, though most of the file is: it is damaged, or two files were joined"
        cure = "correct the line, or say --read encoding=cp1252 if it is none after all"
    elif scan.undefined:
        reason = f"{seen}, and bytes stand in it that Windows-1252 does not have"
    elif (share := scan.high / (scan.high + scan.ascii)) > WESTERN:
        reason = f"{seen}, and {share:.0%} of its letters are beyond ASCII: no Western text"
    else:
        word = fault.word.decode("cp1252", "replace") or "text"
        said = (
            f"not UTF-8 (line {fault.line}, byte 0x{fault.byte:02x}): read as Windows-1252, which makes it {word!r}; "
            "set read.encoding if it is another"
        )
        return Encoding("cp1252", said)
    raise DataError("data.bad_encoding", reason, cure=cure).at(f"{name}:{fault.line}")
