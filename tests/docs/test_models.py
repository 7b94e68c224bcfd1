"""The page on models: its command lines work on saved models, its table is complete, its refusals are what is said."""

import csv
import json
import re
import shlex
from pathlib import Path

from softprompt.model.backbones.encoders import ENCODERS, REFUSED
from softprompt.model.backbones.finding.kinds import SEQ2SEQ
from softprompt.testing import tiny, tiny_tokenizer
from tests.app.cli.conftest import cli

__all__ = ["cli"]  # a fixture

#: A tiny model is not worth more steps.
FEW = ["--effort", "quick", "--set", "training.steps=2", "--set", "training.probe_steps=1", "--folds", "none"]


def test_the_lines_on_masked_models_work(cli, repository: Path, tmp_path: Path) -> None:
    for name in ("bert", "minilm"):
        tiny(name).model.save_pretrained(tmp_path / name)
        tokenizer = tiny_tokenizer()
        tokenizer.add_special_tokens({"mask_token": "<mask>"})
        tokenizer.save_pretrained(tmp_path / name)
    for name, first in (("tickets.csv", 0), ("rest.csv", 20)):
        rows = [(f"{word} {n}", word) for n in range(first, first + 20) for word in ("good", "bad")]
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file).writerows([("text", "topic"), *rows])
    page = (repository / "docs" / "models.md").read_text("utf-8")
    tune, predict = (
        shlex.split(line)[1:]
        for line in re.findall(r"^\$ (softprompt .*bert .*|softprompt predict runs/topic .*)$", page, flags=re.MULTILINE)
    )
    assert cli(*tune, *FEW, "--validation", "rest.csv").status == 0
    done = cli(*predict)
    assert (done.status, done.lines[0]["answer"] in ("good", "bad")) == (0, True)
    done = cli(*tune, *FEW, "--validation", "rest.csv", "--model", "minilm", "--set", "answers.form=words")
    assert done.status == 5
    (said,) = (line.strip() for line in page.splitlines() if line.startswith("    error: minilm"))
    assert said in done.err


def test_the_lines_on_encoder_decoders_work(cli, repository: Path, tmp_path: Path) -> None:
    tiny("t5").model.save_pretrained(tmp_path / "t5")
    tiny_tokenizer("$A <eos>").save_pretrained(tmp_path / "t5")
    rows = [(f"{word} {n}", word) for n in range(20) for word in ("good", "bad")]
    with (tmp_path / "tickets.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "topic"), *rows])
    page = (repository / "docs" / "models.md").read_text("utf-8")
    lines = re.findall(r"^\$ (softprompt .*(?:t5|sides) .*)$", page, flags=re.MULTILINE)
    tune, evaluate = (shlex.split(line)[1:] for line in lines)
    assert cli(*tune, *FEW).status == 0
    manifest = json.loads((tmp_path / "runs/sides/prompt/manifest.json").read_text("utf-8"))
    assert (manifest["model"]["kind"], manifest["placement"]) == ("seq2seq", "after")
    assert manifest["template"]["text"] == "{bos}{text} It was<decoder><soft 20>{answer}"
    assert cli(*evaluate).status == 0
    done = cli("predict", "runs/sides", "--model", "embedded", "--text", "good")
    assert done.status != 0
    assert "another kind of model" in done.err
    for family in SEQ2SEQ:
        assert f"`{family}`" in page


def test_the_table_names_every_encoder(repository: Path) -> None:
    page = (repository / "docs" / "models.md").read_text("utf-8").lower().replace(" ", "").replace("_", "")
    for name in (*ENCODERS, *REFUSED):
        assert name.replace("_", "").replace("-", "") in page.replace("-", ""), name
