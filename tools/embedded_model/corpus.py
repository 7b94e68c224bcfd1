"""Text files as documents, pieces and a fixed held-out part, read as a stream.

A corpus is one UTF-8 file (`.txt` or `.txt.zst`) whose documents are separated by a line `<|doc|>`. Documents are cut
into pieces, and one seeded draw a piece decides whether it is held out, so the held-out part stays the same whatever is
done with the rest. Knows nothing of tokens.
"""

import hashlib
import io
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

SEPARATOR = "<|doc|>"
SHORTEST_CHARS = 200  # shorter documents are mostly stubs and disambiguation pages
LONG_CHARS, PIECE_CHARS = 30_000, 20_000  # a book is cut at blank lines into pieces of about the second number
HELD_OUT_SHARE, HELD_OUT_CHARS = 0.003, 400_000  # of the pieces; at most so many characters a corpus
PARAGRAPH_CHARS = 80  # shorter lines (headings, dialogue) repeat legitimately


def corpus_name(path: Path) -> str:
    """The corpus's short name.

    >>> corpus_name(Path("texts/letters.txt.zst"))
    'letters'
    """
    return path.name.split(".")[0]


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a text file, decompressed on the way if it ends in `.zst`; undecodable bytes become U+FFFD."""
    with path.open("rb") as raw:
        stream = _decompress(raw) if path.suffix == ".zst" else raw
        with io.TextIOWrapper(stream, encoding="utf-8", errors="replace") as lines:
            yield from lines


def _decompress(raw: BinaryIO) -> BinaryIO:
    try:
        import zstandard
    except ModuleNotFoundError as missing:
        raise SystemExit("reading .zst files needs one package more: pip install zstandard") from missing
    return zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)


def split_documents(lines: Iterable[str]) -> Iterator[str]:
    r"""Documents of at least `SHORTEST_CHARS` characters, without their separators.

    >>> long = "word " * 60
    >>> [len(d) for d in split_documents([long + "\n", "<|doc|>\n", "too short\n", "<|doc|>\n", long])]
    [299, 299]
    """
    buffer: list[str] = []
    for line in lines:
        if line.strip() != SEPARATOR:
            buffer.append(line)
            continue
        document, buffer = "".join(buffer).strip(), []
        if len(document) >= SHORTEST_CHARS:
            yield document
    document = "".join(buffer).strip()
    if len(document) >= SHORTEST_CHARS:
        yield document


def read_documents(path: Path) -> Iterator[str]:
    """The documents of a corpus file."""
    return split_documents(read_lines(path))


def cut_pieces(document: str) -> list[str]:
    r"""A document as one piece or, if it is as long as a book, in pieces that end at blank lines.

    >>> book = "\n\n".join(["x" * 999] * 40)
    >>> [len(piece) for piece in cut_pieces(book)], "\n\n".join(cut_pieces(book)) == book
    ([21019, 19017], True)
    """
    if len(document) < LONG_CHARS:
        return [document]
    pieces: list[str] = []
    current: list[str] = []
    length = 0
    for paragraph in document.split("\n\n"):
        current.append(paragraph)
        length += len(paragraph)
        if length > PIECE_CHARS:
            pieces.append("\n\n".join(current))
            current, length = [], 0
    if current:
        pieces.append("\n\n".join(current))
    return pieces


def draw_pieces(path: Path) -> Iterator[tuple[bool, str]]:
    """Every piece of a corpus with its fate: (held out?, text).

    The draws are seeded with the file's name without `.zst` and consumed one a piece in file order: the same file
    always gives the same held-out part, and every model of this toolchain can be compared on it.
    """
    rng = random.Random(path.name.removesuffix(".zst"))
    held_chars = 0
    for document in read_documents(path):
        for piece in cut_pieces(document):
            held = rng.random() < HELD_OUT_SHARE and held_chars < HELD_OUT_CHARS
            held_chars += len(piece) * held
            yield held, piece


def write_documents(path: Path, documents: Iterable[str]) -> int:
    """Write documents in the corpus format; returns how many bytes of text they hold (separators not counted)."""
    num_bytes = 0
    with path.open("w", encoding="utf-8") as out:
        for document in documents:
            out.write(f"{document}\n{SEPARATOR}\n")
            num_bytes += len(document.encode())
    return num_bytes


class Deduplicator:
    """Drops paragraphs (lines of at least `PARAGRAPH_CHARS`) seen before, compared without case and blanks.

    >>> seen, line = Deduplicator(), "The same long sentence, in every article of its kind, word for word and more." * 2
    >>> seen.keep_new(line) == line, seen.keep_new(line.upper())
    (True, '')
    """

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.dropped_chars = 0

    def keep_new(self, piece: str) -> str:
        """The piece without its already seen paragraphs (which may leave it empty); remembers the new ones."""
        kept = []
        for line in piece.split("\n"):
            if len(line) >= PARAGRAPH_CHARS:
                key = _fingerprint(line)
                if key in self.seen:
                    self.dropped_chars += len(line)
                    continue
                self.seen.add(key)
            kept.append(line)
        return "\n".join(kept)


def _fingerprint(line: str) -> int:
    normal = "".join(line.casefold().split())
    return int.from_bytes(hashlib.blake2b(normal.encode(), digest_size=8).digest(), "big")
