"""From a saved prompt to another format or model and back: what is marked as not judged, and what judging keeps."""

from pathlib import Path

import pytest

import softprompt as sp
from softprompt.core.errors import ModelError, PromptError
from softprompt.testing import tiny
from tests.ops.formats.samples import BARE, build

ROWS = [{"text": f"{word} {n}", "label": word} for n in range(10) for word in ("good", "bad")]


@pytest.fixture(scope="module")
def other() -> sp.Backbone:
    return tiny("gpt2")


def test_a_converted_prompt_is_a_start_that_nobody_has_judged(model: sp.Backbone, other: sp.Backbone) -> None:
    old = build(model, BARE, head=True)
    new = sp.convert_prompt(old, other, model=model)
    assert (new.manifest.unevaluated, new.manifest.scores) == (True, ())
    assert new.manifest.parents == (old.content_hash,)
    assert new.manifest.model.fingerprint == other.spec.fingerprint
    assert new.manifest.origin is not None
    facts = new.manifest.origin.facts
    assert (new.manifest.origin.kind, facts["num_shared"], facts["label_vectors"]) == ("converted", 256, "mapped")
    assert new.manifest.template == old.manifest.template
    assert len(list(sp.predict(new, ["Nice"], model=other))) == 1


@pytest.mark.usefixtures("few_resamples")
def test_the_first_evaluation_is_kept_and_clears_the_mark(
    model: sp.Backbone, other: sp.Backbone, tmp_path: Path
) -> None:
    notes: list[str] = []

    class Heard(sp.Watcher):
        def note(self, text: str) -> None:
            notes.append(text)

    path = sp.convert_prompt(build(model, BARE), other, model=model).save(tmp_path / "new")
    list(sp.predict(path, ["Nice"], model=other, watcher=Heard()))
    assert any("converted from tone for tiny-llama; nobody has judged it so far" in note for note in notes)
    sp.evaluate(path, ROWS, model=other, min_confidence=0.1)
    assert sp.load(path).manifest.unevaluated, "withheld answers are no judgement"
    (found,) = sp.evaluate(path, ROWS, model=other, watcher=Heard())
    kept = sp.load(path).manifest
    assert not kept.unevaluated
    assert kept.scores[0].value == pytest.approx(found.metrics[kept.scores[0].metric].estimate)
    assert kept.origin is not None
    assert any("first scores" in note for note in notes)
    notes.clear()
    sp.evaluate(path, ROWS[:4], model=other, watcher=Heard())
    assert sp.load(path).manifest == kept
    assert not notes


def test_origin_survives_saving(model: sp.Backbone, tmp_path: Path) -> None:
    done = sp.export_prompt(build(model, BARE), "peft", tmp_path / "adapter", model=model)
    assert set(done.files) == {"README.md", "adapter_config.json", "adapter_model.safetensors", "softprompt.json"}
    prompt = sp.import_prompt(done.folder, name="mine")
    again = sp.Prompt.from_bytes(prompt.to_bytes())
    assert again.manifest == prompt.manifest
    assert again.manifest.origin is not None
    assert (again.name, again.manifest.origin.format, again.manifest.origin.source) == ("mine", "peft", "adapter")
    assert "origin" not in build(model, BARE).manifest.to_dict()


@pytest.mark.parametrize(
    ("template", "options", "code", "says"),
    [
        (BARE, {}, "prompt.unsupported_conversion", "is for tiny-llama already"),
        ('{special "<bos>"}<soft 4>{text}{answer}', {}, "prompt.unsupported_conversion", "chat format of tiny-llama"),
        (BARE, {"template": "<soft 5>{text}{answer}"}, "prompt.other_slots", "the prompt {'soft': 4}"),
    ],
)
def test_what_cannot_be_converted_is_one_line(
    template: str, options: dict[str, str], code: str, says: str, model: sp.Backbone
) -> None:
    with pytest.raises(PromptError, match=says) as caught:
        sp.convert_prompt(build(model, template), model, model=model, **options)
    assert caught.value.code == code


def test_a_model_that_is_named_by_its_own_name_is_not_loaded_again(model: sp.Backbone) -> None:
    with pytest.raises(PromptError, match="is for tiny-llama already"):
        sp.convert_prompt(build(model, BARE), "tiny-llama", model=model)


def test_an_ensemble_is_neither_exported_nor_converted(model: sp.Backbone, other: sp.Backbone, tmp_path: Path) -> None:
    one, two = (build(model, BARE, head=head) for head in (False, True))
    path = tmp_path / "both"
    sp.ensemble([one, two], ROWS, model=model, out=path, calibrate=False)
    with pytest.raises(PromptError, match="ensemble of 2 prompts, PEFT holds one") as caught:
        sp.export_prompt(path, "peft", tmp_path / "adapter", model=model)
    assert caught.value.code == "prompt.unsupported_export"
    assert not (tmp_path / "adapter").exists()
    with pytest.raises(PromptError, match=r"is an ensemble.*convert the prompts that it was made of") as caught:
        sp.convert_prompt(path, other, model=model)
    assert caught.value.code == "prompt.unsupported_conversion"


def test_a_chat_prompt_is_converted_into_other_words(model: sp.Backbone, other: sp.Backbone) -> None:
    old = build(model, '{special "<bos>"}<soft 4>{text}{answer}')
    new = sp.convert_prompt(old, other, model=model, template="Read: <soft 4>{text}, {answer}", name="new")
    assert (new.name, new.manifest.template["text"]) == ("new", "Read: <soft 4>{text}, {answer}")


def test_nothing_is_replaced_and_nothing_half_written(model: sp.Backbone, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(PromptError) as caught:
        sp.export_prompt(build(model, BARE), "npy", tmp_path / "out")
    assert caught.value.code == "prompt.exists"
    with pytest.raises(PromptError):
        sp.export_prompt(build(model, "{text}<soft 4>{answer}"), "peft", tmp_path / "peft")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_model_that_is_not_there_is_said(model: sp.Backbone, tmp_path: Path) -> None:
    sp.export_prompt(build(model, BARE), "peft", tmp_path / "adapter")
    (tmp_path / "adapter" / "softprompt.json").unlink()
    with pytest.raises(ModelError) as caught:
        sp.import_prompt(tmp_path / "adapter", task={"kind": "generate"})
    assert caught.value.code == "model.not_found"
