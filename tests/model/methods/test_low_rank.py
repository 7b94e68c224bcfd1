"""Low-rank prompts: the best start of a rank, at the start's own size."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from softprompt.model.methods.low_rank import LowRank, LowRankSettings, factors
from softprompt.model.methods.starts import Start
from tests.model.methods.begun import STARTS


def vectors_of(rows: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 15), st.integers(0, 99))
def test_the_start_has_the_norm_of_what_it_stands_for(rows: int, width: int, rank: int, seed: int):
    vectors = vectors_of(rows, width, seed)
    a, b = factors(vectors, rank)
    made = a @ b / len(b) ** 0.5
    assert len(b) == a.shape[1] == min(rank, rows, width)
    torch.testing.assert_close(made.norm(), vectors.norm())
    torch.testing.assert_close(b.square().mean(1), torch.ones(len(b)))
    if rank >= min(rows, width):
        torch.testing.assert_close(made, vectors, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_no_other_matrix_of_that_rank_is_nearer(rank: int):
    """Eckart and Young: the error is what the smaller singular values hold."""
    vectors = vectors_of(6, 8)
    a, b = factors(vectors, rank)
    made = a @ b / rank**0.5
    sizes = torch.linalg.svdvals(vectors)
    nearest = made * (sizes[:rank].norm() / sizes.norm())  # before it is stretched
    torch.testing.assert_close((vectors - nearest).norm(), sizes[rank:].norm())


def test_vectors_of_zeros_stay_finite():
    method = LowRank.start(LowRankSettings(rank=2), [Start({"soft": torch.zeros(3, 4)}, 1.0)])
    vectors = method.materialise()[0].slots["soft"].embed
    assert vectors is not None
    assert vectors.abs().max() == 0


def test_all_slots_of_a_prompt_share_its_directions():
    method = LowRank.start(LowRankSettings(rank=2), [STARTS[1]])
    slots = method.materialise()[0].slots
    joined = torch.cat([slot.embed for slot in slots.values() if slot.embed is not None])
    assert torch.linalg.matrix_rank(joined) == 2
    assert {name: tuple(p.shape) for name, p in method.named_parameters_of(0)} == {"slots.a": (7, 2), "slots.b": (2, 6)}
