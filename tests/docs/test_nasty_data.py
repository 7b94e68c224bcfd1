"""Chapter 2 of the tutorial, typed line by line: every command runs, and what the page shows is what it says."""

import io
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from softprompt.app.cli import run


def parts(page: str) -> list[tuple[str, str]]:
    """Language line and content of each fenced block, in order."""
    return re.findall(r"^```(\w+[^\n]*)\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)


def typed(block: str) -> list[tuple[str, list[str]]]:
    """Commands of a console block, each with the lines that are shown below it."""
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        else:
            found[-1][1].append(line)
    return found


def type_line(line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What a command says; ours run in this process, which saves the seconds of an import each."""
    words = shlex.split(line)
    if words[0] != "softprompt":
        subprocess.run(["bash", "-c", line], check=True, timeout=60)
        return ""
    if "<" in words:
        words, source = words[: words.index("<")], words[words.index("<") + 1]
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(source).read_bytes())))
    capsys.readouterr()
    run(words[1:])
    said = capsys.readouterr()
    return said.out + said.err


@pytest.mark.posix
def test_every_command_says_what_the_page_shows(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    shutil.copytree(repository / "docs" / "examples", tmp_path / "docs" / "examples")
    shown = 0
    for kind, content in parts((repository / "docs" / "nasty-data.md").read_text("utf-8")):
        if " file=" in kind:
            Path(kind.partition(" file=")[2]).write_text(content, "utf-8")
            continue
        for line, below in typed(content):
            said = type_line(line, capsys, monkeypatch)
            for expected in below:
                assert expected in said.splitlines(), f"{line}\n{said}"
            assert below or "error" not in said, said
            shown += len(below)
    assert shown > 20, "the page shows next to nothing"
    kept = (tmp_path / "runs" / "nasty" / "skipped.train.jsonl").read_text("utf-8")
    assert kept.count("\n") == 3


@pytest.mark.parametrize(("name", "encoding"), [("nasty.csv", "cp1252"), ("nasty-bom.csv", "utf-8-sig")])
def test_the_examples_are_as_nasty_as_the_page_says(repository: Path, name: str, encoding: str) -> None:
    content = (repository / "docs" / "examples" / name).read_bytes()
    text = content.decode(encoding)
    assert content.startswith(b"\xef\xbb\xbf") == (encoding == "utf-8-sig")
    assert text.splitlines()[0] == "Ticket no.;Customer message;Queue;Order value;;"
    for nasty in ("billing ;", ";NaN;", "<p>", ";24,90;", "\r\n1012;;", "Tag,\n", '""we deliver'):
        assert nasty in text, nasty
    assert (repository / "docs" / "examples" / "nasty.csv").read_bytes().decode("cp1252") == (
        repository / "docs" / "examples" / "nasty-bom.csv"
    ).read_bytes().decode("utf-8-sig")
