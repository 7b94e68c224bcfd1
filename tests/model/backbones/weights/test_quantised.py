"""What is said of schemes, and what is refused, without their libraries; the laws on them are tests/laws."""

import importlib.util
from dataclasses import replace
from types import SimpleNamespace
from typing import get_args

import pytest
from torch import nn

from softprompt.app.config import ModelSettings
from softprompt.core.errors import ExtraError, ModelError, PromptError
from softprompt.model.backbones.weights.copies import trainable_copy
from softprompt.model.backbones.weights.fingerprint import fingerprint
from softprompt.model.backbones.weights.quantised import SCHEMES, quantisation_of, require_training, scheme_of
from softprompt.model.prompts.manifest import ModelIdentity
from softprompt.model.prompts.prompt import Prompt
from softprompt.testing import tiny


def refused(code, do, *given, **named):
    with pytest.raises((ModelError, ExtraError)) as caught:
        do(*given, **named)
    assert caught.value.code == code
    return str(caught.value)


def test_settings_know_every_scheme_and_no_other():
    literal = get_args(ModelSettings.model_fields["quantise"].annotation)[0]
    assert set(get_args(literal)) == set(SCHEMES)


def test_an_unknown_scheme_and_a_missing_library_are_one_line(monkeypatch):
    assert "int8" in refused("model.unknown_scheme", quantisation_of, "int3", SimpleNamespace())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "softprompt[quantised]" in refused("extra.missing", quantisation_of, "nf4", SimpleNamespace())


def test_a_plain_model_has_no_scheme_and_cannot_pass_for_one():
    model = tiny().model
    assert scheme_of(model) is None
    assert "no layer" in refused("model.unsupported_scheme", scheme_of, model, asked="int8")


def test_a_library_that_nobody_compared_is_refused_by_its_name():
    model = nn.Linear(2, 2)
    model.config = SimpleNamespace(quantization_config={"quant_method": "gptq", "bits": 4})
    assert "gptq" in refused("model.unsupported_scheme", scheme_of, model)


@pytest.mark.parametrize(("threshold", "scheme"), [(0.0, "llm-int8"), (6.0, None)])
def test_outliers_decide_whether_eight_bits_are_taken(threshold, scheme):
    module = type("Linear8bitLt", (nn.Module,), {})()
    module.state = SimpleNamespace(threshold=threshold)
    model = nn.Sequential(module)
    if scheme:
        assert scheme_of(model) == scheme
        assert "llm-int8 already" in refused("model.unsupported_scheme", scheme_of, model, asked="nf4")
    else:
        assert "quantise: llm-int8" in refused("model.unsupported_scheme", scheme_of, model)


def test_what_gives_no_right_gradient_is_not_trained_through():
    spec = tiny().spec
    for name, scheme in SCHEMES.items():
        if scheme.train:
            require_training(replace(spec, quantised=name))
        else:
            assert scheme.reason in refused("model.cannot_train", require_training, replace(spec, quantised=name))
    require_training(spec)


def test_quantised_weights_are_not_trained():
    backbone = tiny()
    backbone.spec = replace(backbone.spec, quantised="nf4")
    refused("model.cannot_train", trainable_copy, backbone)


def test_the_scheme_is_part_of_the_fingerprint():
    model = tiny().model
    marks = {fingerprint(model, quantised=name) for name in (None, *SCHEMES)}
    assert len(marks) == 1 + len(SCHEMES)


@pytest.mark.parametrize(("own", "other", "cure"), [("nf4", None, "quantise: nf4"), (None, "nf4", "without quantise")])
def test_a_prompt_is_refused_on_the_other_precision_of_its_model(own, other, cure):
    def identity(scheme):
        return ModelIdentity(id="m", fingerprint=f"f{scheme}", tokenizer="t", quantised=scheme)

    manifest = SimpleNamespace(model=identity(own))
    with pytest.raises(PromptError, match="precision of the weights") as caught:
        Prompt.check(SimpleNamespace(manifest=manifest), identity(other))
    assert caught.value.code == "prompt.other_model"
    assert cure in str(caught.value)
    assert "quantised" not in identity(None).model_dump()
    assert identity("nf4").model_dump()["quantised"] == "nf4"
