"""Results go to stdout, all else to stderr; whatever goes wrong is a line and an exit status."""

import errno
import json
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import typer

from softprompt.app.cli.face import Face, Screen, to_json
from softprompt.app.cli.failures import failure_text
from softprompt.app.cli.streams import is_broken_pipe
from softprompt.core import errors
from softprompt.core.errors import ConfigError, DataError, ResourceError, SoftpromptError, TemplateError, TrainingError


def fail(error: BaseException, *, kept: str = "", **settings: bool) -> int:
    """The exit status of a command that meets an error."""

    def command() -> None:
        with Face(**settings) as face:
            face.kept = lambda: kept
            raise error

    with pytest.raises(typer.Exit) as caught:
        command()
    return caught.value.exit_code


@pytest.mark.parametrize("kind", SoftpromptError.__subclasses__(), ids=lambda kind: kind.__name__)
def test_every_kind_of_error_has_its_status_and_one_line(
    kind: type[SoftpromptError], capsys: pytest.CaptureFixture[str]
) -> None:
    code = next(code for code in errors.CATALOGUE if code.startswith(f"{kind.prefix}."))
    assert fail(kind(code, "it is broken", cure="mend it").at("rows.csv", "line 3")) == kind.exit_status != 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"error: rows.csv: line 3: it is broken [{code}]; mend it\n"


def test_json_error_is_a_document_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(ConfigError("config.invalid", "steps: wrong", cure="see [docs]").at("run.yaml"), as_json=True) == 2
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "error": {
            "code": "config.invalid",
            "message": "steps: wrong",
            "cure": "see [docs]",
            "where": ["run.yaml"],
            "exit_status": 2,
        }
    }
    assert err.count("\n") == 1


def test_stream_of_rows_is_not_ended_by_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(ConfigError("config.invalid", "wrong"), as_json=True, stream=True) == 2
    assert capsys.readouterr().out == ""


def test_code_stands_in_the_first_line_of_many() -> None:
    error = TemplateError("template.unclosed", "a brace\n  line 1:\n    {text\n    ^", cure="close it")
    assert failure_text(error).plain.splitlines() == [
        "error: a brace [template.unclosed]",
        "  line 1:",
        "    {text",
        "    ^",
        "  close it",
    ]


def test_bug_is_one_line_and_shows_its_traceback_on_request(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOFTPROMPT_TRACEBACK", raising=False)
    assert fail(KeyError("soft")) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: KeyError: 'soft' [bug]; ")
    assert "SOFTPROMPT_TRACEBACK=1" in err
    assert err.count("\n") == 1
    monkeypatch.setenv("SOFTPROMPT_TRACEBACK", "1")
    assert fail(KeyError("soft")) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_interrupt_says_what_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(KeyboardInterrupt(), kept="12 rows are answered") == 130
    assert capsys.readouterr() == ("", "stopped; 12 rows are answered\n")


def test_interrupt_with_json_is_a_document_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(KeyboardInterrupt(), kept="12 rows are answered", as_json=True) == 130
    out, err = capsys.readouterr()
    said = {"code": "stopped", "message": "stopped with Ctrl-C", "cure": "12 rows are answered", "where": []}
    assert json.loads(out) == {"error": {**said, "exit_status": 130}}
    assert err == "stopped; 12 rows are answered\n"
    assert fail(KeyboardInterrupt(), as_json=True, stream=True) == 130
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("late", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full"), KeyError("late")])
def test_one_document_and_no_second_for_what_comes_after_it(
    late: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        with Face(as_json=True) as face:
            face.show({"score": 1}, lambda out: None)
            raise late

    with pytest.raises(typer.Exit):
        command()
    out, err = capsys.readouterr()
    assert json.loads(out) == {"score": 1}
    assert err


def test_what_is_kept_is_said_after_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(ResourceError("resource.disk_full", "no room"), kept="runs/a keeps it") == 8
    assert capsys.readouterr().err.splitlines()[1] == "runs/a keeps it"
    for error in (ConfigError("config.invalid", "wrong"), TrainingError("training.diverged", "no number left")):
        assert fail(error, kept="runs/a keeps it") == error.exit_status
        assert capsys.readouterr().err.count("\n") == 1


def test_what_an_earlier_run_kept_is_no_news_after_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    def command(error: BaseException, *later: str) -> None:
        lines = ["1 line"]
        with Face() as face:
            face.keeps(lambda: " and ".join(lines))
            lines.extend(later)
            raise error

    def told(error: BaseException, *later: str) -> list[str]:
        with pytest.raises(typer.Exit):
            command(error, *later)
        return capsys.readouterr().err.splitlines()

    bad = DataError("data.missing_column", "there is none")
    assert len(told(bad)) == 1
    assert told(bad, "another")[1:] == ["1 line and another"]
    assert told(ResourceError("resource.disk_full", "no room"))[1:] == ["1 line"], "the same command is the cure"
    assert told(KeyboardInterrupt()) == ["stopped; 1 line"]


def test_broken_pipe_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(BrokenPipeError()) == 141
    assert capsys.readouterr() == ("", "")


def test_what_windows_says_of_a_broken_pipe_is_quiet_and_a_bad_path_is_not(capsys, monkeypatch) -> None:
    monkeypatch.setattr("softprompt.app.cli.face.is_broken_pipe", partial(is_broken_pipe, system="nt"))
    assert fail(OSError(errno.EINVAL, "Invalid argument")) == 141
    assert capsys.readouterr() == ("", "")
    assert fail(OSError(errno.EINVAL, "Invalid argument", "a?b.csv")) == 1
    assert "a?b.csv" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.EEXIST, errno.ENOTDIR, errno.EACCES, errno.EROFS])
def test_a_place_that_cannot_be_written_to_is_no_bug(capsys: pytest.CaptureFixture[str], number: int) -> None:
    assert fail(OSError(number, os.strerror(number), "rows.csv/x")) == 8
    told = capsys.readouterr().err
    assert told.startswith(f"error: rows.csv/x is no place to write to: {os.strerror(number).lower()}")
    assert "[resource.write_failed]" in told


def test_full_disk_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(OSError(errno.ENOSPC, "No space left on device", "answers.jsonl"), kept="3 rows answered") == 8
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error: no room is left for answers.jsonl [resource.disk_full]; ")
    assert second == "3 rows answered"


def test_a_text_in_the_place_of_a_path_is_no_bug(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(OSError(errno.ENAMETOOLONG, "File name too long", "Where is it? " * 99)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'Where is it? Where is it? Where is it? W'... is no path: it has 1,287 characters [config.usage]" in line
    assert "a text is given with --text" in line


def test_last_words_of_stdout_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def command() -> None:
        with Face() as face:
            face.show({}, lambda out: None)

    monkeypatch.setattr("sys.stdout.flush", full)
    with pytest.raises(typer.Exit) as caught:
        command()
    assert caught.value.exit_code == 8


def test_exit_passes_through(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(typer.Exit(3)) == 3
    assert capsys.readouterr() == ("", "")


def test_markup_in_texts_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    with Face() as face:
        face.note("labels [bold]yes[/bold] :smile: [0.3, 0.4]")
        face.show({}, lambda out: out.say("[red]x[/red]"))
    out, err = capsys.readouterr()
    assert (out, err) == ("[red]x[/red]\n", "labels [bold]yes[/bold] :smile: [0.3, 0.4]\n")


def test_long_lines_are_left_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Face() as face:
        face.show({}, lambda out: out.say("word " * 100))
    assert capsys.readouterr().out.count("\n") == 1


def test_headings_are_folded_between_words(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    Screen().heading("Try a soft prompt after the text first")
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "",
        "Try a soft prompt after the",
        "text first",
    ]


def test_json_has_no_infinity_and_knows_numpy() -> None:
    data = {"a": float("inf"), "b": np.float32(0.5), "c": np.arange(2), "d": Path("x"), 1: {"e": (None, True)}}
    assert json.loads(to_json(data)) == {"a": None, "b": 0.5, "c": [0, 1], "d": "x", "1": {"e": [None, True]}}
    assert "ü" in to_json({"text": "über"})
