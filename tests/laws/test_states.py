"""Law 4 for the store of frozen states: whatever tier a text lies in, the states are those of reading it."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from softprompt.core.records import Batch, Row
from softprompt.core.tensors import State
from softprompt.model.states import Budget, StateStore
from softprompt.testing import FAMILIES, tiny
from tests.lab.training.small import rows

ROWS = rows(9)


def mixed(total: int) -> dict[str, int]:
    """Room for a third of the texts in memory, a third in a file, none for the others."""
    return {"memory": total // 3, "file": total // 3}


#: Budget from the bytes of all texts -> the tiers that must be in use.
TIERS: dict[str, tuple[Callable[[int], dict[str, int]], set[str]]] = {
    "memory": (lambda total: {"memory": total}, {"memory"}),
    "file": (lambda total: {"memory": 0, "file": total}, {"file"}),
    "recompute": (lambda total: {"memory": 0}, {"recompute"}),
    "mixed": (mixed, {"memory", "file", "recompute"}),
    "device": (lambda total: {"device": total, "memory": total}, {"memory"}),  # a CPU has no other device
}


def bytes_of(backbone: Any, asked: Sequence[Row]) -> int:
    with StateStore(backbone) as store:
        return sum(store.fill(asked).bytes.values())


def difference(backbone: Any, tier: str, folder: Any) -> float:
    """The largest difference of a state, batch by batch, to reading the batch."""
    budget = Budget(**TIERS[tier][0](bytes_of(backbone, ROWS)), folder=folder)
    worst = 0.0
    with StateStore(backbone, budget, chunk_tokens=24) as store:
        assert set(store.fill(ROWS).texts) == TIERS[tier][1]
        for start in range(0, len(ROWS), 4):
            batch = Batch(tuple(ROWS[start : start + 4]))
            worst = max(worst, _distance(store.get(batch), backbone.read(batch)))
    return worst


def _distance(found: State | None, read: State) -> float:
    assert found is not None
    assert found.lengths == read.lengths
    pairs = zip(found.tensors(), read.tensors(), strict=True)
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1)) for a, b in pairs)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_law_4_every_tier_gives_what_reading_gives(family: str, tier: str, tmp_path: Any):
    assert difference(tiny(family), tier, tmp_path) < 1e-5


@pytest.mark.parametrize("tier", ["memory", "file"])
def test_law_4_tiers_agree_bit_for_bit(tier: str, tmp_path: Any):
    backbone, batch = tiny(), Batch(tuple(ROWS))
    total = bytes_of(backbone, ROWS)
    with (
        StateStore(backbone, Budget(memory=total)) as one,
        StateStore(backbone, Budget(**TIERS[tier][0](total), folder=tmp_path)) as other,
    ):
        one.fill(ROWS), other.fill(ROWS[::-1])  # the order of the rows is nothing to go by
        first, second = one.get(batch), other.get(batch)
    assert first is not None
    assert second is not None
    assert all(torch.equal(a, b) for a, b in zip(first.tensors(), second.tensors(), strict=True))


def neighbour(monkeypatch: Any) -> None:
    """Each text gets the end of the longest text of its chunk."""
    of_state = StateStore._of_state

    def longest(self: StateStore, state: State, row: int, group: int) -> torch.Tensor:
        return of_state(self, state, len(state) - 1, group)[:, :, -state.lengths[row] :]

    monkeypatch.setattr(StateStore, "_of_state", longest)


def right_padded(monkeypatch: Any) -> None:
    of_state = StateStore._of_state

    def shifted(self: StateStore, state: State, row: int, group: int) -> torch.Tensor:
        return of_state(self, state, row, group).roll(1, dims=2)

    monkeypatch.setattr(StateStore, "_of_state", shifted)


@pytest.mark.parametrize("bug", [neighbour, right_padded])
def test_law_4_notices(bug: Callable[[Any], None], tmp_path: Any, monkeypatch: Any):
    bug(monkeypatch)
    assert not difference(tiny(), "mixed", tmp_path) < 1e-3
