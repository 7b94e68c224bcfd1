"""Which tokens can be drawn, as in transformers, and how often they are."""

import random

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import chisquare
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from softprompt.core.records import Node, Soft, Text
from softprompt.model.decoding.sampling import draw, likely, row_random


@given(
    seed=st.integers(0, 10_000),
    temperature=st.floats(0.2, 5),
    top_k=st.none() | st.integers(1, 40),
    top_p=st.floats(0.01, 1),
)
def test_the_distribution_is_that_of_transformers(seed: int, temperature: float, top_k: int | None, top_p: float):
    scores = torch.randn(3, 30, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2
    expected = TemperatureLogitsWarper(temperature)(None, scores)
    if top_k is not None:
        expected = TopKLogitsWarper(top_k)(None, expected)
    if top_p < 1:
        summed = expected.softmax(-1).sort(descending=True)[0].cumsum(-1)
        assume(bool(((summed - top_p).abs() > 1e-9).all()))  # at the edge rounding decides
        expected = TopPLogitsWarper(top_p)(None, expected)
    probabilities, tokens = likely(scores, temperature=temperature, top_k=top_k, top_p=top_p)
    found = torch.zeros_like(scores).scatter(1, tokens, probabilities)
    assert torch.equal(found > 0, expected > -torch.inf)
    torch.testing.assert_close(found, expected.softmax(-1), rtol=1e-12, atol=1e-15)


def test_equally_likely_tokens_stay_together():
    probabilities, _ = likely(torch.tensor([[1.0, 2.0, 1.0, 1.0, 0.0]]), top_k=2)
    assert (probabilities > 0).sum() == 4


def test_what_is_not_allowed_is_never_drawn():
    scores = torch.tensor([[3.0, -torch.inf, 1.0, -torch.inf]])
    probabilities, tokens = likely(scores)
    drawn = {draw(probabilities, tokens, [n / 100]).item() for n in range(100)}
    assert drawn == {0, 2}


def test_draws_follow_the_distribution():
    wanted = torch.tensor([0.05, 0.4, 0.1, 0.25, 0.2], dtype=torch.float64)
    number = 5000
    probabilities, tokens = likely(wanted.log().expand(number, -1))
    source = random.Random(3)
    drawn = draw(probabilities, tokens, [source.random() for _ in range(number)])
    counts = torch.bincount(drawn, minlength=5)
    assert chisquare(counts.numpy(), (wanted * number).numpy()).pvalue > 0.01
    shifted = torch.tensor([0.1, 0.35, 0.1, 0.25, 0.2])
    assert chisquare(counts.numpy(), (shifted * number).numpy()).pvalue < 1e-6, "the test has the power to fail"


@given(seed=st.integers(0, 10_000), uniform=st.floats(0, 1, exclude_max=True))
def test_a_draw_is_always_among_the_likely(seed: int, uniform: float):
    scores = torch.randn(1, 50, generator=torch.Generator().manual_seed(seed)) * 5
    probabilities, tokens = likely(scores, top_p=0.9)
    token = draw(probabilities, tokens, [uniform]).item()
    assert probabilities[tokens == token].item() > 0


@pytest.mark.parametrize("uniform", [1 - 2**-53, 1 - 2**-25])
def test_a_number_that_rounds_to_one_draws_the_last_likely_token(uniform: float):
    probabilities, tokens = likely(torch.tensor([[0.7, 0.2, 0.1]]).log(), top_k=2)
    assert draw(probabilities, tokens, [uniform]).item() == 1


def test_rows_draw_from_generators_of_their_own():
    def first(*nodes: Node, seed: int = 0) -> float:
        return row_random(nodes, seed).random()

    text, other = Node(Text((1, 2), "text")), Node(Text((1, 3), "text"))
    paths = [(text,), (other,), (text, Node(Soft("soft", 2), 0)), (text, Node(Soft("soft", 3), 0))]
    assert len({first(*path, seed=seed) for path in paths for seed in (0, 1)}) == 8
