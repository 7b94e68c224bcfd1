"""What stands at a path is found out, or said in one line; names of formats are those of the table."""

from pathlib import Path

import pytest

from softprompt.core.errors import ConfigError, PromptError
from softprompt.core.tensors import PromptTensors
from softprompt.model.prompts.manifest import EnsembleRecord, MemberRecord
from softprompt.model.prompts.prompt import Prompt
from softprompt.ops.formats.table import FORMATS, export, read
from softprompt.testing import tiny
from tests.ops.formats.samples import BARE, build, exported


@pytest.mark.parametrize("name", ["peft", "npy", "raw"])
def test_an_export_is_recognised(name: str, tmp_path: Path) -> None:
    backbone = tiny()
    assert read(exported(build(backbone, BARE), name, tmp_path / "out", backbone)).format == name


@pytest.mark.parametrize(
    ("files", "code", "says"),
    [
        ({}, "prompt.unknown_format", "holds nothing"),
        ({"notes.txt": b""}, "prompt.unknown_format", "holds notes.txt"),
        ({"config.json": b"{}", "model.safetensors": b""}, "prompt.unknown_format", "a model, not a prompt"),
        ({"manifest.json": b"{}"}, "prompt.unknown_format", "a saved prompt already"),
        ({"a.npy": b"", "b.npy": b""}, "prompt.unknown_format", "a.npy, b.npy"),
        ({"softprompt.json": b"{"}, "prompt.bad_manifest", "not valid JSON"),
    ],
)
def test_other_folders_are_one_line(files, code: str, says: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    with pytest.raises(PromptError, match=says) as caught:
        read(folder)
    assert (caught.value.code, caught.value.context[0]) == (code, str(folder))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("adapter_model.bin", "prompt.pickled"),
        ("soft.pt", "prompt.pickled"),
        ("soft.zip", "prompt.unknown_format"),
        ("soft.gguf", "prompt.unknown_format"),
        ("nowhere", "prompt.not_found"),
    ],
)
def test_other_files_are_one_line(name: str, code: str, tmp_path: Path) -> None:
    if name != "nowhere":
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(PromptError) as caught:
        read(tmp_path / name)
    assert caught.value.code == code


def test_files_are_read_within_bounds(tmp_path: Path) -> None:
    backbone = tiny()
    folder = exported(build(backbone, BARE), "raw", tmp_path / "out", backbone)
    with pytest.raises(PromptError) as caught:
        read(folder, max_bytes=4 * 32 * 4 - 1)
    assert caught.value.code == "prompt.too_large"
    assert read(folder, max_bytes=4 * 32 * 4).lengths == {"soft": 4}


def test_unknown_names_list_what_is_known() -> None:
    backbone = tiny()
    prompt = build(backbone, BARE)
    with pytest.raises(ConfigError, match=r"unknown format 'pfet'; did you mean 'peft'\?"):
        export(prompt, "pfet", backbone=lambda: backbone)
    with pytest.raises(ConfigError, match=r"unknown kind 'LORA' of peft; .*known: CARTRIDGE"):
        export(prompt, "peft", backbone=lambda: backbone, kind="LORA")
    with pytest.raises(ConfigError, match="it has none"):
        export(prompt, "npy", backbone=lambda: backbone, kind="float")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_refuses_an_ensemble(name: str) -> None:
    backbone = tiny()
    single = build(backbone, BARE)

    of = single.manifest
    told = MemberRecord(name="one", task=of.task, template=of.template, answers=of.answers, method=of.method)
    record = EnsembleRecord(by="mean", weights=(1.0, 1.0), members=(told, told))
    both = Prompt(PromptTensors(), single.manifest.model_copy(update={"ensemble": record}), (single.tensors,) * 2)
    with pytest.raises(
        PromptError, match=r"ensemble of 2 prompts.*export one of the prompts that it was made of"
    ) as caught:
        export(both, name, backbone=lambda: backbone)
    assert caught.value.code == "prompt.unsupported_export"
