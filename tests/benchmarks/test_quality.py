"""The contest of benchmarks/quality.py and adopt.py, on a model of two layers and a page of rows."""

import json
import random
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import benchmarks.adopt
import benchmarks.quality
from benchmarks.contest import bootstrap
from benchmarks.contest.outcomes import Cost, Outcome, Work
from benchmarks.contest.peft_tuning import PeftTuning, Setting
from benchmarks.contest.plan import CONTENDERS, DOCUMENTED, Plan, Recipe
from benchmarks.contest.problems import Problem, example, problem_of, public
from benchmarks.contest.report import page, report_of
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.loading import load
from softprompt.model.backbones.weights.fingerprint import fingerprint
from softprompt.testing import tiny

WORDS = {"good": ("fine", "lovely", "great"), "bad": ("awful", "broken", "late")}


def rows(count: int, *, seed: int = 0) -> tuple[Example, ...]:
    rng = random.Random(seed)
    labels = [list(WORDS)[i % 2] for i in range(count)]
    return tuple(
        Example({"text": f"{rng.choice(WORDS[label])} thing {seed}-{i}"}, label, id=f"{seed}-{i}")
        for i, label in enumerate(labels)
    )


@pytest.fixture
def problem() -> Problem:
    task = Task.classify(list(WORDS))
    pool, judged = Dataset(rows(40), classes=task.names), Dataset(rows(20, seed=1), classes=task.names)
    return problem_of("moods", task, pool, judged, rows=30)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model as users have theirs: in a folder, with its tokenizer."""
    folder = tmp_path_factory.mktemp("model")
    backbone = tiny()
    backbone.model.save_pretrained(folder)
    backbone.tokenizer._source.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def backbone(model_folder: Path) -> Backbone:
    return load(str(model_folder), dtype="fp32")


@pytest.fixture
def peft(backbone: Backbone, problem: Problem, tmp_path: Path) -> Iterator[PeftTuning]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT warns of what it sets itself
        setting = Setting(steps=4, batch_size=8, vectors=5, looks=2)
        yield PeftTuning(backbone, problem, setting=setting, work=Work(tmp_path))


# --- rows


def test_no_judged_text_is_learnt_from() -> None:
    task = Task.classify(list(WORDS))
    shared = tuple(Example({"text": one.fields["text"].upper()}, one.target) for one in rows(10))
    problem = problem_of("leak", task, Dataset(rows(30), classes=task.names), Dataset(shared), rows=30)
    seen = {one.fields["text"] for part in (problem.train, problem.validation) for one in part}
    assert len(seen) == 20
    assert not seen & {one.fields["text"] for one in rows(10)}


def test_the_example_data_is_divided_the_same_way_every_time() -> None:
    first, again = (example("topic", rows=100) for _ in range(2))
    assert (first.train.hash, first.validation.hash) == (again.train.hash, again.validation.hash)
    assert (len(first.train), len(first.validation), len(first.judged)) == (80, 20, 200)


def test_public_data_that_is_not_there_is_skipped_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"train\.jsonl is not there; set SOFTPROMPT_SHARED"):
        public("sst2", rows=10, folder=tmp_path)
    monkeypatch.setenv("SOFTPROMPT_SHARED", str(tmp_path))
    problems, skipped = benchmarks.quality.problems_of(["example topic", "sst2"], rows=50)
    assert [one.name for one in problems] == ["example topic"]
    assert "sst2" in skipped


# --- intervals


tables = st.integers(1, 5).flatmap(
    lambda seeds: st.lists(st.lists(st.booleans(), min_size=12, max_size=12), min_size=seeds, max_size=seeds)
)


@given(tables, tables)
def test_a_difference_is_the_difference_of_the_means_and_lies_in_its_interval(a: list, b: list) -> None:
    first, second = np.array(a), np.array(b)
    found = bootstrap.difference(first, second)
    assert found.estimate == pytest.approx(first.mean() - second.mean())
    assert found.low <= found.estimate <= found.high


def test_luck_of_the_seeds_widens_the_interval() -> None:
    lucky = np.array([[True] * 300, [False] * 300])
    found = bootstrap.score(lucky)
    assert (found.low, found.estimate, found.high) == (0.0, 0.5, 1.0)
    steady = np.tile(np.arange(300) % 2 == 0, (2, 1))
    assert bootstrap.score(steady).high < 0.6


def test_what_is_hard_for_both_cancels_out() -> None:
    hard = np.arange(200) % 2 == 0
    better = hard | (np.arange(200) % 20 == 1)
    alone, paired = bootstrap.score(better[None]), bootstrap.difference(better[None], hard[None])
    assert paired.low > 0
    assert paired.high - paired.low < alone.high - alone.low


# --- kept results


def test_a_result_of_another_setting_is_made_again(tmp_path: Path) -> None:
    work = Work(tmp_path)
    assert work.once("moods", "TEXT-0.03", setting={"steps": 1}, make=lambda: {"score": 1}) == {"score": 1}
    assert work.once("moods", "TEXT-0.03", setting={"steps": 1}, make=lambda: {"score": 2}) == {"score": 1}
    assert work.find("moods", "TEXT-0.01", setting={"steps": 1}) is None
    assert work.once("moods", "TEXT-0.03", setting={"steps": 2}, make=lambda: {"score": 3}) == {"score": 3}


def test_rendering_makes_nothing_and_overlooks_changed_defaults(tmp_path: Path) -> None:
    Work(tmp_path).keep("moods", "after", setting={"rows": 1, "training": {"rate": 1}}, result={"score": 1})
    rendered = Work(tmp_path, only_kept=True)
    new = {"rows": 1, "training": {"rate": 2}}
    assert Work(tmp_path).find("moods", "after", setting=new) is None
    assert rendered.once("moods", "after", setting=new, make=dict) == {"score": 1}
    for names, setting in ((("moods", "before"), new), (("moods", "after"), new | {"rows": 2})):
        with pytest.raises(LookupError, match="was not kept"):
            rendered.once(*names, setting=setting, make=dict)


# --- PEFT


def test_peft_and_the_judging_code_agree_and_the_model_stays_frozen(peft: PeftTuning, backbone: Backbone) -> None:
    before = fingerprint(backbone.model)
    runs = [peft.run(recipe, 0) for recipe in (DOCUMENTED, Recipe("TEXT", 0.01), Recipe("SAMPLE_VOCAB", 0.01))]
    assert max(run["engine_differs_by"] for run in runs) < 1e-3
    assert fingerprint(backbone.model) == before
    assert not backbone.model.training


def test_peft_learns_and_its_best_is_chosen_on_the_validation_rows(peft: PeftTuning) -> None:
    peft.setting = Setting(steps=60, batch_size=8, vectors=5, looks=4)
    grid = (Recipe("TEXT", 1e-9), Recipe("TEXT", 0.1))
    found = peft.best((0, 1), grid=grid)
    idle, learnt = (peft.run(recipe, 0) for recipe in grid)
    assert found.details["recipe"] == "TEXT-0.1"
    assert learnt["validation_loss"] < idle["validation_loss"] - 1
    assert found.validation[0] == learnt["validation"]
    assert found.table.shape == (2, 20)
    assert found.search.cpu_seconds == pytest.approx(sum(idle[part]["cpu_seconds"] for part in ("learning", "looking")))


def test_a_training_that_was_kept_is_not_run_again(peft: PeftTuning, monkeypatch: pytest.MonkeyPatch) -> None:
    first = peft.documented((0,))

    def never(recipe: Recipe, seed: int) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(peft, "_train", never)
    assert peft.documented((0,)) == first
    with pytest.raises(AssertionError, match="trained again"):
        peft.documented((0, 1))


# --- report


def outcome(name: str, right: str, *, seeds: int = 5) -> Outcome:
    return Outcome(
        name, tuple(range(seeds)), (right,) * seeds, (None,) * seeds, Cost(2, 1), Cost(4, 2), 5, {"note": "x"}
    )


def test_losses_are_reported_like_wins(backbone: Backbone, problem: Problem) -> None:
    marks = {"after": "1" * 10 + "0" * 10, "before": "1" * 20, "peft_best": "1" * 19 + "0", "tfidf": "1" * 20}
    found = {problem.name: {name: outcome(name, right) for name, right in marks.items()}}
    report = report_of(
        title="Test", backbone=backbone, problems=[problem], plan=Plan(), found=found, skipped={"x": "gone"}
    )
    assert report["problems"][0]["target_reached"] == {"after": False, "before": True}
    text = page(report, picture="test.svg")
    assert "-45.0 [-65.0, -25.0] worse" in text
    assert "ours, after the text: met on 0 of 1 data sets; missed on moods." in text
    assert "ours, before the text: met on 1 of 1 data sets." in text
    assert "* x: gone" in text


# --- the commands


def test_anybody_can_repeat_it_on_a_model_and_a_file(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "mails.jsonl"
    lines = [{"body": one.fields["text"], "mood": one.target, "id": one.id} for one in rows(60)]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    work = tmp_path / "work"
    arguments = ["--model", str(model_folder), "--data", str(data), "--target", "mood", "--text", "body", "--quick"]
    arguments += ["--work", str(work), "--dtype", "fp32", "--device", "cpu"]
    benchmarks.adopt.main(arguments)
    report = json.loads((work / "mails.json").read_text())
    (contested,) = report["problems"]
    assert list(contested["contenders"]) == list(CONTENDERS)
    assert contested["rows"]["judged"] == 18
    assert all(len(one["right"][0]) == 18 for one in contested["contenders"].values())
    ElementTree.fromstring((work / "mails.svg").read_text())
    assert capsys.readouterr().out.strip() == str(work / "mails.md")
    stamps = {path: path.stat().st_mtime_ns for path in work.rglob("mood/*")}
    benchmarks.adopt.main(arguments)
    assert {path: path.stat().st_mtime_ns for path in work.rglob("mood/*")} == stamps
    (work / "mood" / "after.json").unlink()
    benchmarks.adopt.main([*arguments, "--render"])
    (contested,) = json.loads((work / "mails.json").read_text())["problems"]
    assert list(contested["contenders"]) == [name for name in CONTENDERS if name != "after"]


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "rows.csv"
    data.write_text("text,label\nhello,a\nbye,b\n")
    with pytest.raises(SystemExit) as stop:
        benchmarks.adopt.main(["--model", "embedded", "--data", str(data), "--target", "lable"])
    assert stop.value.code == 2
    assert "label" in capsys.readouterr().err
