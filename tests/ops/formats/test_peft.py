"""PEFT: logits inside it equal ours both ways (law 7), and what it cannot express is refused with the reason."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from softprompt.app.recipes.formats import import_prompt
from softprompt.core.errors import PromptError
from softprompt.core.tensors import PromptTensors, SlotTensors
from softprompt.model.prompts.prompt import Prompt
from softprompt.model.templates.windows import WindowSettings
from softprompt.ops.formats.table import export, read
from softprompt.testing import FAMILIES, tiny
from tests.ops.formats.samples import (
    BARE,
    BEFORE,
    FIELDS,
    TASK,
    build,
    close,
    exported,
    hf_model,
    logits_of,
    our_logits,
    peft_logits,
    quietly,
    same,
)

# all families as vectors and as keys and values; the other two names are the same numbers in other words
PAIRS = [(family, kind) for family in FAMILIES for kind in ("PROMPT_TUNING", "CARTRIDGE")]
PAIRS += [("qwen2", "P_TUNING"), ("qwen2", "PREFIX_TUNING")]


@pytest.mark.parametrize(("family", "kind"), PAIRS)
def test_logits_inside_peft_are_ours(family: str, kind: str, tmp_path: Path) -> None:
    backbone = tiny(family)
    prompt = build(backbone, "{bos}Read: <soft 4> and <soft 3 more>{text} It was {answer}")
    folder = exported(prompt, "peft", tmp_path / "out", backbone, kind=kind)
    assert close(peft_logits(folder, backbone, " Nice one", " It was"), our_logits(prompt, backbone))


@pytest.mark.parametrize("family", FAMILIES)
def test_keys_and_values_there_and_back_are_the_same(family: str, tmp_path: Path) -> None:
    backbone = tiny(family)
    prompt = build(backbone, BARE, kv=True)
    folder = exported(prompt, "peft", tmp_path / "out", backbone)
    assert json.loads((folder / "adapter_config.json").read_text("utf-8"))["peft_type"] == "CARTRIDGE"
    assert close(peft_logits(folder, backbone, "Nice one", " It was"), our_logits(prompt, backbone))
    assert same(import_prompt(folder).tensors, prompt.tensors)


@pytest.mark.parametrize("template", [BARE, BEFORE, "{bos}A <soft 2 one> b<soft 3>: {text} was {answer}"])
def test_there_and_back_is_the_identity(template: str, tmp_path: Path) -> None:
    backbone = tiny()
    prompt = build(backbone, template)
    back = import_prompt(exported(prompt, "peft", tmp_path / "out", backbone))
    assert same(back.tensors, prompt.tensors)
    assert back.manifest.origin is not None
    assert back.manifest.model_copy(update={"origin": None}) == prompt.manifest


def test_vectors_compiled_to_keys_and_values_come_back_as_one_slot(tmp_path: Path) -> None:
    backbone = tiny()
    prompt = build(backbone)
    back = import_prompt(exported(prompt, "peft", tmp_path / "out", backbone, kind="CARTRIDGE"))
    assert back.manifest.template["text"] == "<soft 5>{text} It was {answer}"
    assert back.manifest.parents == (prompt.content_hash,)
    assert back.manifest.requires == ("kv",)
    assert close(our_logits(back, backbone), our_logits(prompt, backbone))


def made_by_peft(folder: Path, backbone, kind: str, **settings) -> object:
    """An adapter with random numbers as PEFT itself writes it, and the model that holds it."""
    with quietly():
        return written_by_peft(folder, backbone, kind, **settings)


def written_by_peft(folder: Path, backbone, kind: str, **settings) -> object:
    import peft

    configs = {
        "PROMPT_TUNING": peft.PromptTuningConfig,
        "P_TUNING": peft.PromptEncoderConfig,
        "PREFIX_TUNING": peft.PrefixTuningConfig,
        "CARTRIDGE": peft.CartridgeConfig,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        config = configs[kind](task_type="CAUSAL_LM", num_virtual_tokens=4, **settings)
        adapted = peft.get_peft_model(hf_model(backbone), config).eval()
    adapted.save_pretrained(folder)
    return adapted


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2"])
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("PROMPT_TUNING", {}),
        ("P_TUNING", {"encoder_hidden_size": 16}),
        ("P_TUNING", {"encoder_hidden_size": 16, "encoder_reparameterization_type": "LSTM"}),
        ("PREFIX_TUNING", {}),
        ("PREFIX_TUNING", {"prefix_projection": True, "encoder_hidden_size": 16}),
        ("CARTRIDGE", {}),
    ],
    ids=["prompt", "mlp", "lstm", "prefix", "projected", "cartridge"],
)
def test_what_peft_wrote_has_its_logits_here(family: str, kind: str, settings, tmp_path: Path) -> None:
    backbone = tiny(family)
    adapted = made_by_peft(tmp_path / "adapter", backbone, kind, **settings)
    prompt = import_prompt(tmp_path / "adapter", model=backbone, task=TASK, template=BARE)
    assert close(our_logits(prompt, backbone), logits_of(adapted, backbone, "Nice one", " It was"))
    assert prompt.manifest.unevaluated
    assert prompt.manifest.origin is not None
    assert prompt.manifest.origin.facts["peft_type"] == kind


def test_without_words_text_is_written_behind_the_soft_tokens(tmp_path: Path) -> None:
    backbone = tiny()
    made_by_peft(tmp_path / "adapter", backbone, "PROMPT_TUNING")
    prompt = import_prompt(tmp_path / "adapter", model=backbone, name="mine")
    assert prompt.manifest.template["text"] == "<soft 4>{text} {answer}"
    assert (prompt.manifest.task["kind"], prompt.name) == ("generate", "mine")


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("template", "changes", "reason"),
    [
        ("{text}<soft 4> It was {answer}", {}, "after the text, PEFT puts them in front"),
        ("{a}<soft 4>{b} It was {answer}", {}, "between the text"),
        ("<soft 4>{a}<soft 2>{b} It was {answer}", {}, "between two texts"),
        ("{text} It was {answer}", {}, "no soft tokens"),
        (BARE, {"kind": "masked"}, "is for a masked model"),
        (BARE, {"head": True}, r"label vectors.*answers\.form: words"),
    ],
)
def test_what_peft_cannot_express_is_refused(template: str, changes, reason: str) -> None:
    backbone = tiny()
    with pytest.raises(PromptError, match=reason) as caught:
        export(build(backbone, template, **changes), "peft", backbone=lambda: backbone)
    assert caught.value.code == "prompt.unsupported_export"
    assert caught.value.cure


def test_vectors_inside_the_model_and_mixed_kinds_are_refused() -> None:
    backbone = tiny()
    whole = build(backbone, BARE)
    hidden = Prompt(PromptTensors({"soft": SlotTensors(hidden={1: torch.zeros(4, 32)})}), whole.manifest)
    with pytest.raises(PromptError, match="inside the model"):
        export(hidden, "peft", backbone=lambda: backbone)
    with pytest.raises(PromptError, match=r"keys and values, PROMPT_TUNING holds vectors.*CARTRIDGE or PREFIX_TUNING"):
        export(build(backbone, BARE, kv=True), "peft", backbone=lambda: backbone, kind="PROMPT_TUNING")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    backbone = tiny()
    folder = exported(build(backbone, BARE), "peft", tmp_path / "adapter", backbone)
    (folder / "softprompt.json").unlink()
    return folder


def change(folder: Path, **values: object) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), encoding="utf-8")


@pytest.mark.parametrize(
    ("values", "code", "says"),
    [
        ({"peft_type": "LORA"}, "prompt.unsupported_import", "is LORA, which changes the model"),
        ({"peft_type": "CPT"}, "prompt.unsupported_import", "PEFT's own code"),
        ({"task_type": "SEQ_CLS"}, "prompt.unsupported_import", "SEQ_CLS"),
        ({"task_type": "SEQ_2_SEQ_LM", "num_transformer_submodules": 2}, "prompt.shape_mismatch", "promises 8 x 32"),
        ({"task_type": "TOKEN_CLS"}, "prompt.unsupported_import", "imported: CAUSAL_LM, SEQ_2_SEQ_LM"),
        (
            {"task_type": "SEQ_2_SEQ_LM", "peft_type": "PREFIX_TUNING", "num_transformer_submodules": 1},
            "prompt.unsupported_import",
            "num_transformer_submodules = 1: PEFT then mixes",
        ),
        ({"num_virtual_tokens": None}, "prompt.bad_manifest", "num_virtual_tokens = null"),
        ({"num_virtual_tokens": 5}, "prompt.shape_mismatch", "promises 5 x 32 numbers.* holds 4 x 32"),
        ({"peft_type": "CARTRIDGE"}, "prompt.bad_manifest", "num_layers"),
    ],
)
def test_other_adapters_are_one_line(adapter: Path, values, code: str, says: str) -> None:
    change(adapter, **values)
    with pytest.raises(PromptError, match=says) as caught:
        read(adapter)
    assert (caught.value.code, caught.value.context) == (code, (str(adapter),))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("missing", "there", "code"),
    [
        ("adapter_config.json", None, "prompt.incomplete"),
        ("adapter_model.safetensors", None, "prompt.incomplete"),
        ("adapter_model.safetensors", "adapter_model.bin", "prompt.pickled"),
    ],
)
def test_half_a_folder_and_pickled_weights_are_one_line(adapter: Path, missing: str, there, code: str) -> None:
    (adapter / missing).unlink()
    if there:
        (adapter / there).write_bytes(b"\x80\x04.")
    with pytest.raises(PromptError) as caught:
        read(adapter)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("tensors", "code"),
    [
        ({"prompt_embeddings": torch.zeros(4, 32), "base_model.score.weight": torch.zeros(2)}, "unsupported_import"),
        ({"other": torch.zeros(1)}, "unsupported_import"),
        ({}, "incomplete"),
        ({"prompt_embeddings": torch.full((4, 32), torch.nan)}, "not_finite"),
        ({"prompt_embeddings": torch.zeros(4, 32, dtype=torch.int64)}, "bad_dtype"),
    ],
)
def test_other_tensors_are_refused(adapter: Path, tensors, code: str) -> None:
    (adapter / "adapter_model.safetensors").write_bytes(safetensors.torch.save(tensors))
    with pytest.raises(PromptError) as caught:
        import_prompt(adapter, model=tiny())
    assert caught.value.code == f"prompt.{code}"


def test_damaged_weights_are_refused(adapter: Path) -> None:
    path = adapter / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(PromptError) as caught:
        read(adapter)
    assert caught.value.code == "prompt.bad_tensors"


@pytest.mark.parametrize("lengths", [{"a": 3}, {"a": 2, "b": 2}])
def test_a_page_that_describes_other_vectors_is_refused(lengths: dict[str, int], tmp_path: Path) -> None:
    backbone = tiny()
    folder = exported(build(backbone, BARE, kv=True), "peft", tmp_path / "kv", backbone)
    page = json.loads((folder / "softprompt.json").read_text("utf-8"))
    opening = [{"slot": slot, "length": length} for slot, length in lengths.items()]
    (folder / "softprompt.json").write_text(json.dumps({**page, "opening": opening}), encoding="utf-8")
    with pytest.raises(PromptError, match="describes other vectors") as caught:
        read(folder)
    assert caught.value.code == "prompt.shape_mismatch"


def test_a_template_with_the_soft_tokens_elsewhere_is_refused(adapter: Path) -> None:
    with pytest.raises(PromptError, match="in front of everything") as caught:
        import_prompt(adapter, model=tiny(), template="{text}<soft 4> It was {answer}")
    assert caught.value.code == "prompt.unsupported_import"
    with pytest.raises(PromptError, match=r"write <soft 4> in the template") as caught:
        import_prompt(adapter, model=tiny(), template="<soft 5>{text} It was {answer}")
    assert caught.value.code == "prompt.other_slots"


def test_the_page_says_which_text_to_give(tmp_path: Path) -> None:
    backbone = tiny()
    folder = exported(build(backbone), "peft", tmp_path / "out", backbone)
    page = (folder / "README.md").read_text("utf-8")
    assert "{text} It was" in page
    assert "the beginning of sequence, 4 trained vectors (`soft`)" in page
    assert "`' good'`, `' bad'`" in page
    assert FIELDS["text"] not in page


def test_a_damaged_file_is_named_with_a_cure_of_its_own(adapter: Path) -> None:
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(PromptError, match=r"adapter_model.safetensors cannot be read") as caught:
        import_prompt(adapter)
    assert (caught.value.code, "let PEFT write it again" in caught.value.cure) == ("prompt.bad_tensors", True)
    (adapter / "adapter_config.json").write_text('{"peft_type": "PROM')
    with pytest.raises(PromptError, match=r"adapter_config.json is not valid JSON"):
        import_prompt(adapter)


def test_a_prefix_of_words_keeps_how_texts_are_read(tmp_path: Path) -> None:
    backbone = tiny()
    prompt = build(backbone, "It says<soft 4>{text} It was {answer}")
    read_as = {"keep": {"text": "windows"}, "windows": WindowSettings(most=3).model_dump()}
    read_as |= {"strip_html": True, "max_tokens": 50}
    described = {**prompt.manifest.template, **read_as}
    whole = Prompt(prompt.tensors, prompt.manifest.model_copy(update={"template": described}))
    back = import_prompt(exported(whole, "peft", tmp_path / "prefix", backbone, kind="CARTRIDGE"))
    assert str(back.manifest.template["text"]).startswith("<soft ")
    assert {name: back.manifest.template[name] for name in read_as} == read_as
