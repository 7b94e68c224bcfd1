"""Carrying a prompt to another model: exact where one is a linear image of the other, refused for want of words."""

import copy

import pytest
import torch
from torch import Tensor

from softprompt.core.errors import PromptError
from softprompt.core.tensors import Head, PromptTensors, SlotTensors
from softprompt.model.backbones.loading import wrap
from softprompt.ops.formats.recycling import Bridge, carry, shared_tokens
from softprompt.testing import tiny, tiny_tokenizer
from tests.ops.formats.samples import noise


def turned(backbone, angle: Tensor):
    """The same model with other coordinates in its tables: embeddings, and what its (untied) output layer reads."""
    model = copy.deepcopy(backbone.model)
    with torch.no_grad():
        for table in (model.get_input_embeddings(), model.get_output_embeddings()):
            table.weight.copy_(table.weight @ angle)
    return wrap(model, tiny_tokenizer(), name="turned")


def test_vectors_of_a_turned_table_are_turned_with_it() -> None:
    source = tiny("qwen2")
    angle = torch.linalg.qr(noise(8, 32, 32))[0]
    target = turned(source, angle)
    prompt = PromptTensors({"soft": SlotTensors(embed=noise(1, 4, 32))}, Head(noise(2, 2, 32), noise(3, 2)))
    before = {name: tensor.clone() for name, tensor in prompt.tensors()}
    found = carry(prompt, source, target)
    assert found.tensors.slots["soft"].embed.allclose(prompt.slots["soft"].embed @ angle, atol=1e-4)
    assert found.tensors.head is not None
    assert found.tensors.head.weight.allclose(prompt.head.weight @ angle, atol=1e-4)
    assert found.tensors.head.bias.equal(prompt.head.bias)
    assert found.explained == pytest.approx(1, abs=1e-6)
    assert found.explained_head == pytest.approx(1, abs=1e-6)
    assert found.num_shared == 256
    assert all(before[name].equal(tensor) for name, tensor in prompt.tensors())


def test_tables_without_anything_in_common_explain_nothing() -> None:
    found = carry(PromptTensors({"soft": SlotTensors(embed=noise(1, 4, 32))}), tiny("llama"), tiny("opt", seed=1))
    assert found.tensors.slots["soft"].embed.shape == (4, 20)
    assert found.explained < 0.2


def test_the_map_is_that_of_least_squares() -> None:
    x, y = noise(1, 90, 5), noise(2, 90, 3)
    bridge = Bridge.between(lambda ids: x[ids], lambda ids: y[ids], [(n, n) for n in range(90)])
    padded = torch.cat([x, torch.ones(90, 1)], dim=1)
    best = torch.linalg.lstsq(padded, y).solution
    assert bridge(x).allclose(padded @ best, atol=1e-4)


def test_shared_tokens_are_those_of_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = tiny("llama").tokenizer, tiny("gpt2").tokenizer
    words = {one: {0: b" the", 2: b"a", 3: b"x"}, other: {0: b"a", 1: b" the", 2: b"", 3: b" the"}}
    for tokenizer in (one, other):
        monkeypatch.setattr(tokenizer, "as_bytes", words[tokenizer].get)
    assert shared_tokens(one, other) == [(0, 1), (2, 0)]


def test_too_few_shared_tokens_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tiny("llama"), tiny("gpt2")
    monkeypatch.setattr(target.tokenizer, "as_bytes", {7: b"a"}.get)
    with pytest.raises(PromptError, match=r"share 1 tokens; 64 are needed to map vectors of 32 numbers") as caught:
        carry(PromptTensors({"soft": SlotTensors(embed=noise(1, 4, 32))}), source, target)
    assert caught.value.code == "prompt.little_vocabulary"


def test_what_enters_inside_a_model_cannot_be_carried() -> None:
    pair = (noise(1, 2, 4, 8), noise(2, 2, 4, 8))
    with pytest.raises(PromptError, match="share no layers") as caught:
        carry(PromptTensors({"soft": SlotTensors(kv={0: pair})}), tiny("llama"), tiny("gpt2"))
    assert caught.value.code == "prompt.unsupported_conversion"
