"""Where adapters go, and what is refused before anything is trained."""

from dataclasses import replace

import pytest

from softprompt.core.errors import ConfigError, ModelError
from softprompt.lab.comparison.finetuning.adapters import add_adapters, require_trainable
from softprompt.lab.comparison.settings import FullSettings, LoraSettings
from softprompt.model.backbones.weights.copies import exact_hash, module_of, trainable_copy
from softprompt.testing import tiny

TARGETS = {"llama": ("q_proj", "v_proj"), "gpt2": ("c_attn",), "t5": ("q", "v")}


@pytest.mark.parametrize("family", list(TARGETS))
def test_named_modules_get_adapters_and_the_loaded_model_none(family: str) -> None:
    loaded = tiny(family)
    before = exact_hash(module_of(loaded))
    own = trainable_copy(loaded, share=True)
    add_adapters(module_of(own), LoraSettings(targets=TARGETS[family], rank=2), seed=0)
    trained = [name for name, one in module_of(own).named_parameters() if one.requires_grad]
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in trained} == set(TARGETS[family])
    require_trainable(loaded, LoraSettings(targets=TARGETS[family]))
    require_trainable(loaded, FullSettings())
    assert exact_hash(module_of(loaded)) == before


@pytest.mark.parametrize("family", list(TARGETS))
def test_one_name_of_several_that_is_no_module_is_refused_with_those_there_are(family: str) -> None:
    with pytest.raises(ConfigError) as raised:
        require_trainable(tiny(family), LoraSettings(targets=(*TARGETS[family], "nowhere")))
    assert raised.value.code == "config.invalid"
    assert all(name in str(raised.value) for name in TARGETS[family])


def test_names_are_written_as_a_list_or_with_commas_and_patterns_stay() -> None:
    targets = [LoraSettings.parse({"targets": one}).targets for one in ("q, v", ["q"], "all-linear", ".*[qv]", "q")]
    assert targets == [("q", "v"), ("q",), "all-linear", ".*[qv]", ("q",)]


def test_weights_that_no_step_changes_are_refused() -> None:
    model = tiny()
    model.spec = replace(model.spec, quantised="int8")
    with pytest.raises(ModelError, match="compare with LoRA, which adds to them") as raised:
        require_trainable(model, FullSettings())
    assert raised.value.code == "model.cannot_train"
    require_trainable(model, LoraSettings())


def test_weights_that_pass_no_right_gradient_are_refused() -> None:
    model = tiny()
    model.spec = replace(model.spec, quantised="int8-dynamic")
    with pytest.raises(ModelError, match="passes no gradient through the rounding") as raised:
        require_trainable(model, LoraSettings())
    assert raised.value.code == "model.cannot_train"
