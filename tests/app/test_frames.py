"""Data frames in and out, and cards that say what the command line says."""

import io
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import softprompt as sp
from softprompt.app.cli.face import Screen
from softprompt.app.cli.show import render_prompt
from softprompt.app.cli.tune import render
from softprompt.app.recipes.show import PromptCard
from softprompt.core.errors import DataError, ExtraError
from softprompt.testing import tiny

pd: Any = pytest.importorskip("pandas")

QUICK = {"steps": 4, "rate": 0.1, "seeds": [0, 1], "evaluations": 2, "batch_size": 8}


def frame(number: int, *, start: int = 0) -> Any:
    """Rows whose index is no count."""
    words = ["bad", "good"]
    rows = [{"text": f"{words[i % 2]} {i}", "label": words[i % 2]} for i in range(start, start + number)]
    return pd.DataFrame(rows, index=[f"row {10 * i}" for i in range(number)])


@pytest.fixture(scope="module")
def model() -> sp.Backbone:
    return tiny("llama")


@pytest.fixture(scope="module")
def report(model: sp.Backbone, tmp_path_factory: pytest.TempPathFactory) -> sp.TuneReport:
    return sp.tune(
        train=frame(40),
        validation=frame(10, start=200),
        test=frame(20, start=100),
        model=model,
        output=tmp_path_factory.mktemp("frames") / "run",
        training=QUICK,
    )


def test_a_frame_is_answered_by_a_frame_with_its_index(report: sp.TuneReport, model: sp.Backbone) -> None:
    asked = frame(6, start=300)
    found = sp.predict(report.prompt, asked[["text"]], model=model)
    assert list(found.index) == list(asked.index)
    assert {"answer", "confidence", "abstained", "p bad", "p good"} <= set(found.columns)
    assert (found["p bad"] + found["p good"]).tolist() == pytest.approx([1.0] * 6)
    said = [row.to_dict()["answer"] for row in sp.predict(report.prompt, asked["text"].tolist(), model=model)]
    assert found["answer"].tolist() == said


def test_several_prompts_have_columns_of_their_names(report: sp.TuneReport, model: sp.Backbone) -> None:
    found = sp.predict([report.prompt, report.prompt], frame(2)[["text"]], model=model)
    assert {"run answer", "run 1 answer", "run p good", "run 1 p good"} <= set(found.columns)
    assert (found["run answer"] == found["run 1 answer"]).all()


def test_other_sources_are_still_a_stream(report: sp.TuneReport, model: sp.Backbone) -> None:
    assert isinstance(sp.predict(report.prompt, ["good 1"], model=model), Iterator)


def test_mistakes_stand_beside_the_rows_that_were_judged(report: sp.TuneReport, model: sp.Backbone) -> None:
    judged = frame(20, start=100)
    judged.loc[judged.index[:5], "label"] = ["good", "bad", "good", "bad", "good"]  # wrong on purpose
    (evaluation,) = sp.evaluate(report.prompt, judged, model=model)
    whole, wrong = evaluation.to_frame(judged), evaluation.to_frame(judged, errors=True)
    assert list(whole.index) == list(judged.index)
    assert whole["reference"].tolist() == judged["label"].tolist()
    assert len(wrong) == sum(not item.correct for item in evaluation.items) > 0
    assert (wrong["prediction"] != wrong["label"]).all()
    assert wrong["probability"].is_monotonic_decreasing
    assert (judged.loc[wrong.index, "text"] == wrong["text"]).all()
    with pytest.raises(DataError, match="the frame has 3 rows, 20 were judged"):
        evaluation.to_frame(judged[:3])


def test_a_report_is_a_frame_of_contenders(report: sp.TuneReport) -> None:
    found = report.to_frame().set_index("name")
    assert found.index[-1] == "soft prompt"
    assert found.loc["soft prompt", "macro_f1"] == report.headline.estimate
    assert found.loc["soft prompt", "macro_f1 low"] == report.headline.low


def test_without_pandas_it_is_one_line(report: sp.TuneReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    for convert in (report.to_frame, report.evaluation.to_frame):
        with pytest.raises(ExtraError) as caught:
            convert()
        assert str(caught.value) == "a data frame needs pandas [extra.missing]; pip install 'softprompt[data]'"


class Text(HTMLParser):
    """What a reader sees of a card, and the cells of its tables."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words = ""
        self.feed(html.partition("</style>")[2])

    def handle_data(self, data: str) -> None:
        self.words += f" {data}"


def printed(draw: Any) -> list[str]:
    """Words that the command line prints, without the lines of its tables."""
    out = Screen()
    out.file = io.StringIO()
    out.width = 200
    draw(out)
    return [word for word in out.file.getvalue().split() if word.strip("─")]


def test_the_card_of_a_run_has_every_word_of_the_command_line(report: sp.TuneReport) -> None:
    document = report.to_dict()
    card = Text(report._repr_html_()).words
    words = printed(lambda out: render(out, document, size_bytes=report.prompt.num_bytes))
    own = {"note:", "kept:", "saved:", "next:", "by", "class", "after", f"{report.evaluation.name}:"}  # its own layout
    missing = [word for word in words if word.strip(",") not in card and word not in own]
    assert len(words) > 60
    assert not missing


def test_the_card_of_a_prompt_has_every_word_of_the_command_line(report: sp.TuneReport) -> None:
    path = report.folder / "prompt"
    words = printed(lambda out: render_prompt(out, PromptCard(path, report.prompt).to_dict()))
    card = Text(report.prompt._repr_html_()).words
    missing = [word for word in words if word not in card and Path(word) != path and word != "path"]
    assert len(words) > 30
    assert not missing
