"""The page: self-contained, well-formed, honest about what it was given, and deaf to markup in anybody's text."""

import re
from collections.abc import Callable
from copy import deepcopy
from html.parser import HTMLParser
from typing import Any

import pytest

from softprompt.app.page import charts, render

VOID = {"meta", "br", "hr", "img", "link", "input"}
EVIL = "<script>alert('x')</script>&\"{{ 7 * 7 }}"


def interval(estimate: float | None, low: float | None, high: float | None) -> dict[str, Any]:
    return {"estimate": estimate, "low": low, "high": high, "level": 0.95, "method": "wilson"}


def line(name: str, estimate: float, *, trained: int = 0, num_bytes: int = 0) -> dict[str, Any]:
    score = interval(estimate, max(0.0, estimate - 0.07), min(1.0, estimate + 0.06))
    return {
        "name": name,
        "fit_seconds": 18.2 if trained else 0.0,
        "predict_seconds": 2.5,
        "num_trained": trained,
        "num_bytes": num_bytes,
        "note": "",
        "evaluation": {"metrics": {"accuracy": score}},
    }


def question(target: str) -> dict[str, Any]:
    lines = [
        line("majority", 0.2),
        line("zero-shot text prompt", 0.225),
        line("soft prompt after the text", 0.565, trained=6400, num_bytes=25_620),
        line("soft prompt before the text", 0.48, trained=6400, num_bytes=25_620),
    ]
    return {
        "target": target,
        "labels": ["billing", "delivery"],
        "comparison": {
            "reference": "soft prompt after the text",
            "metric": "accuracy",
            "standings": lines,
            "differences": [],
        },
        "verdict": f"{target}: the soft prompt (56 % accuracy) beats majority.",
        "prompt": f"out/{target}",
    }


def answer(text: str, confidence: float) -> dict[str, Any]:
    return {"answer": text, "confidence": confidence, "probabilities": {text: confidence}}


def learning(place: str, steps: int) -> dict[str, Any]:
    return {
        "place": place,
        "steps": steps,
        "seconds": 18.0,
        "read_seconds": 1.5 if place == "after" else 0.0,
        "step_seconds": 0.12,
        "cut_short": False,
    }


@pytest.fixture
def document() -> dict[str, Any]:
    return {
        "source": "the example messages",
        "example": True,
        "rows": {"train": 300, "validation": 100, "test": 200},
        "model": {"name": "embedded", "num_parameters": 6_524_160, "dtype": "bfloat16", "device": "cpu"},
        "machine": {"cores": 2, "threads": 2},
        "questions": [question("topic"), question("urgent")],
        "learning": [learning("after", 150), learning("before", 41)],
        "one_reading": {
            "num_prompts": 2,
            "shared_ms": 19.3,
            "apart_ms": 34.8,
            "num_texts": 40,
            "same_answers": 0.975,
            "max_difference": 0.012,
            "ratio": 1.8,
        },
        "replies": [
            {
                "text": "Where is my parcel?",
                "answers": {"topic": answer("delivery", 0.81), "urgent": answer("no", 0.66)},
                "milliseconds": 18.0,
                "expected": {"topic": "delivery", "urgent": "yes"},
            }
        ],
        "caveat": "It does not predict the scores of your model.",
        "commands": [{"purpose": "look into a prompt", "line": "softprompt show out/topic"}],
        "folder": "out",
        "page": "out/result.html",
        "seconds": {"rows": 0.1, "train after": 18.0, "total": 62.0},
        "cpu_seconds": 98.0,
        "notes": ["20 of 30 rows taken"],
    }


class Outline(HTMLParser):
    """Collects tags and attributes, and checks that every element is closed in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def outline(page: str) -> Outline:
    found = Outline()
    found.feed(page)
    found.close()
    assert found.open == []
    return found


def test_loads_nothing_and_runs_nothing(document: dict[str, Any]) -> None:
    page = render(document)
    found = outline(page)
    assert not {"script", "link", "img", "iframe", "object", "use", "image"} & set(found.tags)
    loading = {"src", "href", "xlink:href", "srcset", "data", "action", "style-src"}
    assert not [pair for pair in found.attributes if pair[0] in loading or pair[0].startswith("on")]
    assert not re.search(r"https?:|//[a-z]|url\(|@import", page)
    assert "default-src 'none'" in dict(found.attributes)["content"] or "default-src 'none'" in page


def test_light_dark_narrow_and_wide(document: dict[str, Any]) -> None:
    page = render(document)
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport" content="width=device-width, initial-scale=1"' in page
    assert re.search(r"@media \(max-width: \d+rem\)", page)


@pytest.mark.parametrize(
    "place",
    [
        lambda d: d["replies"][0].update(text=EVIL),
        lambda d: d["replies"][0]["answers"].update(topic=answer(EVIL, 0.5)),
        lambda d: d["questions"][0].update(target=EVIL, verdict=f"{EVIL}: lost."),
        lambda d: d["questions"][0]["comparison"]["standings"][0].update(name=EVIL),
        lambda d: d["model"].update(name=EVIL),
        lambda d: d.update(source=EVIL),
        lambda d: d.update(notes=[EVIL]),
        lambda d: d["commands"].append({"purpose": EVIL, "line": EVIL}),
    ],
    ids=["sentence", "answer", "question", "line", "model", "source", "note", "command"],
)
def test_text_of_others_is_text(document: dict[str, Any], place: Callable[[dict[str, Any]], Any]) -> None:
    number = outline(render(document)).tags.count("script")
    place(document)
    page = render(document)
    assert outline(page).tags.count("script") == number == 0
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;" in page
    assert "49" not in re.findall(r"&#34;(.*?)\W", page), "templates in data are not executed"


def test_every_score_stands_in_the_table_and_in_the_picture(document: dict[str, Any]) -> None:
    page = render(document)
    for one in document["questions"][0]["comparison"]["standings"]:
        score = one["evaluation"]["metrics"]["accuracy"]
        assert f"{100 * score['estimate']:.1f}<span" in page
        assert f'aria-label="{100 * score["estimate"]:.0f} percent, ' in page
    assert page.count("<table>") == 2
    assert page.count('class="own"') == page.count('class="other"') == 2
    assert "1.8<small>×</small>" in page
    assert "26\u202fkB" in page


def test_wrong_answer_is_marked_and_right_one_is_not(document: dict[str, Any]) -> None:
    page = render(document)
    assert "labelled yes" in page
    assert "labelled delivery" not in page


def test_what_the_two_readings_differ_in_is_said(document: dict[str, Any]) -> None:
    assert "97.5\u202f% of the answers are the same both ways" in render(document)
    document["one_reading"].update(same_answers=1.0)
    assert "All answers are the same both ways, and no probability differs by more than 1.2 points." in render(document)


def test_one_question_promises_no_ratio(document: dict[str, Any]) -> None:
    document["questions"] = document["questions"][:1]
    document["one_reading"].update(num_prompts=1, ratio=1.0)
    page = render(document)
    assert "One reading, one answer" in page
    assert "faster to read" not in page
    assert "in one pass" not in page


def test_missing_bounds_and_no_steps_do_not_break_it(document: dict[str, Any]) -> None:
    document["questions"][0]["comparison"]["standings"][0]["evaluation"]["metrics"]["accuracy"] = interval(
        1, None, None
    )
    document["learning"] = [learning("after", 0), learning("before", 0)]
    document["notes"], document["replies"] = [], []
    outline(render(document))


def test_document_is_only_read(document: dict[str, Any]) -> None:
    before = deepcopy(document)
    assert render(document) == render(document)
    assert document == before


@pytest.mark.parametrize("estimate", [0.0, 0.5, 1.0])
def test_dots_stay_in_the_picture_and_in_order(estimate: float) -> None:
    low, high = max(0.0, estimate - 0.1), min(1.0, estimate + 0.1)
    drawn = str(charts.interval_row(interval(estimate, low, high), reference=0.3))
    places = [float(x) for x in re.findall(r'="(\d+\.\d+)%"', drawn)]
    assert all(0 < x < 100 for x in places)
    _, _, left, right, dot = places
    assert left <= dot <= right
    assert (left < dot) == (low < estimate)


def test_bars_are_as_long_as_what_they_show() -> None:
    drawn = str(charts.bars([charts.Bar("a", "1", 10), charts.Bar("b", "2", 20), charts.Bar("c", "3", 20, pieces=3)]))
    widths = [float(x) for x in re.findall(r'width="(\d+\.\d+)%"', drawn)]
    assert widths[:2] == [50, 100]
    assert widths[2] == widths[3] == widths[4]
    assert sum(widths[2:]) + 2 * 0.6 == pytest.approx(100, abs=0.05)
