"""Rows of plain data as a data frame, where pandas is installed; the one door to it.

Knows no other softprompt thing than the error of a missing extra.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from softprompt.core.errors import DataError, ExtraError

if TYPE_CHECKING:
    import pandas

__all__ = ["beside", "is_frame", "to_frame"]


def to_frame(rows: Sequence[Mapping[str, Any]], *, index: Any = None) -> "pandas.DataFrame":
    """A data frame with a column for each key, in order of first appearance.

    Args:
        rows: One mapping a line.
        index: Of the frame; None: 0, 1, 2, ...

    Raises:
        ExtraError: ``extra.missing``.

    >>> to_frame([{"id": "1", "answer": "yes"}, {"id": "2", "answer": None}]).shape
    (2, 2)
    """
    try:
        import pandas
    except ImportError:
        raise ExtraError.needs("pandas", extra="data", purpose="a data frame") from None
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return pandas.DataFrame([dict(row) for row in rows], columns=columns, index=index)


def is_frame(thing: object) -> "TypeGuard[pandas.DataFrame]":
    """Whether something is a pandas frame; does not import pandas to find out.

    >>> is_frame(to_frame([{"id": "1"}])), is_frame([{"id": "1"}])
    (True, False)
    """
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(thing, pandas.DataFrame)


def beside(rows: "pandas.DataFrame", found: Sequence[Mapping[str, Any]]) -> "pandas.DataFrame":
    """The columns of a frame, then what was found of each of its lines; a name that both have keeps the frame's.

    Raises:
        DataError: ``data.lengths_differ``.

    >>> beside(to_frame([{"text": "hi"}], index=[7]), [{"answer": "yes"}]).to_dict("index")
    {7: {'text': 'hi', 'answer': 'yes'}}
    """
    if len(rows) != len(found):
        message = f"the frame has {len(rows)} rows, {len(found)} were judged"
        raise DataError("data.lengths_differ", message, cure="give the frame that was judged")
    made = to_frame(found, index=rows.index)
    return rows.join(made.drop(columns=[name for name in made.columns if name in rows.columns]))
