"""The small benchmark of serving: both sides are really asked, and the page holds medians and ratios."""

from benchmarks import serving
from softprompt.testing import tiny


def test_page_shows_medians_and_ratios() -> None:
    times = {serving.TOGETHER: [(10.0, 5.0), (30.0, 9.0), (20.0, 6.0)], serving.APART: [(50.0, 12.0)] * 3}
    lines = serving.page({("after", 64): times}, load=0.5).splitlines()
    assert lines[2] == "| after the text | 64 tokens | 20.0 ms | 50.0 ms | 2.50 | 2.00 |"
    assert "Medians of 3" in lines[-1]


def test_sides_ask_the_same_of_new_texts(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(serving, "asked", lambda connection, text, groups: asked.append((text, groups)) or (1.0, 1.0))
    monkeypatch.setattr(serving, "TOKENS", (8,))
    found = serving.measured(tiny(), 2)
    assert {key: {side: len(each) for side, each in times.items()} for key, times in found.items()} == {
        (place, 8): {serving.TOGETHER: 2, serving.APART: 2} for place in serving.PLACES
    }
    names = [sorted(name for group in groups for name in group) for _, groups in asked]
    assert names == [["prompt-0", "prompt-1", "prompt-2"]] * 16
    assert len({text for text, _ in asked[:8]}) == 8


def test_a_request_is_really_answered() -> None:
    backbone = tiny()
    served = serving.prompts(backbone, serving.PLACES["after"])
    with serving.Engine(backbone, served) as engine, serving.server(engine) as connection:
        wall, worked = serving.asked(connection, "Hello", [["prompt-0"], ["prompt-1", "prompt-2"]])
    assert wall > 0
    assert worked > 0
