from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.data.loader import POOL_BATCHES, Order, length_buckets, micro_batches

LENGTHS = st.lists(st.integers(0, 300), min_size=1, max_size=200)


@given(LENGTHS, st.integers(1, 20), st.integers(0, 99), st.integers(0, 5))
def test_every_row_exactly_once_an_epoch(lengths: list[int], batch_size: int, seed: int, epoch: int) -> None:
    batches = length_buckets(lengths, batch_size=batch_size, seed=seed, epoch=epoch)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert sum(len(batch) < batch_size for batch in batches) <= 1
    assert all(len(batch) <= batch_size for batch in batches)
    assert batches == length_buckets(lengths, batch_size=batch_size, seed=seed, epoch=epoch)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    lengths = list(range(100))
    orders = {str(length_buckets(lengths, batch_size=8, seed=seed, epoch=epoch)) for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4


def test_mates_change_from_epoch_to_epoch() -> None:
    lengths = list(range(4000))
    mates = [
        {frozenset(batch) for batch in length_buckets(lengths, batch_size=8, seed=0, epoch=epoch)} for epoch in (0, 1)
    ]
    assert not mates[0] & mates[1]


def test_batches_are_of_similar_length_and_in_no_order_of_length() -> None:
    lengths = [(i * 7919) % 1000 for i in range(16 * POOL_BATCHES)]
    batches = length_buckets(lengths, batch_size=16, seed=0, epoch=0)
    assert max(max(lengths[i] for i in batch) - min(lengths[i] for i in batch) for batch in batches) < 150
    longest = [max(lengths[i] for i in batch) for batch in batches]
    assert longest not in (sorted(longest), sorted(longest, reverse=True))


def test_the_order_itself_is_pinned() -> None:
    """A resumed run must meet the batches that the interrupted one would have met."""
    assert length_buckets([3, 1, 4, 1, 5, 9, 2, 6], batch_size=3, seed=0, epoch=0) == [[7, 5], [0, 2, 4], [3, 1, 6]]


@given(LENGTHS, st.integers(1, 20), st.integers(0, 99), st.integers(0, 60))
def test_an_order_can_be_taken_up_at_any_step(lengths: list[int], batch_size: int, seed: int, step: int) -> None:
    order = Order(lengths, batch_size=batch_size, seed=seed)
    whole = list(islice(order.start(), step + 5))
    assert list(islice(Order(lengths, batch_size=batch_size, seed=seed).start(at=step), 5)) == whole[step:]
    assert order[step] == whole[step]
    first = [batch for epoch, batch in whole if epoch == 0]
    assert first == length_buckets(lengths, batch_size=batch_size, seed=seed, epoch=0)[: len(first)]


def test_an_order_is_not_changed_by_who_reads_it() -> None:
    order = Order([1, 2, 3], batch_size=3, seed=0)
    _, batch = order[0]
    batch.clear()
    assert sorted(order[0][1]) == [0, 1, 2]


@given(LENGTHS, st.integers(1, 600))
def test_micro_batches_partition_within_the_budget(lengths: list[int], token_budget: int) -> None:
    pieces = micro_batches(lengths, token_budget=token_budget)
    assert sorted(row for piece in pieces for row in piece) == list(range(len(lengths)))
    for piece in pieces:
        assert len(piece) == 1 or len(piece) * max(lengths[row] for row in piece) <= token_budget
    for piece in pieces[:-1]:
        assert (len(piece) + 1) * lengths[piece[0]] > token_budget, "a row more would have fitted"


def test_wrong_requests() -> None:
    with pytest.raises(ValueError, match="batch_size is 0"):
        length_buckets([1], batch_size=0, seed=0, epoch=0)
    with pytest.raises(ValueError, match="no rows"):
        Order([], batch_size=1, seed=0)
    with pytest.raises(IndexError, match="steps count from 0"):
        Order([1], batch_size=1, seed=0)[-1]
