"""The benchmark of multitask: equal rows for all ways, draws that are nested, and a page that says how sure it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import benchmarks.multitask as multitask
from benchmarks.contest.outcomes import Work
from benchmarks.multitask import BASE, GROUNDS, WAYS, Ground, lessons_of, num_trained, page, together
from softprompt.model.backbones.base import Backbone
from softprompt.testing import tiny


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return tiny()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forty rows of every file: enough for every label."""
    rows = multitask.rows_in
    monkeypatch.setattr(multitask, "rows_in", lambda path: rows(path)[:40])
    multitask.prepared.cache_clear()
    yield
    multitask.prepared.cache_clear()


def cell(plain: str, other: str) -> dict[str, object]:
    """One draw of the first setting; every task alike."""
    right = {BASE: plain, **dict.fromkeys((way for way in WAYS if way != BASE), other)}
    return {
        way: {"right": dict.fromkeys(GROUNDS["16 messages"].rows, marks), "seconds": 12.4, "numbers": 16966}
        for way, marks in right.items()
    }


def test_draws_are_nested_and_tasks_about_one_text_choose_the_same(backbone: Backbone) -> None:
    few, many = (
        {one.name: [row.source for row in one.train if row] for one in lessons_of(GROUNDS[name], backbone, 1)}
        for name in ("16 for topic, 100 for the others", "100 messages")
    )
    assert (len(few["topic"]), len(few["urgent"])) == (16, 100)
    assert few["topic"] == many["topic"][:16] == few["urgent"][:16]
    other = [row.source for row in lessons_of(GROUNDS["16 messages"], backbone, 2)[0].train if row]
    assert other != few["topic"]


@pytest.mark.usefixtures("few")
def test_equal_texts_share_a_place_and_texts_of_two_files_do_not(backbone: Backbone) -> None:
    lessons = lessons_of(Ground({"topic": 4, "urgent": 6}), backbone, 0)
    shared, apart = (together(lessons, apart=one) for one in (False, True))
    assert [len(one.train) for one in shared] == [6, 6]
    assert [row is not None for row in shared[0].train] == [True] * 4 + [False] * 2
    assert [len(one.train) for one in apart] == [10, 10]


@pytest.mark.usefixtures("few")
def test_tasks_that_share_move_fewer_numbers(backbone: Backbone) -> None:
    lessons = lessons_of(Ground({"topic": 4, "urgent": 6}), backbone, 0)
    width, labels = backbone.spec.embed_dim, sum(len(one.builder.task.names) for one in lessons)
    heads = labels * (backbone.spec.head_dim + 1)
    alone, shared = (num_trained(backbone, lessons, WAYS[way][0]) for way in (BASE, "multitask"))
    assert alone == 2 * 20 * width + heads
    assert shared == 20 * width + 2 * (20 + width) + heads


@pytest.mark.usefixtures("few")
def test_a_cell_is_measured_once_and_a_cut_run_goes_on(
    backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multitask, "GROUNDS", {"two": Ground({"topic": 4, "urgent": 6})})
    monkeypatch.setattr(multitask, "DRAWS", (0, 1))
    work = Work(tmp_path)
    found = multitask.measured(work, backbone, steps=1)
    assert [set(one) for one in found["two"]] == [set(WAYS)] * 2
    judged = found["two"][0][BASE]["right"]
    assert len(judged["topic"]) == len(judged["urgent"]) == 80
    monkeypatch.setattr(multitask, "cell", lambda *given, **named: pytest.fail("it was kept"))
    assert multitask.measured(work, backbone, steps=1) == found
    assert multitask.measured(work, backbone, steps=2, until=0.0) == {}


def test_the_page_says_what_is_better_and_what_was_not_measured() -> None:
    text = page({"16 messages": [cell("10" * 60, "1" * 120)] * 3}, steps=7, load=0.0)
    assert "| 16 messages | topic | 50.0 [" in text
    assert text.count("| +50.0 [") == 6
    assert "* multitask: better on 3, worse on 0, cannot tell on 0." in text
    assert "| 16 messages | 12 s, 16,966 |" in text
    assert "Not measured: 100 messages; 16 for topic, 100 for the others; 48 reviews, 48 feelings." in text
    assert "3 draws, 7 steps" in text
