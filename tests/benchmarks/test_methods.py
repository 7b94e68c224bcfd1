"""The benchmark of methods: its ways are runs, its rule for a new default holds, its page hides no missing cell."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import benchmarks.methods
from benchmarks.contest.outcomes import Cost, Outcome, Work
from benchmarks.contest.problems import Problem, problem_of
from benchmarks.survey.findings import difference, findings, replaces, score, settled
from benchmarks.survey.page import ABOUT, PEER, collected, page, places
from benchmarks.survey.picture import draw
from benchmarks.survey.trials import READING, Trial, request_milliseconds
from benchmarks.survey.ways import BASE, EARLIER, WAYS, Way, ways_for
from softprompt.app.config import RunConfig
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.model.methods.table import METHODS
from softprompt.model.states import Budget, StateStore
from softprompt.testing import tiny


def outcome(name: str, right: str, *, seeds: int = 3, **details: object) -> Outcome:
    told = {"rate": 0.1, "bytes": 4096, "request_ms": 20.5, "live_tokens": 24, **details}
    return Outcome(name, tuple(range(seeds)), (right,) * seeds, (None,) * seeds, Cost(2, 1), Cost(9, 6), 512, told)


# --- ways


def test_every_way_is_a_run_and_no_method_is_forgotten() -> None:
    for way in WAYS.values():
        settings = way.settings({"steps": 5}) | ({"start_from": "earlier"} if way.earlier else {})
        config = RunConfig.parse({"data": {"train": "rows"}, **settings})
        assert (config.method.name, config.template.place) == (way.method["name"], way.place)
    assert {way.method["name"] for way in WAYS.values()} == set(METHODS.own) - {"multitask"}


def test_a_prompt_stands_in_front_of_another_problem() -> None:
    assert all(earlier != problem and earlier in EARLIER for problem, earlier in EARLIER.items())
    assert "progressive" in ways_for("sst2")
    assert set(WAYS) - set(ways_for("another")) == {"progressive"}


# --- findings


tables = st.lists(st.lists(st.booleans(), min_size=10, max_size=10), min_size=3, max_size=3)


@given(tables, tables)
def test_a_difference_is_that_of_the_scores_and_turns_its_sign(first: list, second: list) -> None:
    a, b = np.array(first), np.array(second)
    found, back = difference(a, b), difference(b, a)
    assert found.estimate == pytest.approx(score(a).estimate - score(b).estimate)
    assert (found.low, found.high) == pytest.approx((-back.high, -back.low))
    assert found.low <= found.estimate <= found.high


def test_a_default_is_replaced_by_two_clear_wins_and_no_clear_loss() -> None:
    low, high, same = "10" * 100, "1" * 180 + "0" * 20, "01" * 100
    problems = {
        "a": {"plain": low, "deep": high, "late": high, "residual": same},
        "b": {"plain": low, "deep": high, "late": high, "residual": same},
        "c": {"plain": high, "deep": high, "late": low, "residual": high},
    }
    found = {
        problem: findings({name: outcome(name, right) for name, right in by_way.items()})
        for problem, by_way in problems.items()
    }
    sides = settled(found)
    assert sides["deep"] == {"better": ["a", "b"], "worse": [], "cannot tell": ["c"]}
    assert sides["late"]["worse"] == ["c"]
    assert {name: replaces(by_word) for name, by_word in sides.items()} == {
        "deep": True,
        "late": False,
        "residual": False,
    }


def test_findings_tell_costs_of_one_seed() -> None:
    found = findings({"plain": outcome("plain", "10"), "deep": outcome("deep", "11")})
    assert found["plain"]["difference"] is None
    assert (found["deep"]["probe_seconds"], found["deep"]["train_seconds"]) == (1, 2)
    assert found["deep"]["difference"]["estimate"] == 0.5


# --- page and picture


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """Two ways and the peer on one problem."""
    kept = Work(tmp_path / "toy")
    kept.keep(ABOUT, setting={}, result={"kind": "masked", "parameters": 2_500_000, "dtype": "float32"})
    rows = {"train": 8, "validation": 2, "judged": 20}
    kept.keep("sst2", ABOUT, setting={}, result={"rows": rows})
    kept.keep("sst2", READING, setting={}, result={"tokens": 1234, "texts": 30, "cpu_seconds": 5.0})
    for name, right in {"plain": "10" * 10, "residual": "1" * 20, PEER: "0" * 20}.items():
        kept.keep("sst2", name, setting={"steps": 100}, result=outcome(name, right).to_dict())
    return kept


def test_the_page_says_what_was_found_and_what_is_missing(work: Work) -> None:
    text = page({"toy": collected(work, problems=["sst2", "emotion"])}, pictures={"toy": "t.svg"}, machine="A machine.")
    assert "| residual | 100.0 | [" in text
    assert "+50.0 [" in text
    assert "* residual: better on sst2." in text
    assert "By the rule for a new default (better on two data sets at least, worse on none): none." in text
    assert "* sst2: label vectors alone; deep; late; low rank;" in text
    assert "* emotion: label vectors alone; plain; deep; late; residual;" in text
    assert "sst2 5 s (1,234 tokens)" in text
    assert "8 rows learnt from, 2 that choose, 20 judged." in text


def test_trials_of_different_lengths_stand_in_no_table_together(work: Work) -> None:
    work.keep("sst2", "context", setting={"steps": 50}, result=outcome("context", "1" * 20).to_dict())
    with pytest.raises(ValueError, match=r"trials of \[50, 100\] steps"):
        collected(work, problems=["sst2"])


def test_an_empty_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(SystemExit, match=r"methods\.py: nothing is kept in .*nothing; run without --render first"):
        benchmarks.methods.main(["--render", "--work", str(tmp_path)])


def test_the_picture_has_a_numbered_dot_for_every_way(work: Work) -> None:
    found = collected(work, problems=["sst2"])["ways"]
    drawn = ElementTree.fromstring(draw(found, title="a < b", places=places()))
    dots = list(drawn.iter("{http://www.w3.org/2000/svg}circle"))
    assert len(dots) == 2 * len(found["sst2"])
    width, height = (float(side) for side in drawn.attrib["viewBox"].split()[2:])
    assert all(0 < float(one.attrib["cx"]) < width and 0 < float(one.attrib["cy"]) < height for one in dots)


# --- trials


@pytest.fixture
def problem() -> Problem:
    task = Task.classify(["good", "bad"])
    rows = [Example({"text": f"thing {i}"}, ("good", "bad")[i % 2], id=str(i)) for i in range(40)]
    pool, judged = (Dataset(tuple(part), classes=task.names) for part in (rows[:30], rows[30:]))
    return problem_of("moods", task, pool, judged, rows=20)


def test_a_trial_is_trained_once_and_says_what_it_costs(problem: Problem, tmp_path: Path) -> None:
    backbone, work = tiny(), Work(tmp_path)
    training = {"steps": 2, "probe_steps": 1, "seeds": (0, 1), "rates": (0.1,), "evaluations": 1}
    with StateStore(backbone, Budget()) as store:

        def trial(name: str, way: Way) -> Trial:
            return Trial(backbone, problem, name=name, way=way, training=training, work=work, store=store)

        plain, bare = (trial(name, WAYS[name]) for name in (BASE, "label vectors alone"))
        assert plain.kept() is None
        first, other = plain.outcome(), bare.outcome()
        assert trial(BASE, WAYS[BASE]).outcome() == first
        width = backbone.spec.embed_dim
        assert first.num_trained == 20 * width + other.num_trained
        assert other.num_trained == 2 * backbone.spec.head_dim + 2
        assert first.details["bytes"] == 4 * first.num_trained
        assert first.details["live_tokens"] > other.details["live_tokens"]
        assert json.loads((tmp_path / "moods" / f"{READING}.json").read_text())["result"]["texts"] >= 30
        saved = work.path("moods", BASE, ending=".safetensors")
        with pytest.raises(LookupError, match=r"plain prompt of emotion, which is not kept yet"):
            Trial(
                backbone,
                problem_of("sst2", problem.task, problem.train, problem.judged, rows=10),
                name="progressive",
                way=WAYS["progressive"],
                training=training,
                work=work,
                store=store,
            )
        assert saved.is_file()


def test_a_request_counts_after_two_that_warm_up() -> None:
    asked: list[int] = []
    assert request_milliseconds(asked.append, requests=3) >= 0
    assert asked == [0, 1, 2, 3, 4]
