"""Context prompts: offsets held within their bound after every step, and free without one."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from softprompt.model.methods.context import Context, ContextSettings
from tests.model.methods.begun import STARTS

START = STARTS[0]


def moved(epsilon: float | None, by: float) -> torch.Tensor:
    """Offsets of the vectors in units of the scale after a step of any size."""
    method = Context.start(ContextSettings(epsilon=epsilon), [START])
    with torch.no_grad():
        delta = method.get_parameter("prompts.0.delta")
        delta.copy_(torch.tensor([by, by / 2, 0.0])[:, None].expand_as(delta))
    method.after_step()
    vectors = method.materialise()[0].slots["soft"].embed
    assert vectors is not None
    return (vectors - START.slots["soft"]) / START.scale


@given(st.floats(0.01, 2.0), st.floats(0.0, 50.0))
def test_no_vector_moves_further_than_the_bound_and_shorter_steps_are_left_alone(epsilon: float, by: float):
    rms = moved(epsilon, by).square().mean(1).sqrt()
    expected = torch.tensor([min(by, epsilon), min(by / 2, epsilon), 0.0])
    torch.testing.assert_close(rms, expected, atol=1e-4, rtol=1e-4)


def test_without_a_bound_they_go_anywhere():
    torch.testing.assert_close(moved(None, 30.0)[0], torch.full((6,), 30.0), atol=1e-3, rtol=1e-4)


def test_it_asks_for_demonstrations_where_no_start_is_named():
    assert ContextSettings().start_kind == "demonstrations"
    assert "start_kind" not in ContextSettings().model_dump()
