"""One call of a model: the last feed-forward block computes what is read, and nobody can tell."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from softprompt.core.records import Answer, Batch, Node, Row, Soft, Text
from softprompt.core.tensors import PromptTensors, SlotTensors
from softprompt.model.backbones import calls
from softprompt.model.backbones.calls import layers_of
from softprompt.testing import FAMILIES, tiny


def batch(*lengths: int) -> Batch:
    nodes = [
        (Node(Soft("soft", 3)), Node(Text(tuple(range(n)), "text"), 0), Node(Answer((9, 257)), 1)) for n in lengths
    ]
    return Batch(tuple(Row(row) for row in nodes))


def scores_and_gradient(backbone: Any, *, checkpoint: bool = False) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    vectors = torch.randn(3, backbone.spec.embed_dim, generator=generator).requires_grad_()
    prompt = PromptTensors({"soft": SlotTensors(embed=vectors)})
    scores = backbone.forward(batch(9, 4), [prompt], checkpoint=checkpoint).answers[0].scores
    return scores.detach(), torch.autograd.grad(scores.sum(), vectors)[0]


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("checkpoint", [False, True])
def test_the_last_block_at_the_readers_alone_is_the_whole_block(
    family: str, checkpoint: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = tiny(family)
    found = scores_and_gradient(backbone, checkpoint=checkpoint)
    monkeypatch.setattr(calls, "_last_block_at", lambda *_: nullcontext())
    whole = scores_and_gradient(backbone, checkpoint=checkpoint)
    for one, other in zip(found, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * float(other.abs().max()))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_states_read_by_such_a_call_are_whole(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny(family)
    texts = Batch(tuple(Row((Node(Text(tuple(range(n)), "text")), Node(Soft("soft", 3), 0))) for n in (9, 4)))
    found = backbone.read(texts)
    monkeypatch.setattr(calls, "_last_block_at", lambda *_: nullcontext())
    whole = backbone.read(texts)
    for one, other in zip((*found.keys, *found.values), (*whole.keys, *whole.values), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def seen_by(backbone: Any, *, work: Any) -> list[int]:
    """Tokens that the feed-forward block of each layer is given."""
    seen: list[int] = []
    handles = [
        layer.mlp.register_forward_hook(lambda _m, args, _out: seen.append(args[0].shape[:-1].numel()))
        for layer in layers_of(backbone.model)
    ]
    try:
        work()
    finally:
        for handle in handles:
            handle.remove()
    return seen


def test_only_the_tokens_that_are_read_reach_the_last_block() -> None:
    backbone = tiny("llama")
    seen = seen_by(backbone, work=lambda: scores_and_gradient(backbone))
    assert seen == [2 * 13] * (len(seen) - 1) + [2 * 2]  # 3 soft, 9 of text, 1 of the answer; two predictions a row


def test_a_call_that_reads_most_tokens_is_left_alone() -> None:
    backbone = tiny("llama")
    read = Batch((Row((Node(Text((5, 6))), Node(Answer((7, 8, 9)), 0))),))
    assert set(seen_by(backbone, work=lambda: backbone.forward(read))) == {4}


def test_nothing_stays_hooked_after_an_error() -> None:
    backbone: Any = tiny("llama")
    block = layers_of(backbone.model)[-1].mlp

    def fail(*_: object) -> None:
        raise RuntimeError("planted")

    handle = block.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="planted"):
        scores_and_gradient(backbone)
    handle.remove()
    assert not block._forward_hooks
    assert not block._forward_pre_hooks
