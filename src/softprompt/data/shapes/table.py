"""The table of shapes, recognising one, and applying it.

Recognising never guesses in silence: the first rows must all fit, no column of the data may lose its name to one that
is made, and the caller tells :attr:`Shape.says`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from softprompt.core.errors import DataError
from softprompt.core.turns import KEYS
from softprompt.data.dataset import BadRow
from softprompt.data.entries import Entry, Record
from softprompt.data.shapes.annotations import DOCCANO, LABEL_STUDIO, PRODIGY
from softprompt.data.shapes.chats import OPENAI, SHAREGPT
from softprompt.data.shapes.pairs import ALPACA, COMPLETION, SQUAD
from softprompt.data.shapes.shape import Shape, Values

__all__ = ["SHAPES", "choose", "detect", "reshaped"]

_TABLE = (OPENAI, SHAREGPT, ALPACA, COMPLETION, SQUAD, LABEL_STUDIO, PRODIGY, DOCCANO)
#: By name, in the order in which they are tried.
SHAPES: Mapping[str, Shape] = MappingProxyType({shape.name: shape for shape in _TABLE})


def detect(sample: Sequence[Values]) -> Shape | None:
    """The first shape that every row of a sample fits, if any.

    >>> detect([{"instruction": "Say hi", "input": "", "output": "hi"}]).name
    'alpaca'
    >>> detect([{"text": "hi", "label": "a"}]) is None
    True
    """
    for shape in SHAPES.values():
        lost = set(shape.makes) - set(shape.takes)  # names that columns of the data may have already
        if sample and all(shape.fits(values) and not lost & values.keys() for values in sample):
            return shape
    return None


def choose(
    sample: Sequence[Values], *, wanted: str | None = None, named: Collection[str] = ()
) -> tuple[Shape | None, tuple[str, ...]]:
    """The shape to apply, and the sentence that tells it.

    Args:
        sample: The first rows.
        wanted: A key of :data:`SHAPES`, or ``plain``, when somebody said so.
        named: Columns that the run names. Where the plain rows have one and those of a recognised export do not, the
            rows are taken as they stand.

    >>> rows = [{"prompt": "2 + 2", "completion": "4"}]
    >>> choose(rows)[1]
    ("read as an export of prompts and completions: 'completion' is 'answer' (read.format: plain leaves it as it is)",)
    >>> choose(rows, named=["completion"])[0] is None
    True
    """
    if wanted is not None:
        return SHAPES.get(wanted), ()
    shape = detect(sample)
    if shape is None:
        return None, ()
    before = {column for values in sample for column in values}
    made = reshaped(shape, (Record("", values) for values in sample))
    after = {column for entry in made if isinstance(entry, Record) for column in entry.values}
    if gone := sorted(name for name in named if name in before - after):
        if gone[0] in KEYS:  # conversations are asked for as they stand
            return None, ()
        return None, (f"looks like {shape.title}, but is read as it stands, because the column {gone[0]!r} is named",)
    return shape, (f"read as {shape.title}: {shape.says} (read.format: plain leaves it as it is)",)


def reshaped(shape: Shape, entries: Iterable[Entry], *, left_out: list[str] | None = None) -> Iterator[Entry]:
    """The plain rows of an export, each with the place of the row that it was made from.

    Args:
        shape: What the rows are.
        entries: As they stand in the file.
        left_out: Told the places of rows that the export itself says to leave out.

    >>> row = Record("a.jsonl:1", {"prompt": "2 + 2", "completion": "4"})
    >>> list(reshaped(SHAPES["completion"], [row]))
    [Record(source='a.jsonl:1', values={'prompt': '2 + 2', 'answer': '4'})]
    """
    for entry in entries:
        if isinstance(entry, BadRow):
            yield entry
            continue
        try:
            rows = shape.rows(entry.values)
        except DataError as error:
            yield BadRow(entry.source, error.code, error.message, entry.values)
            continue
        if not rows and left_out is not None:
            left_out.append(entry.source)
        for values in rows:
            yield Record(entry.source, values)
