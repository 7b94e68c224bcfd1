"""The first contact: help, version, and command lines that cannot be understood."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from softprompt.app.cli import app

HEAVY = {"torch", "transformers", "numpy", "scipy", "sklearn", "yaml"}


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
from softprompt.app.cli import run
for words in (["--help"], ["--version"]):
    assert run(words) == 0, words
assert "pydantic" not in sys.modules  # typer itself takes it for the arguments of commands
for words in (["tune", "--help"], ["cache", "clear", "--help"]):
    assert run(words) == 0, words
print({HEAVY} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
    assert done.stderr == ""


def test_every_command_has_help_with_its_options_explained() -> None:
    runner = CliRunner()
    words = [["tune"], ["evaluate"], ["predict"], ["show"], ["runs"], ["doctor"]]
    words += [["template", "check"], ["template", "presets"], ["data", "page"], ["data", "check"]]
    words += [["cache", "ls"], ["cache", "clear"]]
    for command in words:
        shown = runner.invoke(app, [*command, "--help"], env={"COLUMNS": "100"})
        assert shown.exit_code == 0
        assert "--json" in shown.stdout, command


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["cache"], ["template"], ["data"]])
def test_groups_show_their_help(cli, words) -> None:
    done = cli(*words)
    assert done.status == 0
    assert "Usage: softprompt" in done.out
    assert done.err == ""


def test_version(cli) -> None:
    done = cli("--version")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("softprompt ")


def test_a_misspelt_command_line_is_a_document_where_one_is_asked_for(cli) -> None:
    done = cli("tune", "--trian", "x", "--json")
    assert (done.status, json.loads(done.out)["error"]["code"]) == (2, "config.usage")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tun"], "'tune'"),
        (["tune", "--trian", "x"], "--train"),
        (["evaluate"], "PROMPT"),
        (["evaluate", "p"], "--data"),
        (["tune", "--seed", "one"], "--seed"),
        (["predict", "p", "--text", "x", "--min-confidence", "2"], "--min-confidence"),
        (["show"], "PATH"),
        (["cache", "list"], "list"),
    ],
)
def test_misspelt_command_lines_are_one_line_with_code_and_status(cli, words, said) -> None:
    done = cli(*words)
    assert done.status == 2
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert "[config.usage]" in done.err
    assert said.lower() in done.err.lower()
    assert "--help" in done.err
