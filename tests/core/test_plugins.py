"""Tables that others add to: ours first, registered ones by name, installed ones imported when they are asked for."""

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from softprompt.core import plugins
from softprompt.core.errors import ConfigError
from softprompt.core.plugins import Table


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table[int]:
    """One of ours, and an installed package that offers others: a number, a text, nothing, and a name of ours."""
    offered = {"seven": "seven_of:NUMBER", "text": "string:digits", "gone": "no_such_module:X", "one": "string:digits"}
    points = EntryPoints([EntryPoint(name, value, "example.numbers") for name, value in offered.items()])
    monkeypatch.setattr(plugins, "entry_points", lambda **asked: points.select(**asked))
    return Table("number", "example.numbers", entry=int, own={"one": 1})


def test_names_are_told_without_an_import(table: Table[int]):
    assert list(table) == ["one", "seven", "text", "gone"]
    assert len(table) == 4
    assert "gone" in table
    assert "two" not in table


def test_ours_wins_over_an_installed_one_of_the_same_name(table: Table[int]):
    assert table["one"] == 1
    with pytest.raises(ConfigError, match=r"'one' is one of softprompt's own \[config.name_taken\]; choose another"):
        table.register("one", 11)


def test_a_registered_entry_is_there_and_may_be_registered_again(table: Table[int]):
    table.register("seven", 7)
    table.register("seven", 77)
    assert table["seven"] == 77
    with pytest.raises(ConfigError, match=r"the number 'eight' is a str, not a int.*config.bad_plugin"):
        table.register("eight", "8")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone", r"no_such_module:X of the number 'gone' cannot be imported: No module.*config.bad_plugin.*repair"),
        ("text", r"the number 'text' is a str, not a int.*config.bad_plugin"),
        ("sevn", r"unknown number 'sevn'; did you mean 'seven'\?.*config.unknown_name"),
    ],
)
def test_what_cannot_be_used_is_told(name: str, message: str, table: Table[int]):
    with pytest.raises(ConfigError, match=message):
        table[name]
