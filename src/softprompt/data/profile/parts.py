"""Which column is read and which is asked: by what columns are called and what they hold, or not at all.

A name decides before a length, a length only when it is clear; where two columns are equally likely both are named and
nothing is chosen. Names are English, German, French and Spanish.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from softprompt.core.errors import DataError, nearest
from softprompt.data.entries import Record
from softprompt.data.profile.columns import Column, texts_of
from softprompt.data.profile.pairs import name_words, together

__all__ = ["Choice", "choose_candidates", "choose_target", "choose_texts", "unfit_candidates"]

_PLAINLY = "label labels target class klasse classe clase gold y etikett"
_BY_TOPIC = (
    "tag tags "
    "category categories kategorie catégorie categoría topic thema intent sentiment stimmung emotion tone rating stars "
    "sterne bewertung score department abteilung queue urgent urgency dringlichkeit priority priorität type typ spam "
    "toxic answer antwort output response reply completion summary zusammenfassung translation übersetzung tldr"
)
_TEXT = (
    "text texts texte texto body message messages nachricht mensaje content inhalt comment kommentar review reviews "
    "description beschreibung anliegen sentence satz utterance question frage query tweet post document article "
    "abstract mail ticket prompt input instruction source html complaint feedback"
)

_HEADINGS = "title subject headline heading titel betreff überschrift titre objet título asunto"

#: What the column of the answer is called, the plainest names first.
TARGET_NAMES: tuple[frozenset[str], ...] = (frozenset(_PLAINLY.split()), frozenset(_BY_TOPIC.split()))
TEXT_NAMES = frozenset(_TEXT.split())
HEADINGS = frozenset(_HEADINGS.split())
CANDIDATE_NAMES = frozenset({"candidates", "choices", "options", "endings", "answers"})
TARGET_KINDS = {"category", "constant", "list", "number", "text"}
LONGER = 2  #: times the median words of the runner-up: a clear difference
FAR_LONGER = 3  #: times, to doubt a name

_ONE_OF = re.compile(r"(choice|option|candidate|ending|answer|antwort|auswahl)[ _.-]?(\d|[a-h])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, or what could not be told apart.

    Attributes:
        columns: Chosen; empty when nothing was.
        why: The reason, or why none was chosen.
        options: Columns that come into question, when nothing was chosen.
        others: Columns that could have been it, when something was.
    """

    columns: tuple[str, ...]
    why: str
    options: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def choose_target(columns: Sequence[Column], *, wanted: str | None = None) -> Choice:
    """The column of the answer.

    Raises:
        DataError: ``data.missing_column``: the wanted one is not there.

    >>> from softprompt.data.profile.columns import look_at_columns
    >>> rows = [Record("", {"text": f"It broke {n} times", "topic": "ab"[n % 2], "x": "cd"[n % 2]}) for n in range(9)]
    >>> choose_target(look_at_columns(rows))
    Choice(columns=('topic',), why='its name', options=(), others=('x',))
    """
    if wanted is not None:
        _check(wanted, columns)
        return Choice((wanted,), "you said so")
    able = [column for column in columns if column.kind in TARGET_KINDS]
    few = [column.name for column in able if column.kind == "category"]
    for names in TARGET_NAMES:
        named = [column.name for column in able if name_words(column.name) & names]
        if len(named) == 1:
            return Choice((named[0],), "its name", others=tuple(name for name in few if name != named[0]))
        if named:
            return Choice((), "their names all fit", tuple(named))
    if len(few) == 1:
        (only,) = (column for column in able if column.name == few[0])
        return Choice((only.name,), f"the only column with few different values: {only.num_distinct}")
    if few:
        return Choice((), "they all hold few different values", tuple(few))
    return Choice((), "no column is called like an answer, and none holds few different values")


def choose_texts(columns: Sequence[Column], *, apart: Sequence[str] = (), wanted: Sequence[str] = ()) -> Choice:
    """The columns that are read: one, several that belong together by their names, or those that are wanted.

    Texts that are asked about together (a premise and its hypothesis) mean nothing alone, so they are read together; a
    title adds to its text, and is named as not read.

    Args:
        columns: Of the file.
        apart: Columns that have another part.
        wanted: What somebody said.

    Raises:
        DataError: ``data.missing_column``; ``data.leaked_answer``: the wanted one has another part.

    >>> from softprompt.data.profile.columns import look_at_columns
    >>> rows = [Record("", {"premise": f"It rained on {n} days", "hypothesis": f"It is wet {n}"}) for n in range(9)]
    >>> choose_texts(look_at_columns(rows)).columns
    ('premise', 'hypothesis')
    """
    if wanted:
        for name in wanted:
            _check(name, columns)
            if name in apart:
                message = f"the column {name!r} is the answer: the prompt would read what it is asked"
                raise DataError("data.leaked_answer", message, cure="name another with --text-column or --target")
        return Choice(tuple(wanted), "you said so")
    free = [column for column in columns if column.name not in apart]
    able = [column for column in free if column.kind == "text"]
    able = able or [column for column in free if column.kind == "category" and name_words(column.name) & TEXT_NAMES]
    able = able or [column for column in free if column.kind == "category" and column.words.median > 1]
    if not able:
        return Choice((), "no column holds texts", tuple(column.name for column in free if column.kind != "empty"))
    able.sort(key=lambda column: -column.words.median)
    if (group := _grouped(free, [column.name for column in able])) is not None:
        return group
    named = [column for column in able if name_words(column.name) & TEXT_NAMES]
    others = tuple(column.name for column in able)
    if len(able) == 1:
        headings = tuple(one.name for one in free if one.kind == "category" and name_words(one.name) & HEADINGS)
        return Choice(others, f"the only text: {_length(able[0])}", others=headings)
    if len(named) == 1 and able[0].words.median <= FAR_LONGER * max(1, named[0].words.median):
        return _picked(named[0], f"its name; {_length(named[0])}", others)
    first, second, *_ = named if len(named) > 1 else able
    if first.words.median >= LONGER * max(1, second.words.median) and not (len(named) == 1 and named[0] != first):
        return _picked(first, f"the longest text: {_length(first)}, {second.name} has {second.words.median}", others)
    options = tuple(column.name for column in (named if len(named) > 1 else able))
    return Choice((), f"{first.name} has {_length(first)}, {second.name} {second.words.median}", options)


def choose_candidates(columns: Sequence[Column]) -> tuple[str, ...]:
    """The columns in which candidate answers stand: one of lists, or ``choice1``, ``choice2``, ..., or ``A`` to ``D``.

    >>> from softprompt.data.profile.columns import look_at_columns
    >>> choose_candidates(look_at_columns([Record("", {"question": "Why?", "option_a": "x y", "option_b": "z"})]))
    ('option_a', 'option_b')
    """
    lists = [column.name for column in columns if column.kind == "list" and name_words(column.name) & CANDIDATE_NAMES]
    if len(lists) == 1:
        return (lists[0],)
    of_stem: dict[str, list[str]] = {}
    for column in columns:
        if found := _ONE_OF.fullmatch(column.name):
            of_stem.setdefault(found[1].lower(), []).append(column.name)
        elif column.name in "ABCDEFGH" and column.name:
            of_stem.setdefault("", []).append(column.name)
    return next((tuple(names) for names in of_stem.values() if len(names) > 1), ())


def unfit_candidates(rows: Sequence[Record], target: str, candidates: Sequence[str]) -> str:
    """Why the answers do not name a candidate; ``""`` when they do: by index from 0, by column, or by text.

    >>> rows = [Record("", {"a": "x", "b": "y", "right": n}) for n in ("1", "2")]
    >>> unfit_candidates(rows, "right", ["a", "b"])
    'the answers count from 1, here 1 to 2'
    """
    if len(candidates) == 1:
        return ""  # loading compares each answer with its row's list
    answers = [answer for answer in texts_of(rows, target) if answer]
    columns = [texts_of(rows, name) for name in candidates]
    told = [(*candidates, *map(str, range(len(candidates))), *texts) for texts in zip(*columns, strict=True)]
    odd = [answer for answer, known in zip(texts_of(rows, target), told, strict=True) if answer and answer not in known]
    if not odd:
        return ""
    if set(answers) <= {str(number) for number in range(1, len(candidates) + 1)}:
        return f"the answers count from 1, here 1 to {len(candidates)}"
    return f"{odd[0][:40]!r} is neither a candidate, nor the name of its column, nor its number from 0"


def _grouped(free: Sequence[Column], texts: Sequence[str]) -> Choice | None:
    """The columns that belong together, of which one holds texts; None: there are none."""
    names = [column.name for column in free if column.kind in {"text", "category"}]
    groups = [group for group in together(names) if set(group) & set(texts)]
    if not groups:
        return None
    if len(groups) > 1:
        options = tuple(dict.fromkeys(name for group in groups for name in group))
        return Choice((), f"{'; '.join(' and '.join(group) for group in groups)} belong together", options)
    others = tuple(name for name in texts if name not in groups[0])
    return Choice(groups[0], "they belong together by their names", others=others)


def _picked(column: Column, why: str, able: Sequence[str]) -> Choice:
    return Choice((column.name,), why, others=tuple(name for name in able if name != column.name))


def _length(column: Column) -> str:
    count = column.words.median
    return f"{count} word{'' if count == 1 else 's'} at the median"


def _check(name: str, columns: Sequence[Column]) -> None:
    known: Mapping[str, Column] = {column.name: column for column in columns}
    if name not in known:
        raise DataError("data.missing_column", f"there is no column {name!r}; {nearest(name, known)}")
