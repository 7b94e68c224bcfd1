"""The page on statistics: its example says what it says, and its figures are those of the committed simulation."""

import contextlib
import io
import re
from pathlib import Path


def test_the_example_prints_what_its_comments_say(repository: Path) -> None:
    page = (repository / "docs" / "statistics.md").read_text("utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, {})
    promised = re.findall(r"#.*: ([\d.]+(?: \[.*\])?)$", code, flags=re.MULTILINE)
    assert out.getvalue().split("\n")[:-1] == promised


def test_figures_are_those_of_the_simulation(repository: Path) -> None:
    page = (repository / "docs" / "statistics.md").read_text("utf-8")
    found = (repository / "benchmarks" / "results" / "coverage.md").read_text("utf-8")
    means = re.findall(r"^\| \d+ \| Wilson \| ([\d.]+) %", found, flags=re.MULTILINE)
    assert f"**Wilson** holds {means[0]}, {means[1]} and {means[2]} %" in page
    least = [float(value) for value in re.findall(r"\| exact \| [\d.]+ % \| ([\d.]+) %", found)]
    assert len(least) == 3
    assert min(least) >= 95, "the exact interval falls below its level"
    ours = [float(value) for value in re.findall(r"^\| [35] \| [a-z ]+ \| ([\d.]+) %", found, flags=re.MULTILINE)]
    assert f"ours holds {min(ours)} to {max(ours)} %" in page
