"""The laws as functions: each raises AssertionError where a backbone breaks it. Planted bugs must make them raise."""

from collections.abc import Sequence
from typing import Any

import torch

from softprompt.core.records import Batch, Node, Row, Soft, Text
from softprompt.core.tensors import PromptTensors
from softprompt.model.backbones.base import Backbone, Want
from softprompt.model.backbones.weights.fingerprint import fingerprint
from softprompt.model.backbones.weights.quantised import parts_of
from tests.laws.examples import text_of
from tests.laws.oracle import greedy, oracle
from tests.laws.roads import ROADS, Seen, assert_equal, assert_gradients_equal, gradients, travel
from tests.laws.strategies import prompts_for

__all__ = [
    "check_checkpoint",
    "check_decoding",
    "check_feeding",
    "check_fingerprint",
    "check_frozen",
    "check_gradients",
    "check_low_precision",
    "check_mates",
    "check_roads",
    "check_scores",
]


def check_scores(
    backbone: Backbone, rows: Sequence[Row], prompts: Sequence[PromptTensors], *, tolerance: float = 1e-5
) -> None:
    """Law 9, on the simplest road: scores are log-probabilities of whole answers, as transformers computes them."""
    with torch.no_grad():
        assert_equal(travel(backbone, rows, prompts), oracle(backbone, rows, prompts), tolerance=tolerance)


def check_mates(
    backbone: Backbone, rows: Sequence[Row], prompts: Sequence[PromptTensors], *, tolerance: float = 1e-5
) -> None:
    """Laws 2 and 3: a row in any company, on any road, is the row alone without padding."""
    with torch.no_grad():
        for road in ROADS:
            alone: Seen = {}
            for number, row in enumerate(rows):
                own = travel(backbone, [row], prompts, road)
                alone |= {(kind, number, *rest): value for (kind, _, *rest), value in own.items()}
            assert_equal(travel(backbone, rows, prompts, road), alone, tolerance=tolerance)


def check_roads(
    backbone: Backbone, rows: Sequence[Row], prompts: Sequence[PromptTensors], *, tolerance: float = 1e-5
) -> None:
    """Law 4: cached states, compiled prompts and trees change nothing."""
    with torch.no_grad():
        plain = travel(backbone, rows, prompts)
        for road in ROADS:
            assert_equal(travel(backbone, rows, prompts, road), plain, tolerance=tolerance)


def check_gradients(
    backbone: Backbone, rows: Sequence[Row], prompts: Sequence[PromptTensors], *, tolerance: float = 1e-5
) -> None:
    """Law 4 backwards; a compiled prompt has no gradient."""
    truth = gradients(oracle(backbone, rows, prompts), prompts)
    for road in ("repeated rows", "tree", "repeated rows on states", "tree on states"):
        found = gradients(travel(backbone, rows, prompts, road), prompts)
        assert_gradients_equal(found, truth, tolerance=tolerance)


def check_checkpoint(backbone: Backbone, rows: Sequence[Row], prompts: Sequence[PromptTensors]) -> None:
    """Recomputed activations change neither what is seen nor the gradient."""
    for road in ("repeated rows", "tree"):
        plain = travel(backbone, rows, prompts, road)
        lean = travel(backbone, rows, prompts, road, checkpoint=True)
        assert_equal(lean, plain)
        assert_gradients_equal(gradients(lean, prompts), gradients(plain, prompts))


def check_frozen(backbone: Backbone, rows: Sequence[Row], prompts: Sequence[PromptTensors]) -> None:
    """Law 1: training steps change the prompt and no bit of the model."""
    model = backbone.model  # type: ignore[attr-defined]
    before = {name: tensor.clone() for name, tensor in _bits(model)}
    leaves = [tensor for prompt in prompts for _, tensor in prompt.tensors()]
    start = [leaf.detach().clone() for leaf in leaves]
    optimiser = torch.optim.AdamW([*leaves, *(p for p in model.parameters() if p.requires_grad)], lr=0.1)
    for road in ("tree", "tree on states"):
        seen = travel(backbone, rows, prompts, road)
        torch.stack([value.sum() for value in seen.values()]).sum().backward()
        optimiser.step()
        optimiser.zero_grad()
    assert any(not torch.equal(leaf, old) for leaf, old in zip(leaves, start, strict=True))
    for name, tensor in _bits(model):
        assert torch.equal(tensor, before[name]), f"{name} has changed"
    assert not any(module.training for module in model.modules())


def _bits(model: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Parameters and buffers; of quantised ones what they are made of."""
    tensors = (*model.named_parameters(), *model.named_buffers())
    return [part for name, tensor in tensors for part in parts_of(name, tensor)]


def check_low_precision(low: Backbone, exact: Backbone, rows: Sequence[Row], prompts: Sequence[PromptTensors]) -> None:
    """Law 4 in bfloat16: the error of the fast road against float32 is at most twice that of the plain road."""

    def error(road: str) -> float:
        seen = travel(low, rows, prompts, road)
        parts = [(seen[key].float() - value).square().mean() for key, value in truth.items() if key[0] == "answer"]
        return float(torch.stack(parts).mean().sqrt())

    with torch.no_grad():
        truth = travel(exact, rows, prompts)
        plain = error("repeated rows")
        for road in ("tree", "tree on states", "repeated rows on states"):
            assert error(road) <= 2 * plain, f"{road}: {error(road):.3f} against {plain:.3f}"


def check_decoding(backbone: Backbone, texts: Sequence[Sequence[int]], *, num_tokens: int = 10) -> None:
    """Greedy decoding over our states is transformers' own on single rows, whatever the lengths of the batch."""
    batch = Batch(tuple(Row((Node(Text(tuple(text))),)) for text in texts))
    output = backbone.forward(batch, want=Want(last=True, state=True))
    logits, state = output.last, output.state
    assert logits is not None
    assert state is not None
    begun = state.lengths
    taken: list[list[int]] = [[] for _ in texts]
    for _ in range(num_tokens):
        logits = logits.clone()
        logits[:, backbone.tokenizer.eos_id] = -torch.inf
        tokens = logits.argmax(-1)
        for row, token in zip(taken, tokens.tolist(), strict=True):
            row.append(token)
        logits, state = backbone.step(state, tokens[:, None])
        assert state.lengths == tuple(length + len(row) for length, row in zip(begun, taken, strict=True))
    expected = [greedy(backbone, text, num_tokens=num_tokens) for text in texts]
    assert taken == expected


def check_feeding(backbone: Backbone) -> None:
    """Feeding tokens to states equals reading them; on a decoder's side the lines differ in length too."""
    prompts = prompts_for(backbone)
    seq2seq = backbone.spec.kind == "seq2seq"
    rows = [
        Row((Node(Text(text_of(9), "text")), Node(Soft("a", 3), 0, "decoder" if seq2seq else "main"))),
        Row((Node(Soft("b", 4, 1)), Node(Text((7,)), 0))),
        Row((Node(Text((8, 9), "text")),)),
    ]
    more = torch.tensor([text_of(8, start=n) for n in range(3)])
    side: Any = "decoder" if seq2seq else "main"
    longer = [
        Row((*row.nodes, Node(Text(tuple(ids)), len(row.nodes) - 1, side)))
        for row, ids in zip(rows, more.tolist(), strict=True)
    ]
    with torch.no_grad():
        truth = backbone.forward(Batch(tuple(longer)), prompts, want=Want(last=True)).last
        assert truth is not None
        for states in (False, True):
            batch = Batch((rows[0], rows[2])) if states else Batch(tuple(rows))
            mine = [0, 2] if states else [0, 1, 2]
            state = backbone.read(batch) if states else None
            state = backbone.forward(batch, prompts, state, want=Want(last=True, state=True)).state
            assert state is not None
            for at, count in ((0, 1), (1, 4), (5, 3)):
                logits, state = backbone.step(state, more[mine, at : at + count])
            assert float((logits - truth[mine]).abs().max()) <= 1e-5 * max(1, float(truth.abs().max()))


def check_fingerprint(model: torch.nn.Module) -> None:
    """Law 8: every tensor counts, and the dtype in which it was loaded does not."""
    mark = fingerprint(model)
    for name, parameter in model.named_parameters():
        flat = parameter.data.view(-1)
        old = flat[-1].clone()
        flat[-1] = old * 2 + 1
        assert fingerprint(model) != mark, f"{name} does not count"
        flat[-1] = old
    assert fingerprint(model) == mark
    low = model.to(torch.bfloat16)
    low_mark = fingerprint(low)
    assert fingerprint(low.to(torch.float32)) == low_mark
    assert low_mark == mark
