"""A comparison from settings to its folder: divided rows, table, ledger, reruns, and what is refused or said."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import softprompt as sp
from softprompt.app.config import RunConfig
from softprompt.app.recipes import comparing
from softprompt.app.recipes.compare import compare
from softprompt.app.recipes.ledger import enter, entries
from softprompt.app.recipes.report import report as make_report
from softprompt.app.recipes.report import write_report
from softprompt.app.recipes.runs import runs
from softprompt.core.errors import ConfigError, DataError, SoftpromptError
from softprompt.lab.comparison import ComparisonTable
from softprompt.lab.comparison.settings import PlainEntrantSettings
from softprompt.testing import tiny

BACKBONE = tiny()
WORDS = {"no": "alpha", "yes": "beta"}
QUICK = {"steps": 3, "probe_steps": 2, "rates": [0.1, 0.3], "evaluations": 1, "batch_size": 4, "seeds": [0, 1]}


def rows(count, start=0):
    names = list(WORDS)
    return [{"text": f"{WORDS[names[n % 2]]} {n}", "label": names[n % 2]} for n in range(start, start + count)]


def run(
    folder,
    contenders=("majority", "after", "ensemble"),
    *,
    train=None,
    test=None,
    fresh=False,
    backbone=BACKBONE,
    **compare_,
):
    config = RunConfig.parse(
        {
            "name": "small",
            "output": folder,
            "data": {"train": "given"},
            "training": QUICK,
            "max_tokens": 64,
            "model": {"name": "no/such-model"},
            "compare": {"contenders": list(contenders), **compare_},
        }
    )
    given = {"train": rows(24) if train is None else train, **({} if test is None else {"test": test})}
    return compare(config, sources=given, backbone=backbone, fresh=fresh)


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    return run(folder), (folder / "table.json").read_text()


def test_the_folder_holds_the_table_the_prompts_and_a_line_in_the_ledger(held):
    report, text = held
    table = ComparisonTable.from_dict(json.loads(text))
    assert table == report.table
    assert [line.name for line in table.judged] == ["majority", "soft prompt after", "ensemble of seeds"]
    assert table.reference == "soft prompt after"
    assert {one.name for one in table.verdicts} == {"majority", "ensemble of seeds"}
    assert {name: part["count"] for name, part in table.rows.items()} == {"train": 12, "validation": 5, "test": 7}
    assert table.environment["model"]["fingerprint"] == BACKBONE.spec.fingerprint
    soft, ensemble = table.contenders[1:]
    assert ensemble.runs[0].cost.fit_seconds > sum(run.cost.fit_seconds for run in soft.runs)
    for seed in (0, 1):
        prompt = sp.load(report.folder / "prompts" / f"soft prompt after-seed{seed}")
        assert prompt.manifest.placement == "after"
    noted = entries(report.folder.parent)
    assert [one["contender"] for one in noted] == ["majority", "soft prompt after", "ensemble of seeds"]
    assert all(one["run"] == "first" and one["score"]["estimate"] >= 0 for one in noted)
    (listed,) = runs(report.folder.parent)
    assert (listed.state, listed.metric, listed.split) == ("finished", "macro_f1", "test")


def test_a_rerun_changes_nothing_but_the_date(held):
    report, text = held
    again = run(report.folder)
    assert again.fresh == ()
    rewritten = (report.folder / "table.json").read_text()
    first, second = json.loads(text)["created"], json.loads(rewritten)["created"]
    assert first <= second
    assert text.replace(f'"created": "{first}"', "") == rewritten.replace(f'"created": "{second}"', "")
    assert len(entries(report.folder.parent)) == 3


def test_a_rerun_changes_no_byte_of_the_report_but_the_date(held):
    def written(name):
        made = make_report([report.folder])
        day = made.document["created"]
        files = write_report(made, report.folder / name)
        return [path.read_text("utf-8").replace(day, "").replace(day[:10], "") for path in files]

    report, _ = held
    before = written("one")
    run(report.folder)
    assert written("two") == before


def test_a_further_contender_runs_alone_and_looks_are_counted(held):
    report, _ = held
    more = run(report.folder, ("majority", "after", "ensemble", "zero-shot"), reference="majority")
    assert more.fresh == ("zero-shot text prompt",)
    assert more.table.reference == "majority"
    assert any("test rows seen 2 times" in one for one in more.table.warnings)


def test_fresh_runs_all_again(tmp_path):
    run(tmp_path / "a", ("majority",))
    assert run(tmp_path / "a", ("majority",)).fresh == ()
    assert run(tmp_path / "a", ("majority",), fresh=True).fresh == ("majority",)


def test_test_rows_that_stand_in_train_are_refused_unless_forced_and_then_said(tmp_path):
    test = [{"text": "ALPHA 0!", "label": "no"}, *rows(9, 50)]
    with pytest.raises(DataError, match="1 of 10 test rows also stand in train") as error:
        run(tmp_path / "a", ("majority",), test=test)
    assert error.value.code == "data.test_in_train"
    assert "--force" in str(error.value)
    assert not (tmp_path / "a" / "table.json").exists()
    with pytest.raises(DataError, match="1 of 10 test rows"):  # and nobody waits for a model to be told so
        run(tmp_path / "a", ("majority",), test=test, backbone=None)
    forced = run(tmp_path / "a", ("majority",), test=test, force=True).table
    assert any("1 of 10 test rows also stand in train" in one and "forced" in one for one in forced.warnings)
    assert forced.rows["train"]["count"] + forced.rows["validation"]["count"] == 23


@pytest.mark.parametrize(("count", "said"), [(4, "no difference could be shown"), (20, "are few: only differences of")])
def test_too_few_rows_for_a_verdict_are_said(tmp_path, count, said):
    table = run(tmp_path / "a", ("majority", "zero-shot"), test=rows(count, 50)).table
    assert any(said in one for one in table.warnings)


def test_two_seeds_are_few_and_that_is_said(held, tmp_path):
    assert any("two seeds hardly tell" in one for one in held[0].table.warnings)
    assert not any("seeds" in one for one in run(tmp_path / "a", ("majority",)).table.warnings)


def test_where_nobody_can_take_part_it_is_an_error_and_no_empty_table(tmp_path):
    task = {"kind": "generate", "target": "label"}
    config = {"output": tmp_path / "a", "data": {"train": "given"}, "task": task, "max_tokens": 64}
    config["compare"] = {"contenders": ["tfidf", "embeddings"]}
    with pytest.raises(ConfigError, match="nobody takes part") as error:
        compare(RunConfig.parse(config), sources={"train": rows(24)}, backbone=BACKBONE)
    assert error.value.code == "config.unsupported_method"
    assert "embeddings + logistic regression: it cannot do tasks of kind generate" in error.value.message
    assert "none: then those that fit take part" in str(error.value)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("groups", "said"),
    [(4, "12 test rows in 4 groups: no difference could be shown"), (8, "12 test rows in 8 groups are few: only")],
)
def test_rows_of_one_group_are_counted_as_what_they_show(tmp_path, groups, said):
    test = [{**row, "customer": f"t{n % groups}"} for n, row in enumerate(rows(12, 50))]
    train = [{**row, "customer": f"c{n}"} for n, row in enumerate(rows(24))]
    data = {"train": "given", "roles": {"group": "customer"}}
    config = RunConfig.parse(
        {"output": tmp_path / "a", "data": data, "max_tokens": 64, "compare": {"contenders": ["majority"]}}
    )
    table = compare(config, sources={"train": train, "test": test}, backbone=BACKBONE).table
    assert any(one.startswith(said) for one in table.warnings)


def test_a_contender_that_fails_stays_in_the_table_and_nobody_else_suffers(tmp_path):
    api = {"kind": "api", "url": "http://127.0.0.1:9/v1", "model": "m", "key_env": "NO_SUCH_KEY_IS_SET"}
    report = run(tmp_path / "a", (api, {"kind": "soft", "template": "{text} is {answer}"}, "majority"))
    reasons = [line.left_out for line in report.table.contenders]
    assert "NO_SUCH_KEY_IS_SET is not set" in reasons[0]
    assert "no soft slot" in reasons[1]
    assert reasons[2] == ""
    assert report.table.verdict == "majority stands alone: there is nothing to compare it with"
    assert "NO_SUCH_KEY_IS_SET" in json.dumps(report.table.config)


def test_a_reference_without_numbers_is_replaced_and_said(tmp_path):
    lost = {"kind": "soft", "template": "{text} is {answer}", "name": "ours"}
    table = run(tmp_path / "a", (lost, "majority"), reference="ours").table
    assert table.reference == "majority"
    assert any("'ours' has no numbers: majority stands in its place" in one for one in table.warnings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"contenders": ["tfidff"]}, "did you mean 'tfidf'"),
        ({"contenders": ["majority", "majority"]}, "two contenders are called 'majority'"),
        ({"contenders": ["majority"], "reference": "nobody"}, "no contender is called 'nobody'"),
        (
            {"contenders": ["after", {"kind": "ensemble", "of": "before"}]},
            "no soft prompt is called 'before'; known: soft",
        ),
        ({"budget": {"steps": 3, "minutes": 1}}, "exclude each other"),
        ({"contenders": [{"kind": "api", "url": "ftp://x", "model": "m"}]}, "url"),
        ({"contenders": [{"kind": "api", "url": "http://x", "model": "m"}], "max_usd": 1}, "max_usd needs the prices"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        RunConfig.parse({"data": {"train": "a.csv"}, "compare": settings})


def test_who_takes_part_unasked_fits_a_template_that_is_written_out():
    stage = comparing.default_entrants
    chosen = []

    def noting(on, *, places):
        chosen.extend(one.called for one in stage(on, places=places) if one.called.startswith("soft"))
        return (PlainEntrantSettings(kind="majority"),)

    for template in ("{text}<soft 2> is {answer}", None):
        with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
            patch.setattr(comparing, "default_entrants", noting)
            config = RunConfig.parse(
                {
                    "output": folder,
                    "data": {"train": "given"},
                    "max_tokens": 64,
                    "training": QUICK,
                    **({"template": template} if template else {}),
                }
            )
            compare(config, sources={"train": rows(24)}, backbone=BACKBONE)
    assert chosen == ["soft prompt", "soft prompt before", "soft prompt after"]


def test_where_it_writes():
    config = RunConfig.parse({"name": "tickets", "data": {"train": "a.csv"}})
    assert config.beside("compare") == Path("runs") / "tickets-compare"
    assert config.with_({"output": "here"}).beside("compare") == Path("here")


def test_the_ledger_takes_lines_and_skips_what_is_none(tmp_path):
    enter(tmp_path / "a", {"score": 1.0})
    with (tmp_path / "ledger.jsonl").open("a") as file:
        file.write('{"half\n[]\n')
    enter(tmp_path / "b", {"score": 2.0})
    assert [(one["run"], one["score"]) for one in entries(tmp_path)] == [("a", 1.0), ("b", 2.0)]
    assert entries(tmp_path / "nowhere") == []
    enter(tmp_path / "no" / "such" / "folder", {})


def test_from_python(tmp_path):
    report = sp.compare(
        train=rows(20), model=BACKBONE, contenders=["majority"], output=str(tmp_path / "p"), max_tokens=64
    )
    assert report.fresh == ("majority",)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"shots": 2}, "compare.contenders.0: 'kind' is missing, got {'shots': 2}"),
        (3, "compare.contenders.0: input should be a mapping of keys, got 3"),
        (
            {"kind": "lora", "rnk": 2},
            "compare.contenders.0.lora.rnk: unknown key; did you mean 'rank'? "
            "known: alpha, kind, name, rank, rates, targets",
        ),
    ],
)
def test_a_fault_of_a_contender_names_what_its_own_kind_knows(wrong: object, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig.parse({"data": {"train": "rows"}, "compare": {"contenders": [wrong]}})
    assert caught.value.message == told


def test_runs_of_a_report_may_be_a_list() -> None:
    for named, code in (([], "config.usage"), (["nowhere"], "data.no_report")):
        with pytest.raises(SoftpromptError) as caught:
            sp.report(named)
        assert caught.value.code == code
