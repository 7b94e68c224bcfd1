"""What is driven, how, and what is refused with the reason."""

import pytest
import torch
import transformers as hf

from softprompt.core.errors import ModelError
from softprompt.core.records import Batch, Node, Row, Text
from softprompt.model.backbones.base import Want
from softprompt.model.backbones.families import FAMILIES, family_of
from softprompt.model.backbones.loading import wrap
from softprompt.testing import FAMILIES as TINY
from softprompt.testing import tiny, tiny_tokenizer

SMALL = {
    "vocab_size": 300,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}


def refused(model):
    with pytest.raises(ModelError) as caught:
        wrap(model, tiny_tokenizer())
    assert caught.value.code == "model.unsupported"
    return caught.value.message


def test_a_model_without_keys_and_values_is_refused():
    config = hf.MambaConfig(vocab_size=300, hidden_size=16, num_hidden_layers=1, state_size=4)
    assert "layers without keys and values" in refused(hf.MambaForCausalLM(config))


def test_one_layer_without_keys_and_values_is_enough():
    config = hf.Lfm2Config(**SMALL, num_key_value_heads=2, layer_types=["conv", "full_attention"])
    assert "layers without keys and values (conv)" in refused(hf.Lfm2ForCausalLM(config))


#: What their layers are called differs: in the config's words for layers, or by the model's type alone.
HYBRIDS = """
    Qwen3Next Qwen3_5Text Bamba Jamba FalconH1 GraniteMoeHybrid NemotronH Zamba2 MiniMax OlmoHybrid RecurrentGemma Rwkv
    Mamba2 FalconMamba xLSTM
"""


@pytest.mark.parametrize("name", HYBRIDS.split())
def test_hybrids_with_linear_attention_are_refused_by_their_config(name):
    """As their own files have them; no such model is built."""
    config = getattr(hf, f"{name}Config")()
    with pytest.raises(ModelError) as caught:
        family_of(torch.nn.Identity(), config)
    assert caught.value.code == "model.unsupported"
    assert caught.value.message.startswith(f"{config.model_type} has layers without keys and values")
    assert caught.value.cure == "use a model with attention in every layer"


def test_a_model_that_keeps_no_states_is_refused():
    """Its kind is not known beforehand: it is found out by sending two tokens through."""
    config = hf.OpenAIGPTConfig(vocab_size=300, n_embd=16, n_layer=2, n_head=2, n_positions=32)
    message = refused(hf.OpenAIGPTLMHeadModel(config))
    assert "2 layers and 0 that keep keys and values" in message


def test_a_model_that_cannot_be_told_positions_is_refused():
    config = hf.BartConfig(
        vocab_size=300, d_model=16, decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=16, is_decoder=True
    )
    config.is_encoder_decoder = False
    assert "cannot be told the positions" in refused(hf.BartForCausalLM(config))


def test_a_model_without_an_output_layer_is_refused():
    assert "has no output layer" in refused(hf.LlamaModel(hf.LlamaConfig(**SMALL)))


@pytest.mark.parametrize("family", TINY)
def test_what_is_known_of_a_model_is_what_it_computes(family):
    backbone = tiny(family)
    state = backbone.step(*_first_token(backbone))[1]
    assert [(k.shape[1], k.shape[3], v.shape[3]) for k, v in zip(state.keys, state.values, strict=True)] == list(
        backbone.spec.kv_shapes
    )
    assert state.num_bytes == 2 * backbone.spec.kv_bytes
    assert backbone.embed(torch.tensor([[1, 2]])).shape == (1, 2, backbone.spec.embed_dim)
    weight, bias = backbone.output_vectors(torch.tensor([1, 2, 3]))
    assert weight.shape == (3, backbone.spec.head_dim)
    assert bias.shape == (3,)
    assert backbone.spec.vocab_size == 300


def _first_token(backbone):
    output = backbone.forward(Batch((Row((Node(Text((5,))),)),)), want=Want(last=True, state=True))
    return output.state, torch.tensor([[6]])


def test_alibi_and_unknown_families_get_repeated_rows():
    assert not tiny("falcon_alibi").spec.tree
    assert not tiny("bloom").spec.tree
    assert all(tiny(family).spec.tree for family in TINY if family not in ("falcon_alibi", "bloom"))
    assert "llama4_text" not in FAMILIES


def test_windows_by_kind_of_layer():
    config = tiny("gemma2").model.config
    assert FAMILIES["gemma2"].windows(config) == {"full_attention": None, "sliding_attention": 7}
    assert FAMILIES["mistral"].windows(tiny("mistral").model.config) == 6
    assert FAMILIES["llama"].windows(tiny("llama").model.config) is None


def test_a_window_that_a_family_does_not_use_is_not_applied():
    """Some configs carry a window that the model ignores."""
    config = tiny("llama").model.config
    config.sliding_window = 3
    assert FAMILIES["llama"].windows(config) is None
