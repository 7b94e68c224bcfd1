"""Consoles that cannot print every sign: nothing ends with a traceback, and what programs read stays exact."""

import io
import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.app.cli.streams import PLAIN, decoded, speak_plainly
from softprompt.core.errors import DataError


def written(text: str, encoding: str) -> str:
    screen = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    speak_plainly(screen)
    screen.write(text)
    screen.flush()
    return screen.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined] # what was given above


@given(text=st.text(alphabet=st.characters()), encoding=st.sampled_from(["cp1252", "ascii", "cp437", "utf-8"]))
def test_every_text_can_be_written(text: str, encoding: str):
    found = written(text, encoding)
    assert all(sign in found for sign in text if sign.isascii() and sign not in "\r\n")


def test_a_sign_that_the_encoding_has_stays():
    assert written("größer … 5 ± 1", "cp1252") == "größer … 5 ± 1"
    assert written("größer … 5 ± 1", "ascii") == "gr\\xf6\\xdfer ... 5 +- 1"
    assert written("返 \udcff", "utf-8") == "返 \\udcff"  # a file's name that is no text


def test_what_stands_for_a_sign_can_be_written_everywhere():
    assert all(plain.isascii() for plain in PLAIN.values())


def test_lines_of_a_stream_that_holds_text_are_as_they_are():
    assert list(decoded(io.StringIO("größer\nb"))) == ["größer\n", "b"]


def test_a_line_in_another_encoding_is_refused_by_its_number():
    lines = decoded(io.TextIOWrapper(io.BytesIO(b"good\ngr\xf6\xdfer\n"), encoding="cp1252"))
    assert next(lines) == "good\n"
    with pytest.raises(
        DataError, match=r"^stdin:2: the line is not UTF-8: byte 0xf6 at place 3 \[data\.bad_encoding\]"
    ):
        next(lines)


@pytest.mark.parametrize("words", [["template", "presets"], ["template", "check", "{text} … {answer}\n→ {x"], ["-h"]])
def test_commands_on_a_console_that_cannot_print_their_signs(words: list[str]):
    done = run(words, "ascii")
    assert "Traceback" not in done.stderr
    assert "\N{RIGHTWARDS ARROW}" not in done.stdout + done.stderr
    if words[-1] == "presets":
        assert re.search(r"\{text\}.*\\n", done.stdout)


def test_json_is_the_same_on_every_console():
    plain, full = (json.loads(run(["template", "presets", "--json"], one).stdout) for one in ("cp1252", "utf-8"))
    assert plain == full


def run(words: list[str], encoding: str) -> Any:
    """A command in a process of its own, whose streams speak an encoding."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    return subprocess.run(
        [sys.executable, "-c", "from softprompt.app.cli import main; main()", *words],
        capture_output=True,
        env=environment,
        encoding=encoding,
        check=False,
        timeout=120,
    )
