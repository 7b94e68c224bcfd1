"""stdin, stdout and stderr on every system: signs that a console cannot print, readers that are gone, rows in UTF-8.

A Windows console or pipe often speaks a code page of 256 signs (cp1252), and ``LC_ALL=C`` 128: what is not among them
is written plainly, and nothing ends with a traceback. A pipe whose reader is gone is ``BrokenPipeError`` on Linux and
macOS, and an invalid argument on Windows. Rows come in UTF-8 whatever the console speaks.
"""

import codecs
import errno
import io
import os
from collections.abc import Iterable, Iterator

from softprompt.core.errors import DataError

__all__ = ["decoded", "is_broken_pipe", "silence", "speak_plainly"]

#: Signs of our own and what stands for them; any other sign is written as its code, ``\u8fd4``.
PLAIN = {
    "…": "...", "·": ".", "⏎": "\\n", "⇥": "\\t", "␍": "\\r", "⍽": " ", "→": "->", "–": "-", "—": "-", "−": "-",
    "±": "+-", "×": "x", "≥": ">=", "≤": "<=", "’": "'", "‘": "'", "“": '"', "”": '"', "•": "*", "─": "-",
    "\u202f": " ",
}  # fmt: skip

_HANDLER = "softprompt.plain"


def speak_plainly(*streams: object) -> None:
    """Let streams write plainly what their encoding does not have.

    >>> import io
    >>> screen = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    >>> speak_plainly(screen)
    >>> _ = screen.write("6 % … 9 % → 返")
    >>> screen.flush()
    >>> screen.buffer.getvalue().decode("cp1252")
    '6 % … 9 % -> \\\\u8fd4'
    """
    codecs.register_error(_HANDLER, _plainly)
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def is_broken_pipe(error: OSError, *, system: str = os.name) -> bool:
    """Whether nobody reads a pipe any more.

    >>> is_broken_pipe(BrokenPipeError()), is_broken_pipe(OSError(errno.EINVAL, "invalid"), system="nt")
    (True, True)
    """
    if isinstance(error, BrokenPipeError):
        return True
    return system == "nt" and error.errno == errno.EINVAL and error.filename is None


def silence(descriptor: int) -> None:
    """Nothing more goes to a pipe that nobody reads: the interpreter would complain while it shuts down."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def decoded(stream: Iterable[str]) -> Iterator[str]:
    r"""Lines in UTF-8, whatever encoding the system gave the stream.

    Raises:
        DataError: ``data.bad_encoding`` with the line.

    >>> list(decoded(io.TextIOWrapper(io.BytesIO("größer\r\n".encode()), encoding="cp1252")))
    ['größer\r\n']
    """
    if not isinstance(stream, io.TextIOWrapper):  # its lines are text already
        yield from stream
        return
    for number, line in enumerate(stream.buffer, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            message = f"the line is not UTF-8: byte 0x{line[error.start]:02x} at place {error.start + 1}"
            cure = "pipe UTF-8, or say what it is: --read format=jsonl --read encoding=cp1252"
            raise DataError("data.bad_encoding", message, cure=cure).at(f"stdin:{number}") from None


def _plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    """What stands for signs that cannot be written, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    plain = (PLAIN.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in signs)
    return "".join(plain), error.end
