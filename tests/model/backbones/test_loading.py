"""From a name to a frozen model, and one line with cause and cure where that fails."""

import json
import shutil
from unittest.mock import Mock

import pytest
import torch
from huggingface_hub.errors import GatedRepoError
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging as hf_logging

from softprompt.core.errors import ModelError
from softprompt.core.records import Batch, Node, Row, Text
from softprompt.model.backbones import loading
from softprompt.model.backbones.base import Want
from softprompt.model.backbones.loading import embedded_folder, load, wrap
from softprompt.model.backbones.weights import devices, holding
from softprompt.testing import tiny, tiny_tokenizer


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A whole model folder, as save_pretrained writes it."""
    folder = tmp_path_factory.mktemp("model")
    tiny("llama").model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy to break."""
    return shutil.copytree(saved, tmp_path / "model")


def refused(name, code, **options):
    with pytest.raises(ModelError) as caught:
        load(name, **options)
    assert caught.value.code == code
    assert caught.value.cure or code != "model.unreadable"
    assert "\n" not in str(caught.value)
    return str(caught.value)


def logits(backbone):
    return backbone.forward(Batch((Row((Node(Text((5, 6, 7))),)),)), want=Want(last=True)).last


def test_a_folder_gives_the_model_that_was_saved(saved):
    original, loaded = tiny("llama"), load(saved, dtype="fp32")
    assert loaded.spec.fingerprint == original.spec.fingerprint
    assert loaded.spec.tokenizer_hash == original.spec.tokenizer_hash
    torch.testing.assert_close(logits(loaded), logits(original))
    assert (loaded.spec.name, loaded.spec.family, loaded.spec.revision) == (str(saved), "llama", None)


def test_the_embedded_model_loads_and_continues_text():
    if not embedded_folder().is_dir():
        pytest.skip("no embedded model in this installation")
    backbone = load("embedded", dtype="fp32")
    assert backbone.spec.name == "embedded"
    assert backbone.spec.max_positions == 1024
    ids = backbone.tokenizer.encode("The capital of the United")
    found = backbone.forward(Batch((Row((Node(Text((backbone.tokenizer.bos_id, *ids))),)),)), want=Want(last=True))
    best = [backbone.tokenizer.decode([token]) for token in found.last[0].topk(5).indices.tolist()]
    assert any(word.strip().startswith(("State", "King", "Nation")) for word in best), best


@pytest.mark.parametrize(("name", "dtype"), devices.DTYPES.items())
def test_a_dtype_changes_the_weights_and_neither_the_fingerprint_nor_the_rotations(saved, name, dtype):
    backbone = load(saved, dtype=name)
    assert backbone.spec.dtype == dtype
    assert {parameter.dtype for parameter in backbone.model.parameters()} == {dtype}
    assert backbone.model.model.rotary_emb.inv_freq.dtype == torch.float32
    assert backbone.spec.fingerprint == tiny("llama").spec.fingerprint


def test_auto_takes_what_the_measurement_finds_fastest(saved, monkeypatch):
    monkeypatch.setattr(holding, "fastest_dtype", lambda device, width: torch.bfloat16)
    assert load(saved).spec.dtype == torch.bfloat16


def test_a_model_is_loaded_once(saved, monkeypatch):
    calls = []
    inner = AutoModelForCausalLM.from_pretrained
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda *a, **k: calls.append(a) or inner(*a, **k))
    load(saved, dtype="bf16")
    assert len(calls) == 1


@pytest.mark.parametrize("bars", [True, False])
def test_loading_prints_nothing_and_leaves_the_users_settings(saved, capfd, bars):
    before = (hf_logging.is_progress_bar_enabled(), are_progress_bars_disabled(), hf_logging.get_verbosity())
    try:
        (hf_logging.enable_progress_bar if bars else hf_logging.disable_progress_bar)()
        hf_logging.set_verbosity_info()
        load(saved)
        assert hf_logging.is_progress_bar_enabled() is bars
        assert are_progress_bars_disabled() is not bars
        assert hf_logging.get_verbosity() == hf_logging.INFO
        assert capfd.readouterr() == ("", "")
    finally:
        (hf_logging.enable_progress_bar if before[0] else hf_logging.disable_progress_bar)()
        (disable_progress_bars if before[1] else enable_progress_bars)()
        hf_logging.set_verbosity(before[2])


def test_settings_come_back_after_a_failure_too(folder):
    (folder / "model.safetensors").write_bytes(b"broken")
    before = (hf_logging.is_progress_bar_enabled(), are_progress_bars_disabled(), hf_logging.get_verbosity())
    refused(folder, "model.unreadable")
    assert (hf_logging.is_progress_bar_enabled(), are_progress_bars_disabled(), hf_logging.get_verbosity()) == before


def test_a_missing_folder(tmp_path):
    assert "there is no folder" in refused(tmp_path / "nowhere", "model.not_found")


def test_a_name_that_nobody_has_when_offline():
    message = refused("nobody/nothing-at-all", "model.not_found")
    assert "neither a folder nor a model that the hub (or its local cache) gave" in message
    assert "use 'embedded'" in message


def test_a_folder_without_a_config(folder):
    (folder / "config.json").unlink()
    assert "has no config.json" in refused(folder, "model.unreadable")


@pytest.mark.parametrize("text", ['{"model_type": ', "[1, 2]", "\xff\xfe"])
def test_a_broken_config(folder, text):
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    assert "config.json cannot be read" in refused(folder, "model.unreadable")


def test_a_config_of_no_known_kind(folder):
    (folder / "config.json").write_text('{"model_type": "nonsense"}')
    message = refused(folder, "model.unsupported")
    assert "says model_type 'nonsense', which transformers" in message
    (folder / "config.json").write_text("{}")
    assert "says no model_type [" in refused(folder, "model.unsupported")


@pytest.mark.parametrize("others", [["pytorch_model.bin"], []])
def test_weights_that_could_run_code_are_refused(folder, others):
    (folder / "model.safetensors").unlink()
    for name in others:
        (folder / name).write_bytes(b"")
    message = refused(folder, "model.no_safetensors")
    assert (others or ["no weights"])[0] in message


def test_code_from_a_repository_is_never_run(folder):
    (folder / "evil.py").write_text("raise SystemExit('run')")
    config = json.loads((folder / "config.json").read_text())
    code = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    parts = {"AutoModelForCausalLM": "evil.Model"}  # of a kind that only its own code knows
    for kind, auto_map in (("llama", code), ("evil", code), ("evil", parts)):
        (folder / "config.json").write_text(json.dumps(config | {"model_type": kind, "auto_map": auto_map}))
        assert "sp.wrap(model, tokenizer)" in refused(folder, "model.remote_code")


@pytest.mark.parametrize("keep", [0, 7, 1000, -10])
def test_truncated_weights(folder, keep):
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:keep])
    refused(folder, "model.unreadable")


def test_weights_that_lack_a_tensor_are_not_filled_with_random_numbers(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    message = refused(folder, "model.unreadable")
    assert "lacks 1 weights" in message
    assert "model.layers.1.mlp.up_proj.weight" in message


def test_weights_of_another_shape(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"] = torch.ones(31)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    refused(folder, "model.unreadable")


def test_a_folder_without_a_tokenizer(folder):
    for path in folder.glob("*token*"):
        path.unlink()
    refused(folder, "model.no_tokenizer")


def test_a_gated_model(monkeypatch):
    def gated(*_, **__):
        raise GatedRepoError("Cannot access gated repo for url", response=Mock(headers={}))

    monkeypatch.setattr(loading.AutoConfig, "from_pretrained", gated)
    assert "ask for access there" in refused("someone/gated", "model.gated")


def test_an_unknown_device_or_dtype_fails_before_anything_is_read(tmp_path):
    nowhere = tmp_path / "nowhere"
    assert "is no device; known: auto, cpu" in refused(nowhere, "model.no_device", device="gpu")
    assert "on this machine" in refused(nowhere, "model.no_device", device=f"cuda:{torch.cuda.device_count()}")
    assert "known: auto, bf16, fp16, fp32" in refused(nowhere, "model.unknown_dtype", dtype="int3")


def test_wrapping_freezes_a_live_model_in_place():
    model = tiny("gpt2").model.train()
    model.requires_grad_(True)
    backbone = wrap(model, tiny_tokenizer())
    assert backbone.model is model
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert backbone.spec.name == "GPT2LMHeadModel"
    assert backbone.spec.dtype == torch.float32


def test_the_fastest_dtype_is_one_that_the_machine_has():
    assert devices.fastest_dtype(torch.device("cpu"), 64, rounds=1) in devices.DTYPES.values()


def test_float32_stays_unless_another_is_clearly_faster(monkeypatch):
    for low, expected in ((0.9, torch.float32), (0.5, torch.bfloat16)):
        monkeypatch.setattr(devices, "_seconds", lambda a, b, low=low: low if a.dtype == torch.bfloat16 else 1.0)
        assert devices.fastest_dtype(torch.device("cpu"), 64) == expected


def test_long_faults_are_cut_between_words_after_their_first_sentence(folder, monkeypatch):
    said = "Nothing fits here. Please update everything."
    monkeypatch.setattr(loading.AutoTokenizer, "from_pretrained", Mock(side_effect=ValueError(said)))
    assert refused(folder, "model.no_tokenizer").split(" [")[0].endswith("ValueError: Nothing fits here.")
    monkeypatch.setattr(loading.AutoTokenizer, "from_pretrained", Mock(side_effect=ValueError("word " * 99)))
    assert refused(folder, "model.no_tokenizer").split(" [")[0].endswith("word ...")
