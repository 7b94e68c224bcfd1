"""How long one request alone takes: what a user waits for, where batches hide it.

Knows no contender: whatever predicts can be timed.
"""

import statistics
import time
from collections.abc import Callable, Sequence

from softprompt.core.records import Example

__all__ = ["latency_ms"]

#: Requests that are timed, and seconds that this may last.
REQUESTS, SECONDS = 8, 5.0


def latency_ms(predict: Callable[[Sequence[Example]], object], rows: Sequence[Example]) -> float:
    """Milliseconds of one request alone: the median over the first rows, after one request that warms up.

    Args:
        predict: Is given one row at a time.
        rows: At least one.

    >>> asked = []
    >>> latency_ms(asked.append, [Example({"text": "a"}), Example({"text": "b"})]) < 1000, len(asked)
    (True, 3)
    """
    found: list[float] = []
    begun = time.perf_counter()
    for example in (rows[0], *rows[:REQUESTS]):
        start = time.perf_counter()
        predict([example])
        found.append(1000 * (time.perf_counter() - start))
        if time.perf_counter() - begun > SECONDS:
            break
    return statistics.median(found[1:] or found)
