"""States that grow: decoding equals transformers' own loop, and feeding tokens equals reading them."""

import pytest
import torch

from softprompt.core.records import Batch, Node, Row, Soft, Text
from softprompt.model.backbones.base import Want
from softprompt.testing import tiny
from tests.laws.checks import check_decoding, check_feeding
from tests.laws.examples import TEXTS, text_of
from tests.laws.strategies import EVERY, prompts_for


@pytest.mark.parametrize("family", EVERY)
def test_greedy_decoding_equals_transformers(family):
    check_decoding(tiny(family), TEXTS)


@pytest.mark.parametrize("family", EVERY)
def test_feeding_tokens_equals_reading_them(family):
    check_feeding(tiny(family))


def test_states_are_taken_by_branch_beside_their_last_logits():
    """Two prompts ask one text: the branches' states are rows of their own, and go on as such."""
    backbone = tiny("mistral")
    prompts = prompts_for(backbone)
    text = Node(Text(text_of(9), "text"))
    branches = Row((text, Node(Soft("a", 3, 0), 0), Node(Soft("a", 2, 1), 0), Node(Text(()), 0)))
    alone = [Row((text, Node(Soft("a", 3, 0), 0))), Row((text, Node(Soft("a", 2, 1), 0))), Row((text,))]
    ids = torch.tensor([[3, 4]] * 3)
    with torch.no_grad():
        one = backbone.forward(Batch((branches,)), prompts, want=Want(last=True, state=True))
        many = backbone.forward(Batch(tuple(alone)), prompts, want=Want(last=True, state=True))
        assert one.state.lengths == many.state.lengths == (12, 11, 9)
        torch.testing.assert_close(one.last, many.last)
        torch.testing.assert_close(backbone.step(one.state, ids)[0], backbone.step(many.state, ids)[0])


def test_a_state_is_never_changed():
    backbone = tiny("gemma2")
    state = backbone.forward(Batch((Row((Node(Text(text_of(9))),)),)), want=Want(last=True, state=True)).state
    before = [tensor.clone() for tensor in state.tensors()]
    first, _ = backbone.step(state, torch.tensor([[5]]))
    again, _ = backbone.step(state, torch.tensor([[5]]))
    assert torch.equal(first, again)
    assert all(torch.equal(a, b) for a, b in zip(state.tensors(), before, strict=True))
