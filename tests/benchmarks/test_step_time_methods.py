"""The benchmark of a step by method: its models take every method at both places, and the page has a line for each."""

import pytest

import benchmarks.step_time_methods
from benchmarks.step_time_methods import METHODS, MODELS, page
from softprompt.testing import tiny


def test_every_kind_of_model_is_measured_at_both_places(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    families = dict(zip(MODELS, ("llama", "t5", "bert"), strict=True))
    made = {name: (lambda family=family: tiny(family)) for name, family in families.items()}
    monkeypatch.setattr(benchmarks.step_time_methods, "MODELS", made)
    benchmarks.step_time_methods.main(["--tokens", "4", "--repeats", "1", "--print"])
    lines = [line for line in capsys.readouterr().out.splitlines() if "the text |" in line]
    assert [line.split(" | ")[:2] for line in lines] == [
        [f"| {name}", place] for name in MODELS for place in ("before the text", "after the text")
    ]
    assert all(line.count(" s |") == len(METHODS) for line in lines)


def test_the_page_holds_medians() -> None:
    taken = {name: [3.0, 1.0, 2.0] for name in METHODS}
    assert "| a model | after the text | 2.00 s | 2.00 s | 2.00 s |" in page(
        {("a model", "after the text"): taken}, tokens=7, load=0.0
    )
