"""Compiled feed-forward blocks: the same numbers, and a bounded number of compilations."""

import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.errors import ModelError
from softprompt.model.backbones.calls import layers_of
from softprompt.model.backbones.loading import wrap
from softprompt.model.backbones.weights import compiling
from softprompt.model.backbones.weights.compiling import bucket, compile_blocks
from softprompt.testing import tiny, tiny_tokenizer
from tests.laws import checks
from tests.laws.examples import MIXED
from tests.laws.strategies import prompts_for

#: What torch's compiler imports when it is first used.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.script_method"),
    pytest.mark.filterwarnings("ignore:The .grad attribute"),  # it looks at those of all tensors
]


@given(st.integers(1, 1 << 20))
def test_a_bucket_holds_its_tokens_and_wastes_at_most_a_quarter(tokens):
    size = bucket(tokens)
    assert tokens <= size
    assert size <= max(compiling.LEAST, 1.25 * tokens)
    assert bucket(size) == size


def test_buckets_are_few():
    assert len({bucket(n) for n in range(1, 4097)}) <= 4 * 9 + 1


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_laws_hold_over_buckets(family):
    """Without code generation: what the compiler traces is run as it is."""
    backbone = tiny(family)
    assert compile_blocks(layers_of(backbone.model), backend="eager") == 3
    checks.check_scores(backbone, MIXED[:3], prompts_for(backbone))
    checks.check_roads(backbone, MIXED[:3], prompts_for(backbone))
    checks.check_gradients(backbone, MIXED[:3], prompts_for(backbone))


def test_blocks_share_what_is_compiled_and_lengths_do_not_compile_anew():
    graphs = []

    def count(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    backbone = tiny("llama")
    compile_blocks(layers_of(backbone.model), backend=count)
    for length in (3, 17, 40, 90, 200):
        vectors = torch.randn(2, length, 32)
        for gradient in (False, True):
            for layer in layers_of(backbone.model):
                layer.mlp(vectors.clone().requires_grad_(gradient))
    assert 1 <= len(graphs) <= 2


@pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="torch.compile needs a C compiler")
def test_generated_code_gives_what_the_block_gives():
    backbone, plain = tiny("llama"), tiny("llama")
    compile_blocks(layers_of(backbone.model)[:1])
    states = torch.randn(2, 9, 32)
    with torch.no_grad():
        ours, theirs = (layers_of(one.model)[0].mlp(states) for one in (backbone, plain))
    torch.testing.assert_close(ours, theirs)


def test_what_cannot_be_compiled_is_refused(monkeypatch):
    for family in ("mixtral", "bloom"):
        with pytest.raises(ModelError) as caught:
            compile_blocks(layers_of(tiny(family).model))
        assert caught.value.code == "model.cannot_compile"
    with pytest.raises(ModelError, match="causal"):
        wrap(tiny("t5").model, tiny_tokenizer(), compile=True)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ModelError, match="C compiler"):
        compile_blocks(layers_of(tiny().model))
