"""From cells to what a page says: scores with intervals, soft prompts beside the others, runs that were worth nothing.

An interval counts the luck of draws and of judged rows; with one draw only that of the rows. Everything is computed
from which rows were answered right. Knows cells; no words.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from jaxtyping import Float

from benchmarks.adopting.cells import NO_ROWS, Cell
from softprompt.core.stats import Interval, difference_over_seeds, mean_over_seeds

__all__ = ["Group", "Table", "below", "difference"]


@dataclass(frozen=True)
class Group:
    """All draws of one contender with so many rows of one set.

    Attributes:
        cells: With a score, by seed.
    """

    cells: tuple[Cell, ...]

    @property
    def scores(self) -> tuple[float, ...]:
        """By draw."""
        return tuple(score for cell in self.cells if (score := cell.score) is not None)

    @property
    def interval(self) -> Interval:
        """The mean over the draws."""
        return mean_over_seeds(_items(self.cells), _share).interval(bounds=(0.0, 1.0))

    @property
    def seconds(self) -> float:
        """Processor seconds to learn, the median of the draws."""
        return median(cell.fit for cell in self.cells)


class Table:
    """Cells by set, contender and rows.

    >>> from benchmarks.adopting.cells import Place
    >>> cells = [Cell(Place("sst2", "soft", 16, seed), right, 9.0, 1.0) for seed, right in enumerate(["1100", "1110"])]
    >>> Table(cells).get("sst2", "soft", 16).scores, Table(cells).get("sst2", "lora", 16)
    ((0.5, 0.75), None)
    """

    def __init__(self, cells: Iterable[Cell]) -> None:
        found: dict[tuple[str, str, int], list[Cell]] = {}
        for cell in sorted(cells, key=lambda cell: cell.place):
            if cell.right:
                found.setdefault((cell.place.name, cell.place.contender, cell.place.rows), []).append(cell)
        self.groups: Mapping[tuple[str, str, int], Group] = {key: Group(tuple(some)) for key, some in found.items()}

    def get(self, name: str, contender: str, rows: int = NO_ROWS) -> Group | None:
        """None where nothing was measured."""
        return self.groups.get((name, contender, rows))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of rows that something learnt from."""
        return tuple(sorted({rows for _, _, rows in self.groups if rows}))

    def best(self, name: str, rows: int, among: Sequence[str]) -> str | None:
        """Who has the highest mean; None where not all of them were measured."""
        found = {one: group.interval.estimate for one in among if (group := self.get(name, one, rows)) is not None}
        return max(found, key=lambda one: found[one]) if found and len(found) == len(among) else None


def difference(first: Group, second: Group) -> Interval:
    """Mean score of the first less that of the second, on the same judged rows."""
    return difference_over_seeds(_items(first.cells), _items(second.cells), _share).interval(bounds=(-1.0, 1.0))


def below(group: Group, reference: Group) -> int:
    """Draws that score less than the reference does in the mean.

    >>> from benchmarks.adopting.cells import Place
    >>> two = [Cell(Place("x", "soft", 16, seed), right, 0.0, 0.0) for seed, right in enumerate(["1000", "1111"])]
    >>> below(Group(tuple(two)), Group((Cell(Place("x", "zero-shot", 0, 0), "1100", 0.0, 0.0),)))
    1
    """
    least = sum(reference.scores) / len(reference.scores)
    return sum(score < least for score in group.scores)


def _items(cells: Sequence[Cell]) -> Float[np.ndarray, "S n 2"]:
    right = np.array([[one == "1" for one in cell.right] for cell in cells], dtype=np.float64)
    return np.stack([right, np.ones_like(right)], axis=-1)


def _share(sums: Float[np.ndarray, " d"]) -> float:
    return float(sums[0] / sums[1])
