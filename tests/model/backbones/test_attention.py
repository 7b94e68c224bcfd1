"""The faster attention is torch's attention: values, gradients, masks, groups, and when it steps in."""

import os
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from softprompt.core.records import Answer, Batch, Node, Row, Soft, Text
from softprompt.core.tensors import PromptTensors, SlotTensors, State
from softprompt.model.backbones import attention, calls
from softprompt.model.backbones.attention import FastAttention, attend, fast_attention
from softprompt.testing import tiny

plain = torch.nn.functional.scaled_dot_product_attention


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def inputs(rows: int, heads: int, groups: int, queries: int, keys: int, *, strided: bool = False) -> list[Tensor]:
    """Query, key and value; laid out as a model's projections leave them if ``strided``."""
    shapes = [(heads, queries), (groups, keys), (groups, keys)]
    made = []
    for seed, (h, n) in enumerate(shapes):
        tensor = draw(rows, n, h, 8, seed=seed).transpose(1, 2)
        made.append((tensor if strided else tensor.contiguous()).requires_grad_())
    return made


def compare(qkv: list[Tensor], mask: Tensor | None = None, *, causal: bool = False, scale: float | None = None) -> None:
    """Values and gradients equal torch's to nine digits."""
    grouped = qkv[0].shape[1] != qkv[1].shape[1]
    expected = plain(*qkv, attn_mask=mask, is_causal=causal, scale=scale, enable_gqa=grouped)
    found = attend(*qkv, mask=mask, causal=causal, scale=scale)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    above = draw(*expected.shape, seed=9)
    wanted = torch.autograd.grad(expected, qkv, above)
    for one, other in zip(torch.autograd.grad(found, qkv, above), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@given(
    rows=st.integers(1, 4),
    groups=st.integers(1, 3),
    repeats=st.integers(1, 3),
    length=st.integers(1, 12),
    chunk=st.sampled_from([1, 100, 1 << 20]),
    kept=st.sampled_from([0, 1 << 25]),
    strided=st.booleans(),
)
def test_causal(rows: int, groups: int, repeats: int, length: int, chunk: int, kept: int, strided: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "BLOCK", 5)
        patch.setattr(attention, "KEPT", kept)
        patch.setattr(attention, "CHUNK", chunk)
        compare(inputs(rows, groups * repeats, groups, length, length, strided=strided), causal=True)


@given(
    rows=st.integers(1, 4),
    repeats=st.integers(1, 3),
    length=st.integers(1, 7),
    state=st.integers(0, 5),
    chunk=st.sampled_from([1, 100, 1 << 20]),
    added=st.booleans(),
    shape=st.sampled_from(["BHLT", "B1LT", "11LT", "B11T"]),
)
def test_masks(rows: int, repeats: int, length: int, state: int, chunk: int, added: bool, shape: str) -> None:
    keys = length + state
    sizes = {"B": rows, "H": 2 * repeats, "L": length, "T": keys, "1": 1}
    mask = draw(*(sizes[letter] for letter in shape), seed=5) > 0
    mask[..., 0] = True  # every query sees something
    if added:
        mask = torch.where(mask, draw(*mask.shape, seed=6), -1e30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "CHUNK", chunk)
        compare(inputs(rows, 2 * repeats, 2, length, keys), mask, scale=0.3)


@given(
    rows=st.integers(1, 4),
    repeats=st.integers(1, 3),
    length=st.integers(1, 7),
    state=st.integers(0, 5),
    chunk=st.sampled_from([1, 100, 1 << 20]),
    kept=st.sampled_from([0, 1 << 25]),
)
def test_frozen_keys_get_no_gradient_and_all_others_theirs(
    rows: int, repeats: int, length: int, state: int, chunk: int, kept: int
) -> None:
    qkv = inputs(rows, 2 * repeats, 2, length, length + state)
    mask = draw(rows, 1, length, length + state, seed=5) > 0
    mask[..., 0] = True
    above = draw(rows, 2 * repeats, length, 8, seed=9)
    expected = plain(*qkv, attn_mask=mask, enable_gqa=True)
    wanted = torch.autograd.grad(expected, qkv, above)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "CHUNK", chunk)
        patch.setattr(attention, "KEPT", kept)
        found = attend(*qkv, mask=mask, frozen=state)
        gradients = torch.autograd.grad(found, qkv, above)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gradients[0], wanted[0], rtol=1e-9, atol=1e-9)
    for one, other in zip(gradients[1:], wanted[1:], strict=True):
        assert not one[:, :, :state].any()
        torch.testing.assert_close(one[:, :, state:], other[:, :, state:], rtol=1e-9, atol=1e-9)


def test_a_query_that_sees_nothing_spreads_no_nan() -> None:
    qkv = inputs(1, 1, 1, 2, 3)
    mask = torch.tensor([[[[True, False, False], [False, False, False]]]])
    out = attend(*qkv, mask=mask)
    assert out.isfinite().all()
    torch.testing.assert_close(out[0, 0, 0], qkv[2][0, 0, 0])


@pytest.mark.parametrize("sharpness", [1.0, 4.0])
@pytest.mark.parametrize("causal", [True, False])
def test_in_bf16_it_errs_at_most_twice_as_much_as_the_fused_kernel(causal: bool, sharpness: float) -> None:
    """Sharp attention (scores of 40) is where rounded scores would show: they err four times as much."""
    exact = inputs(2, 4, 4, 40, 40)
    low = [(tensor * sharpness).detach().bfloat16().requires_grad_() for tensor in exact]
    mask = None if causal else (draw(2, 1, 40, 40, seed=4) > 0) | torch.eye(40, dtype=torch.bool)
    rounded = [tensor.detach().double().requires_grad_() for tensor in low]
    above = draw(2, 4, 40, 8, seed=9)
    expected = plain(*rounded, attn_mask=mask, is_causal=causal)
    wanted = [expected.detach(), *torch.autograd.grad(expected, rounded, above)]

    def errors(out: Tensor) -> list[float]:
        found = [out.detach(), *torch.autograd.grad(out, low, above.bfloat16())]
        return [float((a.double() - b).norm() / b.norm()) for a, b in zip(found, wanted, strict=True)]

    fast, fused = errors(attend(*low, mask=mask, causal=causal)), errors(plain(*low, attn_mask=mask, is_causal=causal))
    assert all(one <= 2 * other for one, other in zip(fast, fused, strict=True))
    assert max(fast) < 0.02


def test_weights_made_again_are_the_ones_that_were_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    low = [tensor.detach().bfloat16().requires_grad_() for tensor in inputs(3, 4, 2, 20, 20)]
    above = draw(3, 4, 20, 8, seed=9, dtype=torch.bfloat16)
    gradients = []
    for kept in (1 << 25, 0):
        monkeypatch.setattr(attention, "KEPT", kept)
        gradients.append(torch.autograd.grad(attend(*low, causal=True), low, above))
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


@pytest.mark.skipif(not hasattr(torch.backends.mkldnn, "matmul"), reason="torch before 2.9 has no such setting")
def test_the_precision_of_everybody_elses_products_is_not_changed() -> None:
    matmul = torch.backends.mkldnn.matmul
    before = matmul.fp32_precision
    low = draw(1, 2, 9, 4, dtype=torch.bfloat16)
    attend(low, low, low)
    assert matmul.fp32_precision == before
    with attention._bf16_read_as_such(low):
        assert matmul.fp32_precision == "bf16"
    assert matmul.fp32_precision == before


class Called(Exception):
    """The faster attention was asked."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise Called

    monkeypatch.setattr(attention, "attend", refuse)
    monkeypatch.setattr(attention, "_multiplies_bf16", lambda: True)


@pytest.mark.usefixtures("asked")
def test_it_steps_in_for_bf16_only_and_only_for_what_it_computes() -> None:
    low, exact = draw(1, 2, 9, 4, dtype=torch.bfloat16), draw(1, 2, 9, 4)
    few, group = low[:, :, :3], low[:, :1]
    with FastAttention():
        for arguments in ((low, low, low), (low, low, low, None, 0.0, True)):
            with pytest.raises(Called):
                plain(*arguments)
        with pytest.raises(Called):
            plain(low, group, group, enable_gqa=True)
        plain(exact, exact, exact)
        plain(few, low, low)
        plain(low, few, few, is_causal=True)  # torch's triangle starts at the first key, ours would at the last
        plain(low[0], low[0], low[0])
        plain(low, low, low, dropout_p=0.5)
    plain(low, low, low)


@pytest.mark.usefixtures("asked")
def test_a_processor_without_bf16_products_keeps_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_multiplies_bf16", lambda: False)
    low = draw(1, 2, 9, 4, dtype=torch.bfloat16)
    with FastAttention():
        plain(low, low, low)


@pytest.mark.usefixtures("asked")
def test_few_queries_are_its_own_where_there_is_a_way_back() -> None:
    """Torch's way back for few queries is ten times as slow: keys and values that are learnt count as well."""
    few, keys = draw(1, 2, 1, 4, dtype=torch.bfloat16), draw(1, 2, 9, 4, dtype=torch.bfloat16)
    learnt = keys.clone().requires_grad_()
    with FastAttention():
        for arguments in ((few.clone().requires_grad_(), keys, keys), (few, learnt, keys), (few, keys, learnt)):
            with pytest.raises(Called):
                plain(*arguments)
            with torch.no_grad():
                plain(*arguments)
        plain(few, keys, keys)


def test_where_no_call_can_fit_nothing_is_watched() -> None:
    shapes = ((9, torch.bfloat16), (1, torch.bfloat16), (9, torch.float32))

    def watched() -> list[bool]:
        return [isinstance(fast_attention(torch.zeros(2, n, 4, dtype=dtype)), FastAttention) for n, dtype in shapes]

    assert watched() == [True, True, False]
    with torch.no_grad():
        assert watched() == [True, False, False]


def test_it_is_inactive_after_a_call() -> None:
    low = draw(1, 2, 9, 4, dtype=torch.bfloat16)
    before = plain(low, low, low)
    with FastAttention():
        plain(low, low, low)
    assert torch.equal(plain(low, low, low), before)


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral"])
def test_a_model_calls_it_and_recomputed_layers_call_it_too(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def counted(*arguments: Tensor, **options: object) -> Tensor:
        calls.append(1)
        return attend(*arguments, **options)

    monkeypatch.setattr(attention, "attend", counted)
    monkeypatch.setattr(attention, "_multiplies_bf16", lambda: True)
    backbone = tiny(family, dtype=torch.bfloat16)
    nodes = [Node(Soft("soft", 3)), Node(Text(tuple(range(9)), "text"), 0), Node(Answer((9, 257)), 1)]
    batch = Batch((Row(tuple(nodes)),))

    def gradient(*, checkpoint: bool) -> Tensor:
        vectors = draw(3, backbone.spec.embed_dim, dtype=torch.float32).requires_grad_()
        prompt = PromptTensors({"soft": SlotTensors(embed=vectors)})
        scores = backbone.forward(batch, [prompt], checkpoint=checkpoint).answers[0].scores
        return torch.autograd.grad(scores.sum(), vectors)[0]

    kept = gradient(checkpoint=False)
    assert len(calls) == 3
    assert torch.equal(gradient(checkpoint=True), kept)
    assert len(calls) == 3 + 3 + 2  # backwards begins with the last layer, which is not made again


def test_the_models_own_call_names_what_is_frozen_and_shares_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over states that were read before: their columns need no gradient, and two heads come with one's keys."""
    met: list[tuple[int, int, int]] = []

    def noted(*arguments: Tensor, frozen: int, **options: Any) -> Tensor:
        met.append((arguments[0].shape[1], arguments[1].shape[1], frozen))
        return attend(*arguments, frozen=frozen, **options)

    monkeypatch.setattr(attention, "attend", noted)
    monkeypatch.setattr(attention, "_multiplies_bf16", lambda: True)
    backbone = tiny("llama", dtype=torch.bfloat16)
    nodes = [Node(Text(tuple(range(9)), "text")), Node(Soft("soft", 8), 0), Node(Answer((9, 257)), 1)]
    batch = Batch((Row(tuple(nodes)),))
    state = backbone.read(batch)
    met.clear()
    vectors = draw(8, backbone.spec.embed_dim, dtype=torch.float32).requires_grad_()
    gradients = []
    for own in (calls._num_frozen, lambda cache: 0):
        monkeypatch.setattr(calls, "_num_frozen", own)
        prompt = PromptTensors({"soft": SlotTensors(embed=vectors)})
        scores = backbone.forward(batch, [prompt], state).answers[0].scores
        gradients.append(torch.autograd.grad(scores.sum(), vectors)[0])
    groups, heads = backbone.spec.kv_shapes[0][0], backbone.model.config.num_attention_heads
    assert met == [(heads, groups, 9)] * 3 + [(heads, groups, 0)] * 3
    assert torch.equal(*gradients)
    assert "TRANSFORMERS_SDPA_FORCE_GQA" not in os.environ


def test_states_that_are_learnt_are_not_frozen() -> None:
    keys = torch.zeros(1, 1, 4, 2)
    assert calls._num_frozen(None) == 0
    assert calls._num_frozen(calls.cache_of()) == 0
    assert calls._num_frozen(calls.cache_of(State((keys,), (keys,), (4,)))) == 4
    assert calls._num_frozen(calls.cache_of(State((keys,), (keys.clone().requires_grad_(),), (4,)))) == 0
