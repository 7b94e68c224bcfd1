"""PEFT's adapters of encoder-decoders: logits inside it equal ours both ways, and what neither can say is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from softprompt.app.recipes.formats import import_prompt
from softprompt.core.errors import PromptError
from softprompt.core.records import Batch, Example
from softprompt.core.tasks import parse_task
from softprompt.model.backbones.base import Want
from softprompt.model.prompts.prompt import Prompt
from softprompt.model.templates import RowBuilder
from softprompt.ops.formats.opening import template_of
from softprompt.ops.formats.table import export
from softprompt.testing import tiny
from tests.ops.formats.samples import TASK, build, close, exported, hf_model, quietly, same

SIDED = "<soft 4>{text}<decoder>{answer}"
#: Mirrors the frames of the tiny models: what their tokenizers write around a text.
AROUND = {"t5": ((), (257,)), "mt5": ((), (257,)), "bart": ((256,), (257,)), "pegasus": ((), (257,))}


def our_logits(prompt: Prompt, backbone: Any, text: str = "Nice one") -> Tensor:
    """Logits of the first token of the answer."""
    builder = RowBuilder(template_of(prompt), parse_task({"kind": "generate"}), backbone.tokenizer, max_tokens=200)
    row = builder.row(Example({"text": text}), target=False)
    last = backbone.forward(Batch((row,)), [prompt.tensors], want=Want(last=True)).last
    assert last is not None
    return last[0]


def peft_logits(adapted: Any, backbone: Any, family: str, *parts: str, text: str = "Nice one") -> Tensor:
    """The same inside PEFT, one unpadded row; ``parts`` are written already."""
    before, closing = AROUND[family]
    ids = torch.tensor([[*before, *backbone.tokenizer.encode(text), *closing]])
    begin = torch.tensor(
        [[*backbone.frame.opening, *(token for part in parts for token in backbone.tokenizer.encode(part))]]
    )
    with torch.no_grad(), quietly():
        found = adapted(input_ids=ids, attention_mask=torch.ones_like(ids), decoder_input_ids=begin)
    logits: Tensor = found.logits[0, -1].float()
    return logits


def of(family: str) -> str:
    """The template as this model's own tokenizer writes texts."""
    return SIDED.replace("{text}", '{special "<bos>"}{text}') if AROUND[family][0] else SIDED


@pytest.mark.parametrize("family", AROUND)
@pytest.mark.parametrize("kind", ["PROMPT_TUNING", "P_TUNING"])
def test_what_peft_wrote_has_its_logits_here(family: str, kind: str, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    backbone = tiny(family)
    more: dict[str, Any] = {"encoder_hidden_size": 16} if kind == "P_TUNING" else {}
    config = {"PROMPT_TUNING": peft.PromptTuningConfig, "P_TUNING": peft.PromptEncoderConfig}[kind]
    with torch.random.fork_rng(devices=[]), quietly():
        torch.manual_seed(3)
        adapted = peft.get_peft_model(
            hf_model(backbone), config(task_type="SEQ_2_SEQ_LM", num_virtual_tokens=4, **more)
        ).eval()
        adapted.save_pretrained(tmp_path / "adapter")
    prompt = import_prompt(tmp_path / "adapter", model=backbone, task=TASK, template=of(family))
    assert prompt.tensors.slots["soft"].length == 4, "the other four are the decoder's, which PEFT never reads"
    assert close(our_logits(prompt, backbone), peft_logits(adapted, backbone, family))
    assert prompt.manifest.placement == "before"
    assert prompt.manifest.origin is not None
    assert prompt.manifest.origin.facts["task_type"] == "SEQ_2_SEQ_LM"


@pytest.mark.parametrize("family", AROUND)
def test_logits_inside_peft_are_ours_and_back_is_the_identity(family: str, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    backbone = tiny(family)
    prompt = build(backbone, of(family).replace("<decoder>", "<decoder> It was"), kind="seq2seq")
    folder = exported(prompt, "peft", tmp_path / "out", backbone)
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    assert (config["task_type"], config["num_transformer_submodules"]) == ("SEQ_2_SEQ_LM", 1)
    with quietly():
        adapted = peft.PeftModel.from_pretrained(hf_model(backbone), str(folder)).eval()
    assert close(peft_logits(adapted, backbone, family, " It was"), our_logits(prompt, backbone))
    assert same(import_prompt(folder).tensors, prompt.tensors)
    page = (folder / "README.md").read_text("utf-8")
    assert "AutoModelForSeq2SeqLM" in page
    assert "' It was'" in page


def test_without_words_the_decoder_writes_the_answer(tmp_path: Path) -> None:
    backbone = tiny("t5")
    folder = exported(build(backbone, SIDED, kind="seq2seq"), "peft", tmp_path / "out", backbone)
    (folder / "softprompt.json").unlink()
    assert import_prompt(folder, model=backbone).manifest.template["text"] == SIDED
    with pytest.raises(PromptError, match=r"a prompt of a seq2seq model.*another kind \(causal\)") as caught:
        import_prompt(folder, model=tiny("llama"))
    assert caught.value.code == "prompt.other_model"


@pytest.mark.parametrize(
    ("template", "kind", "reason"),
    [
        ("{text}<decoder><soft 4>{answer}", None, "on the decoder's side, PEFT puts them in front of the encoder's"),
        ("Read<decoder><soft 4>{answer}", None, "on the decoder's side, PEFT puts them in front of the encoder's"),
        ("Read: <soft 4>{text}<decoder>{answer}", None, "words before its soft tokens"),
        (SIDED, "CARTRIDGE", "CARTRIDGE of an encoder-decoder stands in front of the decoder"),
    ],
)
def test_what_peft_cannot_put_in_front_of_an_encoder_is_refused(template: str, kind: str | None, reason: str) -> None:
    backbone = tiny("t5")
    with pytest.raises(PromptError, match=reason) as caught:
        export(build(backbone, template, kind="seq2seq"), "peft", backbone=lambda: backbone, kind=kind)
    assert caught.value.code == "prompt.unsupported_export"
    assert caught.value.cure


PREFIXED = "{text}<decoder><soft 4> It was {answer}"


def written(family: str) -> str:
    """The template with keys and values, as this model's own tokenizer writes texts."""
    return PREFIXED.replace("{text}", '{special "<bos>"}{text}') if AROUND[family][0] else PREFIXED


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft 0.21 asks for it
@pytest.mark.parametrize("kind", ["PREFIX_TUNING", "CARTRIDGE"])
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_keys_and_values_of_a_decoder_are_peft_s_prefix_and_come_back(family: str, kind: str, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    backbone = tiny(family)
    prompt = build(backbone, written(family), kv=True, kind="seq2seq")
    folder = exported(prompt, "peft", tmp_path / "out", backbone, kind=kind)
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    assert (config["num_layers"], config["num_transformer_submodules"]) == (4, 2), "every other layer is blank"
    with quietly():
        adapted = peft.PeftModel.from_pretrained(hf_model(backbone), str(folder)).eval()
    assert close(peft_logits(adapted, backbone, family, " It was"), our_logits(prompt, backbone))
    assert same(import_prompt(folder).tensors, prompt.tensors)
    assert "in front of what the decoder begins with" in (folder / "README.md").read_text("utf-8")


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_a_prefix_that_peft_wrote_has_its_logits_here(family: str, tmp_path: Path) -> None:
    """It trains one pair for two of its layers."""
    peft = pytest.importorskip("peft")
    backbone = tiny(family)
    with torch.random.fork_rng(devices=[]), quietly():
        torch.manual_seed(3)
        config = peft.PrefixTuningConfig(
            task_type="SEQ_2_SEQ_LM", num_virtual_tokens=4, num_layers=2, token_dim=32, num_attention_heads=4
        )
        adapted = peft.get_peft_model(hf_model(backbone), config).eval()
        adapted.save_pretrained(tmp_path / "adapter")
    prompt = import_prompt(
        tmp_path / "adapter", model=backbone, task=TASK, template=written(family).replace(" It was ", "")
    )
    slot = prompt.tensors.slots["soft"]
    assert torch.equal(slot.kv[0][0], slot.kv[1][0])
    assert close(our_logits(prompt, backbone), peft_logits(adapted, backbone, family))
    with pytest.raises(PromptError, match=r"in front of what the decoder reads.*right behind <decoder>"):
        import_prompt(tmp_path / "adapter", model=backbone, task=TASK, template="<soft 4>{text}<decoder>{answer}")


@pytest.mark.parametrize("template", ["<soft 4>{text}<decoder>{answer}", "{text}<decoder>So<soft 4> it was {answer}"])
def test_keys_and_values_elsewhere_are_refused(template: str) -> None:
    backbone = tiny("t5")
    prompt = build(backbone, template, kv=True, kind="seq2seq")
    with pytest.raises(PromptError, match="elsewhere than at the decoder's beginning") as caught:
        export(prompt, "peft", backbone=lambda: backbone)
    assert caught.value.code == "prompt.unsupported_export"
