"""What is minimised: by hand on small scores, and additive over pieces."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from softprompt.model.objectives import OBJECTIVES, choice, graded, labels, likelihood
from softprompt.model.prompted import Scores

LOGS = torch.tensor([[-1.0, -2.0, -3.0], [-2.0, -0.5, -torch.inf]])
SCORES = Scores(torch.tensor([0, 1]), LOGS, torch.tensor([[2, 1, 4], [3, 1, 0]]))


def test_choice_is_the_cross_entropy_over_the_candidates():
    loss, weight = choice(SCORES, torch.tensor([1, 0]))
    first = 2 + math.log(sum(math.exp(-x) for x in (1, 2, 3)))
    second = 2 + math.log(math.exp(-2) + math.exp(-0.5))
    assert loss.tolist() == pytest.approx([first, second])
    assert weight.tolist() == [1, 1]


def test_smoothing_mixes_in_the_candidates_that_are_there():
    plain = choice(SCORES, torch.tensor([1, 0]))[0]
    smooth = choice(SCORES, torch.tensor([1, 0]), smoothing=0.2)[0]
    logs = LOGS.log_softmax(1)
    uniform = torch.tensor([-logs[0].mean(), -logs[1, :2].mean()])
    torch.testing.assert_close(smooth, 0.8 * plain + 0.2 * uniform)
    assert smooth.isfinite().all()


def test_a_missing_candidate_gets_no_gradient_and_no_nan():
    values = LOGS.clone().requires_grad_()
    for smoothing in (0.0, 0.3):
        values.grad = None
        choice(Scores(SCORES.rows, values, SCORES.lengths), torch.tensor([1, 0]), smoothing=smoothing)[
            0
        ].sum().backward()
        assert values.grad is not None
        assert values.grad[1, 2] == 0
        assert values.grad.isfinite().all()
        assert values.grad.sum(1).abs().max() < 1e-6


def test_likelihood_weighs_by_tokens_so_the_mean_is_the_loss_a_token():
    loss, weight = likelihood(SCORES, torch.tensor([2, 0]))
    assert loss.tolist() == [3.0, 2.0]
    assert weight.tolist() == [4.0, 3.0]
    with pytest.raises(AssertionError, match="smoothing"):
        likelihood(SCORES, torch.tensor([0, 0]), smoothing=0.1)


def test_labels_are_decisions_of_their_own():
    scores = Scores(torch.tensor([0]), torch.tensor([[2.0, -1.0]]), torch.ones(1, 2, dtype=torch.long))
    loss, weight = labels(scores, torch.tensor([[1.0, 1.0]]))
    assert float(loss[0]) == pytest.approx((math.log1p(math.exp(-2)) + math.log1p(math.exp(1))) / 2)
    assert weight.tolist() == [1]
    smooth = labels(scores, torch.tensor([[1.0, 0.0]]), smoothing=1.0)[0]
    assert float(smooth[0]) == pytest.approx(float(labels(scores, torch.tensor([[0.5, 0.5]]))[0][0]))


def test_a_far_anchor_costs_more_than_a_near_one():
    sure = Scores(torch.tensor([0]), torch.tensor([[0.0, 50.0, 0.0, 0.0]]), torch.ones(1, 4, dtype=torch.long))
    costs = [float(graded(sure, torch.eye(4)[k : k + 1])[0][0]) for k in range(4)]
    assert costs == pytest.approx([50 + 1, 0, 50 + 1, 50 + 2], abs=1e-4)


def test_a_sure_mistake_still_has_a_gradient():
    values = torch.tensor([[0.0, 50.0, 0.0, 0.0]], requires_grad=True)
    graded(Scores(torch.tensor([0]), values, torch.ones(1, 4, dtype=torch.long)), torch.eye(4)[3:])[0].sum().backward()
    assert values.grad is not None
    assert values.grad[0, 3] == pytest.approx(-1)


@given(st.sampled_from(list(OBJECTIVES)), st.lists(st.integers(0, 2), min_size=2, max_size=8))
def test_pieces_add_up(name: str, targets: list[int]):
    values = torch.sin(torch.arange(3.0 * len(targets))).reshape(-1, 3)
    lengths = torch.ones_like(values, dtype=torch.long)

    def of(start: int, stop: int) -> float:
        piece = Scores(torch.arange(stop - start), values[start:stop], lengths[start:stop])
        right = torch.tensor(targets[start:stop], dtype=torch.long)
        shares = torch.nn.functional.one_hot(right, 3).float()
        return float(OBJECTIVES[name](piece, shares if name in {"labels", "score"} else right)[0].sum())

    assert of(0, 1) + of(1, len(targets)) == pytest.approx(of(0, len(targets)), rel=1e-5)
