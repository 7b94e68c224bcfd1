"""In which order rows are learnt: batches of similar length, shuffled, from numbers alone.

Everything here is a pure function of lengths, batch size, seed, epoch or step: the order of a run can be taken up at
any step with nothing saved but the step's number.
"""

import random
from collections.abc import Iterator, Sequence

__all__ = ["Order", "length_buckets", "micro_batches"]

#: Rows are sorted by length within random pools of this many batches. Padding on 6,920 sst2 rows, batch 16 (lengths in
#: words): unsorted 48 %, pools of 4: 22 %, 16: 7 %, 64: 2 %; larger pools keep the same rows together every epoch.
POOL_BATCHES = 16


def length_buckets(lengths: Sequence[int], *, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """The batches of one epoch: every row exactly once, rows of a batch of similar length, batches in random order.

    Args:
        lengths: Length of each row, in any unit.
        batch_size: Rows a batch; only one batch may be smaller.
        seed: Of the run.
        epoch: From 0; every epoch has another order.

    Returns:
        Row indices by batch.

    >>> batches = length_buckets([5, 90, 6, 91, 7], batch_size=2, seed=0, epoch=0)
    >>> sorted(sorted(batch) for batch in batches)
    [[0, 2], [1, 4], [3]]
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}, at least 1 is needed")
    rng = random.Random(f"{seed}:{epoch}")  # a string is hashed by SHA-512: the same on every machine
    rows = list(range(len(lengths)))
    rng.shuffle(rows)
    batches: list[list[int]] = []
    pool_rows = POOL_BATCHES * batch_size
    for start in range(0, len(rows), pool_rows):
        pool = sorted(rows[start : start + pool_rows], key=lambda row: lengths[row])  # stable: ties stay shuffled
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    rng.shuffle(batches)
    return batches


def micro_batches(lengths: Sequence[int], *, token_budget: int) -> list[list[int]]:
    """Cut one batch into pieces that fit the memory: rows times the longest row stays within the budget.

    Args:
        lengths: Tokens of each row of the batch.
        token_budget: Padded tokens a piece may have; a single row above it stands alone.

    Returns:
        Positions in ``lengths`` by piece, longest rows first (a piece that does not fit shows at once).

    >>> micro_batches([10, 3, 4, 3], token_budget=10)
    [[0], [2, 1], [3]]
    """
    pieces: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if pieces and (len(pieces[-1]) + 1) * lengths[pieces[-1][0]] <= token_budget:
            pieces[-1].append(row)
        else:
            pieces.append([row])
    return pieces


class Order:
    """The endless sequence of batches of a run; any step can be asked at any time.

    >>> order = Order([3, 1, 2], batch_size=2, seed=7)
    >>> order.steps_per_epoch
    2
    >>> from itertools import islice
    >>> list(islice(order.start(at=3), 2)) == [order[3], order[4]]
    True
    """

    def __init__(self, lengths: Sequence[int], *, batch_size: int, seed: int) -> None:
        if not lengths:
            raise ValueError("no rows to order")
        self.lengths = tuple(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self._epoch = -1
        self._batches: list[list[int]] = []

    @property
    def steps_per_epoch(self) -> int:
        """Batches an epoch."""
        return -(-len(self.lengths) // self.batch_size)

    def __getitem__(self, step: int) -> tuple[int, list[int]]:
        """Epoch and row indices of a step, both from 0."""
        if step < 0:
            raise IndexError(f"step {step}: steps count from 0")
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:  # one epoch is kept: asking in order costs one shuffle an epoch
            self._batches = length_buckets(self.lengths, batch_size=self.batch_size, seed=self.seed, epoch=epoch)
            self._epoch = epoch
        return epoch, list(self._batches[position])

    def start(self, *, at: int = 0) -> Iterator[tuple[int, list[int]]]:
        """Epoch and rows of step ``at`` and all that follow, without end."""
        step = at
        while True:
            yield self[step]
            step += 1
