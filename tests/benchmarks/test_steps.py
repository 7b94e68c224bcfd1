"""The benchmark of steps and rows: a line a set, every number of steps against the first."""

from benchmarks.contest.outcomes import Cost, Outcome
from benchmarks.steps import BASE, STEPS, page


def outcome(right: str) -> Outcome:
    return Outcome("soft", (0, 1), (right, right), (None, None), Cost(), Cost(), 1, {})


def test_every_number_of_rows_begins_with_the_same_steps_and_goes_up() -> None:
    for many in STEPS.values():
        assert many[0] == BASE
        assert list(many) == sorted(set(many))


def test_the_page_holds_what_is_there_and_leaves_out_what_is_not() -> None:
    found = {
        ("sst2", 2000, BASE): outcome("10" * 50),
        ("sst2", 2000, 500): outcome("11" * 50),
        ("rte", 2000, 500): outcome("11" * 50),
    }
    lines = page(found, load=0.0).splitlines()
    assert "## 2,000 labels" in lines
    (line,) = [line for line in lines if line.startswith("| sst2 ")]
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells[1].startswith("50.0 [")
    assert cells[2].startswith("+50.0 [+")
    assert cells[2].endswith("**better**")
    assert cells[3:] == [""] * (len(STEPS[2000]) - 2)
    assert not any(line.startswith("| rte ") for line in lines)  # nothing to hold it against


def test_a_column_says_how_often_each_row_was_seen() -> None:
    heads = [line for line in page({}, load=0.0).splitlines() if line.startswith("| |")]
    assert any("150 (1.5 times)" in head and "500 (5 times)" in head for head in heads)
