"""The page from a file to a config: its labels parse, its flags are there, its figures are those of the code."""

import re
from pathlib import Path

from softprompt.app.config import RunConfig
from softprompt.app.yaml import parse_yaml
from softprompt.lab.fluency import FOREIGN, LEAST_BYTES, NUM_TEXTS
from tests.app.recipes.files import CASES


def page(repository: Path) -> str:
    return (repository / "docs" / "first-hour.md").read_text("utf-8")


def test_labels_are_understood(repository: Path) -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", page(repository), flags=re.M | re.S)
    task = RunConfig.parse({"data": {"train": "x.csv"}, **parse_yaml(block)}).task.build()
    assert task.spelt("Biling") == "Billing"
    assert task.says == ("Billing", "delivery", "Returns")


def test_flags_are_those_of_the_command(repository: Path, capsys) -> None:
    from softprompt.app.cli import run

    run(["init", "--help"])
    known = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    told = set(re.findall(r"`(--[a-z][a-z-]+)", page(repository)))
    assert told - known == set()


def test_figures_are_those_of_the_code(repository: Path) -> None:
    text = page(repository)
    assert f"above {FOREIGN} times" in text
    assert f"Under {LEAST_BYTES} bytes" in text
    assert f"up to {NUM_TEXTS} of your texts" in text
    run = [case for case in CASES if not case.code]
    assert f"{len(run)} of the {len(CASES)} run" in text
