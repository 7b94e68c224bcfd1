"""What of texts did not fit: of one row, and of many in a sentence.

A row is as long as the model's context at most. What a template does with a longer text (which end stays, or windows)
is its own matter; what was lost is told everywhere in the same words.

Knows counts; no tokens, templates or models.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Self

__all__ = ["LOST_END", "Cuts", "Fit"]

#: What is lost of a field, by the end of it that is kept.
LOST_END = {"head": "end", "tail": "beginning", "head+tail": "middle", "windows": "end", "turns": "oldest turns"}


@dataclass(frozen=True, slots=True)
class Fit:
    """How one row met the room.

    Attributes:
        cut: Tokens that were left out.
        ends: Where they stood: ``end``, ``beginning``, ``middle``; empty where nothing was left out.
        windows: Readings that the row was divided into.
    """

    cut: int = 0
    ends: tuple[str, ...] = ()
    windows: int = 1


@dataclass(frozen=True, slots=True)
class Cuts:
    """What was lost of many rows.

    Attributes:
        rows: All of them.
        num_cut: Rows of which something was left out.
        tokens: Left out in all.
        ends: Where.
        num_windowed: Rows that were read in several windows.
        most_windows: Of one row.
    """

    rows: int
    num_cut: int = 0
    tokens: int = 0
    ends: tuple[str, ...] = ()
    num_windowed: int = 0
    most_windows: int = 1

    @classmethod
    def of(cls, fits: Iterable[Fit]) -> Self:
        """Added up.

        >>> Cuts.of([Fit(), Fit(30, ("end",)), Fit(12, ("end",))]).sentence
        '2 of 3 rows were too long: 42 tokens were left out, at the end'
        """
        found = list(fits)
        return cls(
            rows=len(found),
            num_cut=sum(one.cut > 0 for one in found),
            tokens=sum(one.cut for one in found),
            ends=tuple(sorted({end for one in found for end in one.ends})),
            num_windowed=sum(one.windows > 1 for one in found),
            most_windows=max((one.windows for one in found), default=1),
        )

    @property
    def sentence(self) -> str:
        """What was lost, in words; empty where every row fitted.

        >>> Cuts.of([Fit(windows=2), Fit(windows=5)]).sentence
        '2 of 2 rows were read in windows, 5 at most: nothing was lost'
        >>> Cuts.of([Fit(windows=2), Fit(9, ("end",), windows=8)]).sentence
        '2 of 2 rows were read in windows, 8 at most; 1 of 2 rows was too long: 9 tokens were left out, at the end'
        """
        said = []
        if self.num_windowed:
            windowed = f"{_of(self.num_windowed, self.rows)} read in windows, {self.most_windows} at most"
            said.append(windowed if self.num_cut else f"{windowed}: nothing was lost")
        if self.num_cut:
            tokens = f"{self.tokens:,} token{' was' if self.tokens == 1 else 's were'}"
            where = f", {' and '.join(map(_place, self.ends))}" if self.ends else ""
            said.append(f"{_of(self.num_cut, self.rows)} too long: {tokens} left out{where}")
        return "; ".join(said)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "ends": list(self.ends), "sentence": self.sentence}


def _of(count: int, rows: int) -> str:
    return f"{count:,} of {rows:,} row{'' if rows == 1 else 's'} {'was' if count == 1 else 'were'}"


def _place(end: str) -> str:
    return f"{'in' if end == 'middle' else 'at'} the {end}"
