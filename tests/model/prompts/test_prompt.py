"""Saving and loading: round trips, golden files, whole-or-nothing writing, and the model it belongs to."""

import json
import os
from pathlib import Path

import pytest
import torch

from softprompt.core.errors import PromptError
from softprompt.core.tensors import PromptTensors, SlotTensors
from softprompt.model.prompts import storage
from softprompt.model.prompts.manifest import Manifest, ModelIdentity
from softprompt.model.prompts.prompt import Prompt


def assert_same(left: Prompt, right: Prompt) -> None:
    one, two = dict(left.tensors.tensors()), dict(right.tensors.tensors())
    assert list(one) == list(two)
    for name in one:
        assert one[name].dtype == two[name].dtype
        assert torch.equal(one[name], two[name])
    assert left.manifest == right.manifest
    assert left.content_hash == right.content_hash


def refused(code: str, path: Path) -> PromptError:
    with pytest.raises(PromptError) as caught:
        Prompt.load(path)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    return caught.value


# ------------------------------------------------------------ round trips and golden files


@pytest.mark.parametrize("name", ["topics", "topics.zip", "new/folder/topics", "new/folder/topics.ZIP"])
def test_what_is_saved_is_loaded(prompt: Prompt, tmp_path: Path, name: str):
    assert prompt.save(tmp_path / name) == tmp_path / name
    assert_same(Prompt.load(str(tmp_path / name)), prompt)
    assert not list(tmp_path.rglob(".*")), "a temporary file was left"


def test_bytes_round_trip_and_depend_on_the_content_alone(prompt: Prompt):
    data = prompt.to_bytes()
    again = Prompt.from_bytes(data)
    assert_same(again, prompt)
    assert again.to_bytes() == data


@pytest.mark.parametrize("name", ["schema-1", "schema-1.zip"])
def test_golden_files_load_and_are_written_the_same(prompt: Prompt, repository: Path, tmp_path: Path, name: str):
    golden = repository / "tests/data/prompts" / name
    assert_same(Prompt.load(golden), prompt)
    written = prompt.save(tmp_path / name)
    for path in [golden] if golden.is_file() else sorted(golden.iterdir()):
        copy = written if golden.is_file() else written / path.name
        assert copy.read_bytes() == path.read_bytes()


def test_a_manifest_that_names_no_kind_of_model_is_of_a_causal_one(prompt: Prompt, tmp_path: Path):
    path = prompt.save(tmp_path / "topics") / "manifest.json"
    document = json.loads(path.read_text("utf-8"))
    del document["model"]["kind"]
    path.write_text(json.dumps(document), "utf-8")
    assert_same(Prompt.load(path.parent), prompt)


def test_a_prompt_without_tensors_is_a_text_prompt(prompt: Prompt, tmp_path: Path):
    text = Prompt(PromptTensors(), prompt.manifest.model_copy(update={"requires": ()}))
    assert text.manifest.requires == ()
    assert_same(Prompt.load(text.save(tmp_path / "text")), text)


def test_unknown_keys_are_kept_and_written_back(prompt: Prompt, tmp_path: Path):
    folder = prompt.save(tmp_path / "topics")
    document = json.loads((folder / "manifest.json").read_text("utf-8"))
    document["colour"] = {"of": ["the", "future"]}
    document["model"]["quantised"] = "int4"
    document["scores"][0]["by"] = "somebody"
    (folder / "manifest.json").write_text(json.dumps(document), "utf-8")
    again = Prompt.load(Prompt.load(folder).save(tmp_path / "again"))
    kept = again.manifest.to_dict()
    assert (kept["colour"], kept["model"]["quantised"], kept["scores"][0]["by"]) == (
        {"of": ["the", "future"]},
        "int4",
        "somebody",
    )


def test_requirements_name_the_tensors_and_others_stay(prompt: Prompt):
    assert prompt.manifest.requires == ("embed", "head", "hidden", "kv")
    plain = PromptTensors({"soft": SlotTensors(embed=torch.zeros(1, 2))})
    assert Prompt(plain, prompt.manifest.model_copy(update={"requires": ()})).manifest.requires == ("embed",)


def test_tensors_of_a_training_can_be_saved(prompt: Prompt, tmp_path: Path):
    """With a graph, as views of one storage, not contiguous."""
    base = torch.arange(24.0).reshape(4, 6).requires_grad_()
    tensors = PromptTensors({"a": SlotTensors(embed=base[:2].T), "b": SlotTensors(embed=base[:2].T)})
    loaded = Prompt.load(Prompt(tensors, prompt.manifest).save(tmp_path / "p"))
    assert torch.equal(loaded.tensors.slots["b"].embed, base.detach()[:2].T)


def test_size_and_description(prompt: Prompt):
    assert prompt.num_bytes == 4 * (12 + 8 + 6 + 8 + 2) + 2 * (8 + 6)
    assert repr(prompt) == (
        "<Prompt 'topics – Thémen': 3 soft tokens in 'soft', 2 soft tokens in 'deep_1', 2 label vectors, "
        "after the text, 172 bytes, for embedded>"
    )


# ------------------------------------------------------------ what cannot be loaded cannot be made


@pytest.mark.parametrize(
    ("tensors", "code"),
    [
        (PromptTensors({"soft": SlotTensors(embed=torch.tensor([[float("nan")]]))}), "prompt.not_finite"),
        (PromptTensors({"soft": SlotTensors(embed=torch.zeros(1, 1, dtype=torch.float64))}), "prompt.bad_dtype"),
        (PromptTensors({"so ft": SlotTensors(embed=torch.zeros(1, 1))}), "prompt.bad_tensors"),
        (PromptTensors({"soft": SlotTensors(embed=torch.zeros(0, 1))}), "prompt.bad_tensors"),
    ],
)
def test_tensors_that_could_not_be_loaded_are_refused(prompt: Prompt, tensors: PromptTensors, code: str):
    with pytest.raises(PromptError) as caught:
        Prompt(tensors, prompt.manifest)
    assert caught.value.code == code


def test_a_manifest_that_could_not_be_loaded_is_refused(prompt: Prompt):
    with pytest.raises(PromptError, match=r"requires 'telepathy'; known: embed.*prompt.unknown_requirement"):
        Prompt(prompt.tensors, prompt.manifest.model_copy(update={"requires": ("telepathy",)}))
    with pytest.raises(PromptError, match=r"prompt.bad_manifest"):
        Prompt(prompt.tensors, prompt.manifest.model_copy(update={"config": {"x": float("inf")}})).to_bytes()
    with pytest.raises(PromptError, match=r"prompt.bad_manifest"):
        Prompt(prompt.tensors, prompt.manifest.model_copy(update={"notes": "\ud800"})).to_bytes()


# ------------------------------------------------------------ writing is whole or not at all


@pytest.mark.parametrize("name", ["topics", "topics.zip"])
def test_nothing_is_replaced_unless_asked(prompt: Prompt, tmp_path: Path, name: str):
    path = prompt.save(tmp_path / name)
    other = Prompt(prompt.tensors, prompt.manifest.model_copy(update={"notes": "second"}))
    with pytest.raises(PromptError, match=r"exists \[prompt.exists\]; .*overwrite=True"):
        other.save(path)
    assert_same(Prompt.load(path), prompt)
    other.save(path, overwrite=True)
    assert_same(Prompt.load(path), other)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_folder_with_something_else_in_it_is_never_replaced(prompt: Prompt, tmp_path: Path):
    folder = prompt.save(tmp_path / "topics")
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(PromptError, match=r"holds 'thesis.tex'.*prompt.exists"):
        prompt.save(folder, overwrite=True)
    assert (folder / "thesis.tex").read_text() == "years of work"
    assert_same(Prompt.load(folder), prompt)


def test_an_empty_folder_is_filled(prompt: Prompt, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert_same(Prompt.load(prompt.save(tmp_path / "empty")), prompt)


def test_a_folder_is_no_place_for_a_file_nor_the_other_way_round(prompt: Prompt, tmp_path: Path):
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "file").write_text("x")
    for name in ("folder.zip", "file"):
        with pytest.raises(PromptError, match=r"prompt.exists"):
            prompt.save(tmp_path / name, overwrite=True)
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("name", ["topics", "topics.zip"])
@pytest.mark.parametrize("fails_at", range(1, 6))
def test_a_full_disk_loses_nothing(
    prompt: Prompt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, fails_at: int
):
    """Every system call that writes may fail: the old prompt stays, or the new one is there; never neither."""
    path = prompt.save(tmp_path / name)
    other = Prompt(prompt.tensors, prompt.manifest.model_copy(update={"notes": "second"}))
    count = 0

    def failing(call):
        def wrapped(*args, **kwargs):
            nonlocal count
            count += 1
            if count == fails_at:
                raise OSError(28, "No space left on device")
            return call(*args, **kwargs)

        return wrapped

    monkeypatch.setattr(storage, "write_new", failing(storage.write_new))
    monkeypatch.setattr(Path, "rename", failing(Path.rename))
    monkeypatch.setattr(Path, "replace", failing(Path.replace))
    steps = 2 if name.endswith(".zip") else 4
    if fails_at > steps:
        other.save(path, overwrite=True)
        assert_same(Prompt.load(path), other)
        return
    with pytest.raises(PromptError, match=r"cannot write .*No space left on device \[prompt.unwritable\]"):
        other.save(path, overwrite=True)
    assert_same(Prompt.load(path), prompt)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


# ------------------------------------------------------------ faults on disk


def test_a_missing_path_or_file_is_named(prompt: Prompt, tmp_path: Path):
    assert "nowhere: there is no such file or folder" in str(refused("prompt.not_found", tmp_path / "nowhere"))
    folder = prompt.save(tmp_path / "topics")
    (folder / "prompt.safetensors").unlink()
    assert "no prompt.safetensors" in str(refused("prompt.not_found", folder))


def test_a_folder_of_prompts_names_them(prompt: Prompt, tmp_path: Path):
    places = [prompt.save(tmp_path / "result" / "prompts" / f"seed{n}") for n in range(6)]
    message = str(refused("prompt.not_found", tmp_path / "result"))
    assert "result is no saved prompt but holds some" in message
    assert f"name one of the 6 in it: {places[0]}, " in message
    assert message.endswith("seed3, ...")
    assert f"{places[5]}" not in message
    assert "no manifest.json" in str(refused("prompt.not_found", tmp_path))  # too far below to be looked for


def test_files_of_two_prompts_do_not_mix(prompt: Prompt, tmp_path: Path):
    one = prompt.save(tmp_path / "one")
    slots = {"soft": SlotTensors(embed=torch.ones(3, 4))}
    two = Prompt(PromptTensors(slots), prompt.manifest).save(tmp_path / "two")
    (two / "prompt.safetensors").replace(one / "prompt.safetensors")
    refused("prompt.corrupted", one)


@pytest.mark.posix
def test_links_pipes_and_devices_are_not_opened(prompt: Prompt, tmp_path: Path):
    folder = prompt.save(tmp_path / "topics")
    (folder / "manifest.json").rename(tmp_path / "elsewhere.json")
    (folder / "manifest.json").symlink_to(tmp_path / "elsewhere.json")
    refused("prompt.bad_entry", folder)
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")  # opening it to read would wait for ever
    refused("prompt.bad_entry", folder)
    refused("prompt.bad_entry", Path("/dev/zero"))


def test_size_is_bounded(prompt: Prompt, tmp_path: Path):
    for name in ("topics", "topics.zip"):
        path = prompt.save(tmp_path / name)
        needed = sum(file.stat().st_size for file in (path.iterdir() if path.is_dir() else [path]))
        for limit in (100, needed - 1):
            with pytest.raises(PromptError, match=r"prompt.too_large"):
                Prompt.load(path, max_bytes=limit)
        assert_same(Prompt.load(path, max_bytes=needed), prompt)


# ------------------------------------------------------------ the model it belongs to


def identity(**changes: str | None) -> ModelIdentity:
    known = {"id": "embedded", "architecture": "LlamaForCausalLM", "dtype": "bfloat16"}
    return ModelIdentity.model_validate({**known, "fingerprint": "f" * 64, "tokenizer": "a" * 64, **changes})


def test_its_own_model_is_accepted_wherever_it_lies(prompt: Prompt):
    assert prompt.check(identity()) == ()
    assert prompt.check(identity(id="/models/copy", revision="main")) == ()


def test_another_precision_is_a_note(prompt: Prompt):
    (note,) = prompt.check(identity(dtype="float32"))
    assert note.startswith("trained in bfloat16, used in float32")


def test_a_prompt_for_another_kind_of_model_is_refused_by_that_name(prompt: Prompt):
    with pytest.raises(PromptError, match="another kind of model: kind causal -> seq2seq, ") as caught:
        prompt.check(identity(kind="seq2seq", fingerprint="0" * 64))
    assert caught.value.code == "prompt.other_model"


def test_another_model_is_refused_with_every_difference(prompt: Prompt):
    with pytest.raises(PromptError) as caught:
        prompt.check(identity(id="Qwen/Qwen2.5-0.5B", revision="abc", fingerprint="0" * 64, dtype="float32"))
    assert str(caught.value) == (
        "the prompt was trained with another model: id embedded -> Qwen/Qwen2.5-0.5B, revision none -> abc, "
        "fingerprint ffffffffffff… -> 000000000000…, dtype bfloat16 -> float32 [prompt.other_model]; "
        "load 'embedded', or train the prompt again for this model"
    )


def test_another_tokenizer_is_refused(prompt: Prompt):
    with pytest.raises(PromptError, match=r"tokenizer aaaaaaaaaaaa… -> bbbbbbbbbbbb….*prompt.other_tokenizer"):
        prompt.check(identity(tokenizer="b" * 64))


def test_a_manifest_needs_a_fingerprint():
    model = {"id": "a", "fingerprint": "", "tokenizer": "t"}
    with pytest.raises(PromptError, match=r"model.fingerprint.*prompt.bad_manifest"):
        Manifest.from_dict({"schema": 1, "task": {}, "template": {}, "method": {"name": "plain"}, "model": model})


@pytest.mark.parametrize("name", ["tone", "tone.zip"])
def test_a_place_that_is_taken_is_refused_before_the_work(prompt: Prompt, tmp_path: Path, name: str):
    Prompt.require_room(tmp_path / name)
    prompt.save(tmp_path / name)
    with pytest.raises(PromptError, match=r"exists \[prompt.exists\]; .*--overwrite"):
        Prompt.require_room(tmp_path / name)
    Prompt.require_room(tmp_path / name, overwrite=True)
