"""Cards as HTML: every text is escaped, nothing is loaded, and the tables are those of the command line."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from softprompt.core.cards import Card, Column, Notice, Table, draw, page
from softprompt.core.cards.views import data_card, evaluation_card, prompt_card, run_card, run_notices, task_card
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.data.page import DataPage
from softprompt.lab.evaluation import Evaluation, evaluate
from softprompt.model.prediction import Prediction

EVIL = "<script>alert(1)</script>"
LABELS = (EVIL, 'a"b', "c&d")
VOID = {"meta"}


class Reader(HTMLParser):
    """Which elements there are, whether each is closed, and the text a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def task() -> Task:
    return Task.classify(LABELS, target="topic")


def judged() -> Evaluation:
    rows = [Example({"text": EVIL}, target=label, id=str(n)) for n, label in enumerate(LABELS * 4)]
    share = dict(zip(LABELS, (0.6, 0.3, 0.1), strict=True))
    said = [Prediction(row.id, LABELS[0], share, 0.6, abstained=n < 2) for n, row in enumerate(rows)]
    return evaluate(said, rows, task(), name=EVIL)


def report() -> dict[str, Any]:
    evaluation = judged().to_dict()
    metric = next(iter(evaluation["metrics"]))
    standing = {"name": EVIL, "fit_seconds": 1.5, "predict_seconds": 0.2, "num_bytes": 9, "evaluation": evaluation}
    return {
        "folder": EVIL,
        "prompt": f"{EVIL}/prompt",
        "split": "test",
        "evaluation": evaluation,
        "saved": EVIL,
        "seeds": {"0": evaluation["metrics"], "1": evaluation["metrics"]},
        "stopped": ["finished", "finished"],
        "comparison": {
            "metric": metric,
            "reference": EVIL,
            "standings": [standing],
            "differences": [{"sentence": f"{EVIL} is better"}],
        },
        "held_out": None,
        "folds": None,
        "suspects": [{"id": "1", "source": EVIL, "given": EVIL, "suggested": "x", "p_given": 0.1, "p_suggested": 0.9}],
        "interrupted": False,
        "seconds": {"total": 3.0},
        "notes": [EVIL],
    }


def prompt() -> dict[str, Any]:
    model = {"id": EVIL, "fingerprint": "f" * 64, "tokenizer": "t" * 64, "dtype": "fp32"}
    manifest: dict[str, Any] = {
        "name": EVIL,
        "task": {"kind": "classify", "target": EVIL, "labels": {label: {"say": "x"} for label in LABELS}},
        "template": {"text": f"{EVIL}{{text}}"},
        "placement": "after",
        "method": {"name": "plain"},
        "model": model,
        "scores": [{"metric": "accuracy", "split": "test", "value": 0.5, "low": 0.4, "high": 0.6, "num_items": 12}],
    }
    manifest |= dict.fromkeys(("created", "softprompt", "data_hash", "author", "licence", "notes"), EVIL)
    return {
        "num_bytes": 5120,
        "content_hash": "c" * 64,
        "slots": {EVIL: 20},
        "label_vectors": 3,
        "manifest": {**manifest, "parents": [EVIL]},
    }


def rows() -> DataPage:
    data = Dataset(tuple(Example({EVIL: "a b"}, target=label) for label in LABELS), classes=LABELS)
    return DataPage.of({"train": data}, task(), count_tokens=lambda text: len(text.split()))


CARDS = {
    "task": lambda: task_card(task().model_dump(mode="json", by_alias=True)),
    "data": lambda: data_card(rows().to_dict()),
    "evaluation": lambda: evaluation_card(judged().to_dict()),
    "prompt": lambda: prompt_card(prompt()),
    "run": lambda: run_card(report(), size_bytes=5120),
}


@pytest.mark.parametrize("kind", CARDS)
def test_every_text_is_escaped_and_shown_as_it_is(kind: str) -> None:
    for html in (draw(CARDS[kind]()), page(CARDS[kind]())):
        assert "<script" not in html
        found = Reader(html)
        assert "script" not in found.tags
        assert "alert(1)" in found.text


@pytest.mark.parametrize("kind", CARDS)
def test_nothing_is_loaded_and_nothing_is_run(kind: str) -> None:
    html = page(CARDS[kind]())
    assert not re.search(r"url\(|@import|https?://", html)
    names = {name for name, _ in Reader(html).attributes}
    assert not names & {"src", "href", "srcset", "action"}
    assert not [name for name in names if name.startswith("on")]
    assert "default-src &#39;none&#39;" in html or "default-src 'none'" in html


@pytest.mark.parametrize("kind", CARDS)
def test_the_sheet_is_a_cards_own(kind: str) -> None:
    """Every rule names the card, or it would restyle the notebook around it."""
    sheet = re.search(r"<style>(.*?)</style>", draw(CARDS[kind]()), re.S)
    assert sheet
    flat = re.sub(r"@media[^{]*\{", "", sheet[1])
    selectors = [rule.split("{")[0].strip() for rule in flat.split("}") if "{" in rule]
    assert len(selectors) > 10
    assert all("softprompt-card" in selector for selector in selectors), selectors


def test_an_object_shows_its_own_card() -> None:
    for thing, word in ((task(), "classify topic"), (judged(), "macro_f1"), (rows(), "rows a label")):
        assert word in Reader(thing._repr_html_()).text


def test_the_number_of_a_score_stands_before_its_bounds() -> None:
    (metrics, classes) = evaluation_card(judged().to_dict()).tables
    name, estimate, bounds = metrics.rows[0]
    assert (name, float(estimate) > 0, bounds[0]) == ("macro_f1", True, "[")
    assert [row[0] for row in classes.rows] == list(LABELS)


def test_withheld_answers_and_cut_rows_are_said() -> None:
    data = {**judged().to_dict(), "cut": 2, "lost": "2 of 12 rows were too long"}
    card = evaluation_card(data)
    assert card.sentences[0].startswith("2 answers withheld; of those given")
    assert card.notices == [Notice("2 of 12 rows were too long", "look")]
    assert card.notices[0] in run_card({**report(), "evaluation": data}).notices
    assert not evaluation_card(judged().to_dict()).notices


@pytest.mark.parametrize(("stopped", "why"), [("interrupted", "interrupted"), ("time", "the time was up")])
def test_what_ended_a_run_early_comes_first(stopped: str, why: str) -> None:
    early = {**report(), "interrupted": True, "stopped": [stopped]}
    first = run_notices(early)[0]
    assert first.kind == "stop"
    assert why in first.text
    assert f'class="spk-notice spk-stop">{first.text}' in draw(run_card(early))
    assert "spk-stop" not in draw(run_card(report())).partition("</style>")[2]


def test_a_narrow_window_leaves_out_columns_and_no_row() -> None:
    table = Table((Column("a"), Column("b", from_width=80)), (("1", "2"), ("3", "4")), strong=1, title="t", note="n")
    found = table.fitting(79)
    assert ([column.name for column in found.columns], found.rows) == (["a"], (("1",), ("3",)))
    assert (found.strong, found.title, found.note) == (1, "t", "n")


def test_an_empty_card_is_a_heading() -> None:
    found = Reader(draw(Card("task", "nothing", notices=[Notice("look here", "look")])))
    assert "table" not in found.tags
    assert "look here" in found.text
