"""Growing subsets of rows: how large, and in which order.

Knows rows and labels; nothing of what learns from them.
"""

from typing import Any

import numpy as np

from softprompt.core.errors import DataError
from softprompt.data.dataset import Dataset

__all__ = ["nested", "sizes"]


def sizes(num_rows: int, *, first: int = 16) -> tuple[int, ...]:
    """Numbers of rows: doubling from the first to all; a step of less than a quarter is left out.

    Raises:
        DataError: ``data.too_few_rows``: nothing lies between the first and all.

    >>> sizes(300), sizes(140)
    ((16, 32, 64, 128, 300), (16, 32, 64, 140))
    """
    if num_rows < 2 * first:
        message = f"a curve from {first} rows on needs {2 * first} labelled rows at least, there are {num_rows}"
        raise DataError("data.too_few_rows", message, cure="label more rows, or start with fewer: --from")
    found = []
    n = first
    while 1.25 * n < num_rows:
        found.append(n)
        n *= 2
    return (*found, num_rows)


def nested(rows: Dataset, *, draw: int, seed: int = 0) -> Dataset:
    """The rows in the order of a draw: one of each label first, then every beginning with the labels' shares.

    >>> from softprompt.core.records import Example
    >>> data = Dataset(tuple(Example({"text": str(n)}, "rare" if n == 7 else "usual") for n in range(8)))
    >>> {row.target for row in nested(data, draw=0)[:2]} == {"rare", "usual"}
    True
    """
    rng = np.random.default_rng([seed, draw])
    by_label: dict[Any, list[int]] = {}
    for i in rng.permutation(len(rows)).tolist():
        target = rows[i].target
        by_label.setdefault(target if isinstance(target, str) else repr(target), []).append(i)
    if len(by_label) > len(rows) // 2:  # answers that are no labels
        return rows.select([i for group in by_label.values() for i in group])
    place = {
        i: (rank > 0, (rank + rng.random()) / len(group)) for group in by_label.values() for rank, i in enumerate(group)
    }
    return rows.select(sorted(place, key=place.__getitem__))
