"""``softprompt export``, ``import`` and ``convert`` as people call them."""

import json
import shutil
from pathlib import Path

import pytest

EXCHANGES = [["--to", "npy"], ["--to", "raw"], ["--to", "vllm"]]


@pytest.mark.parametrize("words", EXCHANGES, ids=lambda words: words[-1])
def test_export_lists_what_it_wrote(cli, prompts, words: list[str]) -> None:
    done = cli("export", prompts["good"], *words, "--out", "out", "--json")
    assert done.status == 0, done.err
    assert done.json["format"] == words[-1]
    assert {path.name: path.stat().st_size for path in Path("out").iterdir()} == done.json["files"]
    told = cli("export", prompts["tone"], *words, "--out", "again")
    assert "softprompt.json" in told.out


def test_there_and_back_is_the_same_prompt(cli, prompts) -> None:
    assert cli("export", prompts["good"], "--to", "npy", "--out", "out").status == 0
    done = cli("import", "out", "--out", "back", "--json")
    assert done.status == 0, done.err
    assert done.json["manifest"]["origin"]["format"] == "npy"
    before = (prompts["good"] / "prompt.safetensors").read_bytes()
    assert Path("back", "prompt.safetensors").read_bytes() == before
    shown = cli("show", "back")
    assert "imported from npy out" in shown.out
    assert cli("import", "out", "--out", "back").status == 6
    assert cli("import", "out", "--out", "back", "--overwrite").status == 0


def test_a_place_that_is_taken_is_refused_before_a_model_is_loaded(cli, prompts) -> None:
    Path("taken").mkdir()
    Path("taken", "thesis.tex").write_text("years")
    words = [["export", prompts["good"], "--to", "vllm"], ["convert", prompts["good"], "--to-model", "nowhere"]]
    for one in [*words, ["import", "nowhere"]]:
        done = cli(*one, "--out", "taken")
        assert (done.status, "[prompt.exists]" in done.err, "model" in done.err) == (6, True, False)


def test_import_with_words_of_ones_own_is_marked(cli, prompts) -> None:
    cli("export", prompts["good"], "--to", "npy", "--out", "out")
    text = "{text}<soft 4> Tone: {answer}"
    words = ["--labels", "good,bad", "--target", "tone", "--template", text, "--name", "mine"]
    done = cli("import", "out", *words, "--out", "mine.zip")
    assert done.status == 0, done.err
    assert "not yet with this model" in done.out
    assert "nobody has judged it yet" in done.err
    manifest = cli("show", "mine.zip", "--json").json["manifest"]
    assert (manifest["task"]["target"], manifest["template"]["text"]) == ("tone", text)


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["export", "good", "--to", "peft", "--out", "x"], 6, "prompt.unsupported_export"),
        (["export", "good", "--to", "gguf", "--out", "x"], 2, "config.unknown_name"),
        (["export", "good", "--to", "npy", "--kind", "LORA", "--out", "x"], 2, "config.unknown_name"),
        (["export", "nowhere", "--to", "npy", "--out", "x"], 6, "prompt.not_found"),
        (["export", "good", "--out", "x"], 2, "config.usage"),
        (["import", "nowhere", "--out", "x"], 6, "prompt.not_found"),
        (["import", "lora", "--out", "x"], 6, "prompt.unsupported_import"),
        (["import", "half", "--out", "x"], 6, "prompt.incomplete"),
        (["import", "old", "--out", "x"], 6, "prompt.pickled"),
        (["import", "good", "--out", "x"], 6, "prompt.unknown_format"),
        (["import", "good", "--target", "tone", "--out", "x"], 2, "config.usage"),
        (["convert", "good", "--to-model", "embedded", "--out", "x"], 6, "prompt.unsupported_conversion"),
        (["convert", "good", "--to-model", "./nowhere", "--out", "x"], 5, "model.not_found"),
    ],
)
def test_bad_input_is_one_line(cli, prompts, tmp_path: Path, words: list[str], status: int, code: str) -> None:
    shutil.copytree(prompts["good"], tmp_path / "good")
    lora = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 8}
    prompt = {"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM", "num_virtual_tokens": 4, "token_dim": 8}
    for name, config in (("lora", lora), ("half", prompt), ("old", prompt)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "old" / "adapter_model.bin").write_bytes(b"\x80\x04.")
    done = cli(*words)
    assert (done.status, done.out) == (status, "")
    (line,) = done.err.splitlines()[-1:]
    assert line.startswith("error: ")
    assert f"[{code}]" in line
    assert not (tmp_path / "x").exists()
