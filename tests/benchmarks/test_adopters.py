"""The picture for adopters: which cells there are, how they are kept and summed up, and what a page says of gaps."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import adopters
from benchmarks.adopting import cells
from benchmarks.adopting.cells import CONTENDERS, Cell, Place, kept, measured, places, planned, put, remember
from benchmarks.adopting.page import page, report_of, write
from benchmarks.adopting.picture import NAMES, draw
from benchmarks.adopting.sets import SETS, ground
from benchmarks.adopting.summary import Group, Table, below, difference
from softprompt.core.errors import ConfigError
from softprompt.testing import tiny


def cell(name: str, contender: str, rows: int, seed: int, right: str, why: str = "") -> Cell:
    return Cell(Place(name, contender, rows, seed), right, 60.0, 1.0, why)


def some() -> list[Cell]:
    """One set: soft prompts of two draws, one of them worse than the untrained model, beside TF-IDF."""
    return [
        cell("sst2", "majority", 0, 0, "1100" * 10),
        cell("sst2", "zero-shot", 0, 0, "1100" * 10),
        cell("sst2", "soft", 64, 0, "1000" * 10),
        cell("sst2", "soft", 64, 1, "1110" * 10),
        cell("sst2", "tfidf", 64, 0, "1111" * 10),
        cell("sst2", "lora", 64, 0, "", "too few rows"),
    ]


@given(pool=st.integers(2, 10_000), labels=st.integers(2, 100))
def test_no_part_is_larger_than_the_pool_or_smaller_than_the_labels(pool, labels) -> None:
    found = list(places("sst2", pool=pool, labels=labels))
    assert all(place.rows == 0 or labels <= place.rows <= pool for _, place in found)
    assert {place.contender for _, place in found} >= {"majority", "zero-shot"}
    assert [number for number, _ in found] == sorted(number for number, _ in found)


def test_every_cell_is_measured_once_and_all_that_are_drawn_are_planned() -> None:
    found = [place for _, place in places("sst2", pool=5000, labels=2)]
    assert len(found) == len(set(found))
    assert {place.contender for place in found} == set(CONTENDERS) == {*NAMES, "majority", "zero-shot"}
    assert len({place.seed for place in found if place.contender == "soft" and place.rows == 64}) == cells.SEEDS


def test_cells_are_kept_whole_and_those_that_were_cut_off_are_none(tmp_path: Path) -> None:
    for one in some():
        put(tmp_path, one)
    (tmp_path / "sst2" / "soft-16-0.json").write_text('{"place": {"na', encoding="utf-8")
    assert kept(tmp_path) == sorted(some(), key=lambda one: one.place)


def test_numbers_of_another_model_are_not_mixed(tmp_path: Path) -> None:
    first, other = (SimpleNamespace(spec=SimpleNamespace(fingerprint=name)) for name in "ab")
    remember(tmp_path, {"sst2": (100, 2)}, first)
    remember(tmp_path, {"rte": (90, 2)}, first)
    assert cells.remembered(tmp_path) == {"sst2": (100, 2), "rte": (90, 2)}
    with pytest.raises(ConfigError, match="another model"):
        remember(tmp_path, {}, other)


def test_differences_are_paired_and_have_a_sign() -> None:
    table = Table(some())
    soft, words = table.get("sst2", "soft", 64), table.get("sst2", "tfidf", 64)
    assert soft is not None
    assert words is not None
    assert difference(soft, words).estimate == pytest.approx(-0.5)
    assert difference(words, soft).estimate == pytest.approx(0.5)
    assert soft.interval.estimate == pytest.approx(0.5)
    assert below(soft, Group((cell("sst2", "zero-shot", 0, 0, "10" * 20),))) == 1
    assert table.get("sst2", "lora", 64) is None, "a cell without a score is no score of 0"
    assert table.best("sst2", 64, ["soft", "tfidf"]) == "tfidf"
    assert table.best("sst2", 64, ["soft", "lora"]) is None


def test_page_says_what_is_worse_what_is_below_and_what_is_missing() -> None:
    text = page(Table(some()), ["sst2"], some(), pools={"sst2": (100, 2)})
    assert "**1 of 2 runs of the soft prompt (50 %) end below the untrained model.**" in text
    assert "beside TF-IDF + logistic regression, 1 point: " in text
    assert "(1 of these rest on one draw of a side, whose luck is not counted)." in text
    assert "| soft prompt | 50.0 [" in text
    assert "] (2) |" in text
    assert "| sst2 | 64 | 2 | 25.0 | 75.0 | 50.0 | 1 |" in text
    assert "No score: sst2/lora-64-0.json: too few rows." in text
    assert "| soft prompt | 0 of 5 | 2 of 5 |" in text
    assert f"Sets that were not there: {', '.join(list(SETS)[1:])}." in text


def test_report_and_picture_hold_what_was_measured(tmp_path: Path) -> None:
    write(tmp_path / "adopters.json", some(), pools={"sst2": (100, 2)})
    report = json.loads((tmp_path / "adopters.json").read_text("utf-8"))
    assert report == json.loads(json.dumps(report_of(Table(some()), some())))
    assert [point["by_draw"] for point in report["points"] if point["contender"] == "soft"] == [[0.25, 0.75]]
    assert "right" not in json.dumps(report), "which rows were right is not for others to keep"
    picture = ElementTree.fromstring((tmp_path / "adopters.svg").read_text("utf-8"))
    texts = [node.text for node in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"sst2", "LoRA", "the untrained model"} <= set(texts)
    two = [*some(), cell("rte", "soft", 16, 0, "10" * 20), cell("rte", "soft", 64, 0, "11" * 20)]
    assert draw(Table(two), ["sst2", "rte"]).count('class="frame"') == 2


def test_nothing_measured_writes_no_page(tmp_path: Path, capsys) -> None:
    write(tmp_path / "adopters.json", [])
    assert "no page is written" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_set_is_learnt_from_and_judged_and_what_is_there_is_not_measured_again(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("sklearn")
    folder = tmp_path / "data" / "tasks" / "sst2"
    folder.mkdir(parents=True)
    for part, count in (("train", 60), ("validation", 20)):
        rows = [{"text": f"{'fine' if n % 2 else 'awful'} {part} {n}", "label": "ab"[n % 2]} for n in range(count)]
        (folder / f"{part}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    model = tiny()
    on = ground("sst2", model, folder=tmp_path, judged=10)
    assert (len(on.pool), len(on.judged), on.stage.task.metrics) == (60, 10, ("accuracy",))
    words = measured(Place("sst2", "tfidf", 16, 1), on)
    assert words.score == 1.0
    assert planned("sst2", pool=60, labels=2) > {words.place}

    monkeypatch.setenv("SOFTPROMPT_SHARED", str(tmp_path))
    monkeypatch.setattr(adopters.loading, "load", lambda name: model)
    monkeypatch.setattr(cells, "ROUNDS", (("majority", (0,), range(1)), ("tfidf", (16,), range(2))))
    work = tmp_path / "work"
    assert adopters.work(work, ["sst2", "rte"]) == 3
    assert adopters.work(work, ["sst2"]) == 0
    assert {one.place.contender for one in kept(work)} == {"majority", "tfidf"}
    assert adopters.work(tmp_path / "none", ["sst2"], minutes=0.0) == 0
