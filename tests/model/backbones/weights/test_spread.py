"""Models in several files and in several places: the same numbers as in one."""

from unittest.mock import Mock

import pytest
import torch
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicLayer

from softprompt.core.errors import ModelError
from softprompt.core.records import Batch
from softprompt.model.backbones import calls
from softprompt.model.backbones.base import Want
from softprompt.model.backbones.calls import layers_of
from softprompt.model.backbones.loading import load
from softprompt.model.backbones.weights.copies import trainable_copy
from softprompt.testing import tiny
from tests.laws import checks
from tests.laws.examples import MIXED, TEXTS
from tests.laws.strategies import LAYERED, prompts_for
from tests.laws.test_masked import MIXED as MASKED
from tests.model.backbones.folders import saved

hooks = pytest.importorskip(
    "accelerate.hooks", reason="accelerate is not installed: pip install 'softprompt[quantised]'"
)

#: Family -> its parts that lie on the disk; the others stay in memory.
ON_DISK = {
    "llama": ["model.layers.1", "model.layers.2"],
    "opt": ["model.decoder.layers.0"],
    "t5": ["encoder.block.1", "decoder.block.0"],
    "bert": ["bert.encoder.layer.1"],
}

#: Names of tables that are the table of another name.
TIED = {
    "llama": {"lm_head": "cpu"},
    "opt": {"lm_head": "cpu"},
    "t5": {"encoder.embed_tokens": "cpu", "decoder.embed_tokens": "cpu", "lm_head": "cpu"},
}


def parts(model, below=()):
    """A map of a model's smallest parts, those of ``below`` on the disk."""
    leaves = {name.rpartition(".")[0] for name, _ in (*model.named_parameters(), *model.named_buffers())}
    inside = {leaf for leaf in leaves for part in below if leaf.startswith(f"{part}.")}
    return dict.fromkeys(leaves - inside - {""}, "cpu") | dict.fromkeys(below, "disk")


@pytest.fixture(scope="module")
def offloaded(tmp_path_factory):
    """Family -> a tiny model with layers on the disk."""
    loaded = {}

    def get(family):
        if family not in loaded:
            folder = saved(tmp_path_factory.mktemp(family), family)
            places = parts(tiny(family).model, ON_DISK[family]) | TIED.get(family, {})
            loaded[family] = load(folder, device_map=places, dtype="fp32")
        return loaded[family]

    return get


def test_several_shards_are_one_model_read_once(tmp_path, monkeypatch):
    folder = saved(tmp_path, max_shard_size="40KB")
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 2
    assert (folder / "model.safetensors.index.json").is_file()
    counted = Mock(side_effect=PreTrainedModel._load_pretrained_model)
    monkeypatch.setattr(PreTrainedModel, "_load_pretrained_model", counted)
    backbone = load(folder, dtype="fp32")
    assert counted.call_count == 1
    assert backbone.spec.fingerprint == tiny().spec.fingerprint
    checks.check_scores(backbone, MIXED[:3], prompts_for(backbone))


def test_a_shard_that_is_missing_is_one_line(tmp_path):
    folder = saved(tmp_path, max_shard_size="40KB")
    next(iter(sorted(folder.glob("model-*-of-*.safetensors")))).unlink()
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert caught.value.code == "model.unreadable"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("family", ON_DISK)
def test_layers_on_the_disk_change_nothing(offloaded, family):
    backbone = offloaded(family)
    assert any(parameter.is_meta for parameter in backbone.model.parameters())
    assert backbone.spec.fingerprint == tiny(family).spec.fingerprint
    assert backbone.spec.device == torch.device("cpu")
    rows, prompts = (MASKED if family == "bert" else MIXED)[:3], prompts_for(backbone)
    checks.check_scores(backbone, rows, prompts)
    checks.check_roads(backbone, rows, prompts)
    checks.check_gradients(backbone, rows, prompts)
    ids = torch.tensor([5, 6])
    for ours, whole in zip(backbone.output_vectors(ids), tiny(family).output_vectors(ids), strict=True):
        torch.testing.assert_close(ours, whole)


def test_layers_on_the_disk_take_prompts_that_enter_layers_and_decode(offloaded):
    backbone = offloaded("llama")
    checks.check_roads(backbone, MIXED[:2], prompts_for(backbone, kinds=LAYERED))
    checks.check_decoding(backbone, TEXTS, num_tokens=3)


def test_checkpointing_gives_the_hooks_back(offloaded):
    backbone = offloaded("llama")
    checks.check_checkpoint(backbone, MIXED[:2], prompts_for(backbone))
    checks.check_scores(backbone, MIXED[:2], prompts_for(backbone))


def test_a_precision_reaches_layers_on_the_disk(tmp_path):
    folder = saved(tmp_path)
    low = load(folder, device_map=parts(tiny().model, ON_DISK["llama"]) | TIED["llama"], dtype="bf16")
    whole = load(folder, dtype="bf16")
    assert low.spec.fingerprint == whole.spec.fingerprint
    batch = Batch((MIXED[3],))
    want = Want(last=True)
    torch.testing.assert_close(low.forward(batch, want=want).last, whole.forward(batch, want=want).last)


def test_what_needs_all_weights_is_refused(offloaded):
    with pytest.raises(ModelError) as caught:
        trainable_copy(offloaded("llama"))
    assert caught.value.code == "model.spread"


@pytest.mark.parametrize(
    ("places", "code"),
    [
        ("everywhere", "model.bad_device_map"),
        ({"": "disk"}, "model.bad_device_map"),
        ({"model": "attic"}, "model.no_device"),
        ({"model": 99}, "model.no_device"),
        ({"encoder": "cpu", "decoder.block.0": "disk"}, "model.bad_device_map"),
        ({"encodre": "cpu"}, "model.bad_device_map"),
    ],
)
def test_bad_maps_are_one_line(tmp_path, places, code):
    with pytest.raises(ModelError) as caught:
        load(saved(tmp_path, "t5"), device_map=places)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


class Second(TorchFunctionMode):
    """``meta`` as a second device: what is brought back from it is made up, so only the way is tested."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.to and args[0].is_meta:
            like = args[1] if len(args) > 1 else (kwargs or {}).get("device")
            place = like.device if isinstance(like, torch.Tensor) else like
            if isinstance(place, torch.device | str) and torch.device(place).type != "meta":
                return torch.zeros(args[0].shape, dtype=args[0].dtype, device=place)
        return func(*args, **(kwargs or {}))


def two_devices(backbone):
    """The same backbone with its later layers on another device."""
    model = backbone.model
    layers = layers_of(model)
    hooks.add_hook_to_module(model.lm_head, hooks.AlignDevicesHook(execution_device=torch.device("cpu")))
    for part in (*layers[1:], model.base_model.norm):
        part.to("meta")
        hooks.add_hook_to_module(part, hooks.AlignDevicesHook(execution_device=torch.device("meta")))
    return backbone


@pytest.mark.parametrize("kinds", [None, LAYERED])
def test_states_and_prompts_go_where_the_layers_compute(kinds):
    backbone, batch, here = two_devices(tiny("qwen2")), Batch(tuple(MIXED[:3])), torch.device("cpu")
    prompts = prompts_for(backbone, kinds=kinds)
    with Second():
        state = backbone.read(batch)
        assert {tensor.device for tensor in state.tensors()} == {here}
        for known in (None, state):
            found = backbone.forward(batch, prompts, known, want=Want(last=True))
            assert found.last.device == found.answers[0].scores.device == here
        logits, longer = backbone.step(state, torch.zeros(len(state), 1, dtype=torch.long))
    assert logits.device == longer.keys[-1].device == here


def test_auto_takes_the_whole_model_where_it_fits(tmp_path):
    backbone = load(saved(tmp_path), device_map="auto", dtype="fp32")
    checks.check_scores(backbone, MIXED[:2], prompts_for(backbone))


def test_a_state_that_stays_behind_is_noticed(monkeypatch):
    monkeypatch.setattr(calls._Layer, "update", DynamicLayer.update)
    backbone, batch = two_devices(tiny("qwen2")), Batch(tuple(MIXED[:3]))
    with Second(), pytest.raises(RuntimeError, match="device"):
        backbone.forward(batch, prompts_for(backbone), backbone.read(batch), want=Want(last=True))
