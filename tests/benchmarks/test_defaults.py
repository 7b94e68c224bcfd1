"""The benchmark of the defaults: every line changes one thing of a run, and the page says what it did."""

import pytest

from benchmarks.contest.outcomes import Cost, Outcome
from benchmarks.defaults import BASE, SETTINGS, page, settings_of
from softprompt.app.config import RunConfig


def outcome(name: str, right: str) -> Outcome:
    return Outcome(name, (0, 1), (right, right), (None, None), Cost(), Cost(), 1, {})


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_changes_one_thing_of_a_run(name: str) -> None:
    def parts(named: str) -> dict[str, object]:
        return RunConfig.parse({"data": {"train": "rows"}, **settings_of(named)}).model_dump()

    base, changed = parts(BASE), parts(name)
    different = [
        (part, key)
        for part in base
        if isinstance(base[part], dict)
        for key in base[part]
        if base[part][key] != changed[part][key]
    ]
    assert len(different) == (name != BASE)


def test_the_page_holds_every_change_against_the_defaults() -> None:
    found = {"topic": {BASE: outcome(BASE, "10" * 50), "rate 1": outcome("rate 1", "11" * 50)}}
    lines = page(found, load=0.0).splitlines()
    assert lines[2].startswith("| defaults | 50.0 [")
    assert lines[3].startswith("| rate 1 | +50.0 [+")
    assert lines[3].endswith("** |")
    assert not any("rate 0.3" in line for line in lines)
