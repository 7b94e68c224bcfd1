"""The picture of a training: well-formed, self-contained, complete, and never broken by odd numbers or names."""

import math
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.tensors import PromptTensors
from softprompt.lab.training.curves import curves, ticks
from softprompt.lab.training.outcome import Outcome

SVG = "{http://www.w3.org/2000/svg}"


def outcome(losses: list[tuple[int, float]], scores: list[tuple[int, float]], step: int = 0) -> Outcome:
    value = dict(scores).get(step, -math.inf)
    return Outcome(PromptTensors(), value, 1.0, step, "finished", tuple(losses), tuple((s, v, 1.0) for s, v in scores))


def lines(svg: str) -> list[ET.Element]:
    return [path for path in ET.fromstring(svg).iter(f"{SVG}path") if path.get("class", "").startswith("c")]


def test_every_prompt_has_two_lines_and_a_ring():
    made = {f"seed {i}": outcome([(5, 1.0), (10, 0.5)], [(0, 0.2), (5, 0.6), (10, 0.4)], step=5) for i in range(3)}
    svg = curves(made, score="accuracy")
    root = ET.fromstring(svg)
    assert len(lines(svg)) == 3 * 2 + 3  # and a stroke each in the legend
    assert len(list(root.iter(f"{SVG}circle"))) == 3
    texts = {text.text for text in root.iter(f"{SVG}text")}
    assert {"training loss", "validation accuracy", "step", "seed 0", "seed 1", "seed 2"} <= texts


def test_it_needs_nothing_from_outside_and_follows_the_readers_scheme():
    svg = curves({"a": outcome([(1, 1.0)], [(0, 0.5)])})
    assert not re.search(r"<script|href|url\(|@import", svg)
    assert "prefers-color-scheme:dark" in svg
    assert "max-width:100%" in svg


def test_a_line_goes_down_where_the_loss_does():
    (path, *_) = lines(curves({"a": outcome([(0, 2.0), (10, 1.0)], [])}))
    (x0, y0), (x1, y1) = (map(float, point.split()) for point in path.get("d", "")[1:].split("L"))
    assert x1 > x0
    assert y1 > y0, "y counts from the top"


def test_names_are_text():
    svg = curves({"<b> & co": outcome([], [(0, 0.5)]), "x": outcome([], [(0, 0.5)])}, title="a<b")
    assert "<b>" not in svg
    assert ET.fromstring(svg)[0].text == "a<b"


def test_many_prompts_stay_readable():
    svg = curves({f"prompt {i}": outcome([(1, 1.0)], [(0, 0.5)]) for i in range(15)})
    assert "and 7 more" in svg
    assert len({(path.get("class"), path.get("stroke-dasharray")) for path in lines(svg)}) == 15


numbers = st.floats(allow_nan=True, allow_infinity=True)
points = st.lists(st.tuples(st.integers(0, 2000), numbers), max_size=5)
names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=40)


@given(st.dictionaries(names, st.tuples(points, points), max_size=4))
def test_odd_numbers_and_names_make_no_broken_picture(made: dict[str, Any]):
    svg = curves({name: outcome(*both) for name, both in made.items()})
    assert "nan" not in "".join(path.get("d", "") for path in lines(svg))
    ET.fromstring(svg)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_and_enclose(low: float, width: float):
    found = ticks(low, low + width)
    assert 2 <= len(found) <= 6
    assert found[0] <= low + 1e-6 * width + 1e-9 * abs(low)
    assert found[-1] >= low + width * (1 - 1e-6) - 1e-9 * abs(low)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
def test_ticks_of_one_value(value: float):
    assert ticks(value, value)[0] < value < ticks(value, value)[-1]
