"""The bytes of a file or of standard input, as often as they are asked for, and the text in them.

A file is opened again each time and never held; standard input comes once, so it is held. What is gzipped is unpacked
on the way, by its first bytes and not by its name.

Knows nothing of encodings beyond their names, and nothing of formats.
"""

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from softprompt.core.errors import DataError

__all__ = ["STDIN", "Content", "readable"]

STDIN = "-"  #: the path that means standard input
BLOCK_BYTES = 1 << 20
GZIP = b"\x1f\x8b"


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Faults of the system and of gzip as errors of ours.

    Raises:
        DataError: ``data.unreadable``.
    """
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError("data.unreadable", f"the file cannot be read: {reason}").at(name) from None


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that can be read again.

    Attributes:
        path: The file; ``-`` for standard input.
        held: What standard input gave; None for a file.
        zipped: Whether the bytes are gzipped.
    """

    path: Path
    held: bytes | None = None
    zipped: bool = False

    @classmethod
    def of(cls, path: Path | str) -> "Content":
        """A file, or standard input for ``-``, which is read to its end.

        Raises:
            DataError: ``data.missing_file``, ``data.not_a_file``, ``data.unreadable``, ``data.empty_file``.
        """
        path = Path(path)
        if str(path) == STDIN:
            held = sys.stdin.buffer.read()
            if not held:
                raise DataError("data.empty_file", "nothing came", cure="pipe rows into it").at("stdin")
            return cls(path, held, held.startswith(GZIP))
        with readable(str(path)):
            _check_file(path)
            with path.open("rb") as file:
                return cls(path, None, file.read(2) == GZIP)

    @property
    def name(self) -> str:
        """For messages."""
        return "stdin" if self.held is not None else str(self.path)

    @property
    def suffix(self) -> str:
        """The suffix that tells the format, in small letters, that of gzip aside.

        >>> Content(Path("Rows.CSV.gz")).suffix
        '.csv'
        """
        suffixes = [suffix.lower() for suffix in self.path.suffixes]
        return "".join(suffixes[-2:-1] if suffixes[-1:] == [".gz"] else suffixes[-1:])

    def open(self) -> io.BufferedIOBase:
        """The unpacked bytes from the beginning."""
        if self.held is None:
            return gzip.open(self.path, "rb") if self.zipped else self.path.open("rb")
        raw = io.BytesIO(self.held)
        return gzip.GzipFile(fileobj=raw) if self.zipped else raw

    def blocks(self) -> Iterator[bytes]:
        """The unpacked bytes, a megabyte at a time.

        Raises:
            DataError: ``data.unreadable``.
        """
        with readable(self.name), self.open() as file:
            while block := file.read(BLOCK_BYTES):
                yield block

    def lines(self, encoding: str, *, newline: str = "\n") -> Iterator[str]:
        """The text line by line, line ends as they stand.

        Args:
            encoding: That the bytes are known to have.
            newline: ``"\\n"``: lines end there alone; ``""``: also at a carriage return.

        Raises:
            DataError: ``data.unreadable``.
        """
        with readable(self.name), io.TextIOWrapper(cast(IO[bytes], self.open()), encoding, newline=newline) as text:
            yield from text

    def text(self, encoding: str) -> str:
        """The whole text.

        Raises:
            DataError: ``data.unreadable``.
        """
        return "".join(self.lines(encoding))

    def head(self, encoding: str, *, num_chars: int) -> str:
        """Whole lines from the beginning, about so many characters of them."""
        lines: list[str] = []
        count = 0
        for line in self.lines(encoding):
            if lines and count + len(line) > num_chars:
                break
            lines.append(line)
            count += len(line)
        return "".join(lines)


def _check_file(path: Path) -> None:
    if not path.exists():
        raise DataError("data.missing_file", "there is no such file", cure=_lookalikes(path)).at(str(path))
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no regular file"
        raise DataError("data.not_a_file", f"this is {what}, a file is needed", cure="name one file").at(str(path))


def _lookalikes(path: Path) -> str:
    folder = path.parent
    files = sorted(p.name for p in folder.iterdir() if p.is_file())[:8] if folder.is_dir() else []
    if not folder.is_dir() and not path.suffix and len(path.parts) == 2:
        return f"check the path; a data set of the hub is written hub:{path}"
    return f"{folder} holds {', '.join(files)}" if files else "check the path"
