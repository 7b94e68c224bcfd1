"""Settings files: what the scalars become, and what is said of files that are none."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.app.yaml import parse_yaml, read_yaml
from softprompt.core.errors import ConfigError


@pytest.mark.parametrize(
    "word", ["yes", "no", "on", "off", "Yes", "NO", "y", "n", "12:30", "2024-01-01", "007", "1_000"]
)
def test_words_stay_words(word: str) -> None:
    assert parse_yaml(f"labels: [{word}]") == {"labels": [word]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("0.3", 0.3),
        (".5", 0.5),
        ("-7", -7),
        ("+7", 7),
        ("0", 0),
        ("0x1f", 31),
        ("0o17", 15),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("''", ""),
        ("'1'", "1"),
        (".inf", float("inf")),
        ("-.inf", float("-inf")),
    ],
)
def test_scalars_of_the_core_schema(text: str, value: object) -> None:
    found = parse_yaml(f"key: {text}")["key"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_names_whatever_they_look_like() -> None:
    assert parse_yaml("{1: a, true: b, no: c, null: d}") == {"1": "a", "true": "b", "no": "c", "null": "d"}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back(value: float) -> None:
    assert parse_yaml(repr(value)) == value


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("a: [1, 2", "run.yaml:1:9", "expected ',' or ']'"),
        ("a: 1\na: 2", "run.yaml:2:1", "the key 'a' stands twice"),
        ("a:\n\tb: 1", "run.yaml:2:1", "cannot start any token"),
        ("a: b: c", "run.yaml:1:5", "mapping values are not allowed here"),
        ("a: !!python/name:os.system", "run.yaml:1:4", "could not determine a constructor"),
        ("a: 1\nb: \x07", "run.yaml:2", "#x0007"),
        ("? [a]\n: 1", "run.yaml:1:3", "unhashable"),
    ],
)
def test_what_is_no_yaml_is_said_with_line_and_column(text: str, place: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"config\.unreadable") as caught:
        read_yaml(path)
    assert caught.value.context[0].endswith(place)
    assert reason in caught.value.message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file holds nothing"),
        (b"- a\n- b\n", "the file holds a list"),
        (b"just words", "the file holds a str"),
        (b"\xff\xfe\x00\x01", "no UTF-8 text"),
    ],
)
def test_what_is_no_settings_file(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert caught.value.code == "config.unreadable"
    assert reason in caught.value.message


def test_missing_file_names_the_files_beside_it(tmp_path: Path) -> None:
    (tmp_path / "topic.yaml").write_text("name: a", encoding="utf-8")
    with pytest.raises(ConfigError, match="no such file") as caught:
        read_yaml(tmp_path / "topc.yaml")
    assert "topic.yaml" in (caught.value.cure or "")
    with pytest.raises(ConfigError, match="this is a folder"):
        read_yaml(tmp_path)


def test_byte_order_mark_and_json_are_read(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(b'\xef\xbb\xbf{"data": {"train": "rows.csv"}, "training": {"rate": 1e-2}}')
    assert read_yaml(path) == {"data": {"train": "rows.csv"}, "training": {"rate": 0.01}}


def test_rows_in_the_place_of_settings_are_told_from_them(tmp_path: Path) -> None:
    path = tmp_path / "tickets.csv"
    path.write_text("text,label\nHello,yes\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="these are rows by their name") as caught:
        read_yaml(path)
    assert caught.value.cure is not None
    assert f"softprompt init {path}" in caught.value.cure
