"""The page on formats: its command lines work and leave what they promise; its settings start a run."""

import json
import re
import shlex
from pathlib import Path

import pytest
import torch
import yaml

from softprompt.app.config import RunConfig
from softprompt.model.backbones.loading import load
from softprompt.testing import tiny, tiny_tokenizer
from tests.app.cli.conftest import cli
from tests.ops.formats.samples import build

__all__ = ["cli"]  # a fixture


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "formats.md").read_text("utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A prompt of the embedded model, another model, and an adapter of somebody else's."""
    import safetensors.torch

    model = load("embedded", dtype="fp32", device="cpu")
    build(model, "{bos}<soft 20>{text} It was {answer}").save(tmp_path / "runs" / "topic" / "prompt")
    tiny().model.save_pretrained(tmp_path / "other-model")
    tiny_tokenizer().save_pretrained(tmp_path / "other-model")
    adapter = tmp_path / "their-adapter"
    adapter.mkdir()
    width = model.spec.embed_dim
    config = {"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM", "num_virtual_tokens": 4, "token_dim": width}
    (adapter / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    weights = safetensors.torch.save({"prompt_embeddings": torch.zeros(4, width)})
    (adapter / "adapter_model.safetensors").write_bytes(weights)
    return tmp_path


def test_every_line_works(cli, page: str, folder: Path) -> None:
    lines = re.findall(r"^\$ (softprompt .*)$", page, flags=re.MULTILINE)
    assert {line.split()[1] for line in lines} == {"export", "import", "convert"}
    for line in lines:
        done = cli(*shlex.split(line)[1:])
        if "convert" in line:  # bytes in common with 15,360 words are too few for a map, and it says so
            assert (done.status, "[prompt.little_vocabulary]" in done.err) == (6, True), done.err
            continue
        assert done.status == 0, (line, done.err)
    again, first = (cli("show", name, "--json").json for name in ("topic-again", "runs/topic/prompt"))
    assert again["manifest"]["scores"] == first["manifest"]["scores"]
    assert json.loads((folder / "tone" / "manifest.json").read_text("utf-8"))["unevaluated"] is True


def test_the_settings_are_those_of_a_run(page: str) -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    config = RunConfig.parse({"data": {"train": "rows.csv"}, **yaml.safe_load(block)})
    assert (config.start.kind, config.start_from) == ("prompt", Path("topic-other"))
