"""Reports: what stands in them is what the runs left; nothing is compared that cannot be; nobody's text is markup."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

import softprompt as sp
from softprompt.app.recipes.report import report, write_report
from softprompt.app.report.beside import beside
from softprompt.app.report.closer import by_label, calibration, confusion, flips
from softprompt.app.report.document import Report, make_report
from softprompt.app.report.hub import model_card
from softprompt.app.report.sources import Entry, read_entry
from softprompt.core.errors import ConfigError, DataError
from softprompt.core.records import Example
from softprompt.lab.comparison.table import Line
from softprompt.lab.evaluation import evaluate
from softprompt.model.prediction import Prediction
from tests.app.report.runs import (
    EVIL,
    LABELS,
    comparison,
    judged,
    line,
    rows,
    write_comparison,
    write_curve,
    write_run,
)
from tests.app.test_page import outline

DAY = datetime(2026, 1, 2, tzinfo=UTC)


def made(*entries: Entry, **options: Any) -> Report:
    return make_report(entries, now=DAY, **options)


def one(name: str = "tickets", **changes: Any) -> Entry:
    table = comparison(name=name)
    parts = {"name": name, "lines": table.contenders, "reference": table.reference, "metric": table.metric}
    return Entry(**{"path": Path(name), "kind": "comparison", **parts, **changes})


def write_files(folder: Path, **columns: Any) -> Path:
    """A run with its files: the judged rows have columns that no template reads."""
    for name, given in (("train", rows(60)), ("test", rows(66, first=300))):
        lines = [
            {"id": row.id, "text": row.fields["text"], "topic": row.target, **{k: f(n) for k, f in columns.items()}}
            for n, row in enumerate(given)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    run = write_run(folder / "topic", of=(66, 300))
    (run / "config.yaml").write_text(
        f"name: topic\ndata: {{train: {folder / 'train.jsonl'}, test: {folder / 'test.jsonl'}}}\n"
        "task: {target: topic}\n",
        encoding="utf-8",
    )
    return run


def test_a_comparison_says_what_its_table_says(tmp_path: Path) -> None:
    table = comparison()
    document = report([write_comparison(tmp_path / "tickets", table)]).document
    assert document["verdict"] == table.verdict
    assert (
        document["environment"]
        if "environment" in document
        else document["runs"][0]["environment"] == dict(table.environment)
    )
    told = {found["name"]: found for found in document["lines"]}
    assert list(told) == [found.name for found in table.judged]
    for against in table.verdicts:
        assert told[against.name]["against"]["verdict"] == against.verdict
        assert told[against.name]["against"]["difference"] == against.difference.as_dict()
    assert told["soft prompt"]["own"]
    assert len(told["soft prompt"]["by_seed"]) == 3
    assert document["left_out"] == [{"name": "API", "run": "tickets", "why": "the money is spent"}]
    json.dumps(document, allow_nan=False)


def test_two_reports_of_the_same_runs_are_equal_but_for_the_date(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "tickets")
    first, second = report([folder]).document, report([folder]).document
    assert {**first, "created": ""} == {**second, "created": ""}
    again = made(read_entry(folder))
    assert again.to_html() == made(read_entry(folder)).to_html()


def test_the_page_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "tickets")
    write_curve(folder)
    page = report([folder]).to_html()
    found = outline(page)
    assert not {"script", "link", "img", "iframe", "object", "use", "image"} & set(found.tags)
    assert not [pair for pair in found.attributes if pair[0] in {"src", "href", "action"} or pair[0].startswith("on")]
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page
    assert "@media (max-width: 44rem)" in page
    assert page.count('<svg class="chart"') == 3, "cost, curve, reliability"
    assert page.count("matrix") > 2


@pytest.mark.parametrize("form", ["page", "markdown"])
@pytest.mark.parametrize("place", ["text", "label", "line", "warning", "run", "config"])
def test_text_of_others_is_text(place: str, form: str) -> None:
    entry, texts = one(), {}
    match place:
        case "text":
            texts = {row.id: f"{EVIL} {row.id} | `x`" for row in rows()}
        case "label":
            evil = [replace(item, reference=EVIL) for item in entry.lines[0].runs[0].evaluation.items]
            spoilt = [
                replace(
                    found,
                    runs=tuple(replace(r, evaluation=replace(r.evaluation, items=tuple(evil))) for r in found.runs),
                )
                for found in entry.lines
            ]
            entry = replace(entry, lines=tuple(spoilt))
        case "line":
            entry = replace(entry, lines=(line(EVIL, "soft", 0.9), *entry.lines))
        case "warning":
            entry = replace(entry, warnings=(EVIL,))
        case "run":
            entry = replace(entry, name=EVIL)
        case "config":
            entry = replace(entry, config=f"name: {EVIL}\n")
    found = made(entry, texts=texts)
    if form == "page":
        page = found.to_html()
        assert "script" not in outline(page).tags
        assert "alert" in page
        assert "&lt;script&gt;" in page
    else:
        assert "<script" not in found.to_markdown()


def test_a_verdict_of_many_lines_is_counted_and_circles_stand_apart() -> None:
    table = comparison()
    first = one().lines[0]
    own = next(found for found in one().lines if found.name == table.reference)
    names = [f"a text prompt with a long name, number {n}" for n in range(12)]
    many = made(one(lines=(own, *(replace(first, name=name) for name in names))))
    kinds = {line["against"]["verdict"] for line in many.document["lines"] if line["against"]}
    assert len(many.verdict) > 220
    assert len(kinds) == 1
    assert f"Of 12 lines beside {own.name}, 12 " in many.to_html()
    assert many.verdict in many.to_markdown()
    equal = made(one(lines=(own, *(replace(own, name=name) for name in names)))).to_html()
    assert f"None of 12 lines can be told from {own.name} on these rows" in equal
    centres = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="11"/>', many.to_html())
    assert len(centres) == len(set(centres)) == 13


def test_of_many_labels_the_weakest_stand_open() -> None:
    names = [f"label {n:02d}" for n in range(30)]
    task = sp.Task.classify(names)
    asked = [Example({"text": str(n)}, target=names[n % 30], id=str(n)) for n in range(90)]
    said = [Prediction(row.id, names[(n % 30) // 20 * 20], None, 0.5) for n, row in enumerate(asked)]
    run = replace(line("ours", "soft", 0.5).runs[0], evaluation=evaluate(said, asked, task, name="ours", seconds=0.1))
    page = made(one(lines=(replace(line("ours", "soft", 0.5), runs=(run,)),), reference="ours")).to_html()
    open_, folded = page.split("<summary>all 30 labels</summary>")
    assert "The 12 of 30 labels that ours has right least often." in open_
    assert "<td>label 00</td>" not in open_, "it is right there"
    assert open_.count("<td>label ") == 12
    assert folded.count("<td>label ") == 30


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_of_words_can_be_read(scheme: str) -> None:
    """Web Content Accessibility Guidelines 2.2, 1.4.3: a contrast of at least 4.5."""
    sheet = "".join(
        (files("softprompt.app") / place).read_text("utf-8") for place in ("page/base.css", "report/report.css")
    )
    parts = re.findall(r"(@media \(prefers-color-scheme: dark\) \{\s*)?:root \{([^}]*)\}", sheet)
    found: dict[str, str] = {}
    for media, rules in parts:
        if scheme == "dark" or not media:
            found |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6}|\d+%)", rules))
    paper, ink = found["paper"], found["ink"]
    words = ["ink", "soft", "faint", "accent", "good", "bad", *(f"c{n}" for n in range(6))]
    assert {name: _contrast(found[name], paper) for name in words if _contrast(found[name], paper) < 4.5} == {}
    assert _contrast(found["warn"], found["warn-wash"]) > 4.5
    for cell in ("accent", "accent-2"):
        assert _contrast(ink, _mixed(found[cell], paper, int(found["most"][:-1]) / 100)) > 4.5


def _contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _mixed(one: str, other: str, share: float) -> str:
    parts = ((int(one[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in parts)


def test_texts_are_shown_only_where_they_were_given() -> None:
    assert "message 4" not in made(one()).to_html()
    shown = made(one(), texts={row.id: row.fields["text"] for row in rows()})
    assert "message " in shown.to_html()
    assert [found["column"] for found in shown.document["closer"]["slices"]] == ["length"]


def test_long_texts_are_shortened_on_the_page_and_whole_in_the_json() -> None:
    texts = {row.id: "word " * 2000 + "end" for row in rows()}
    document = made(one(), texts=texts)
    assert "word …</td>" in document.to_html()
    assert "word end" not in document.to_html()
    assert any("word end" in row["text"] for row in document.document["closer"]["mistakes"])


def test_written_answers_are_not_called_sure() -> None:
    sure = judged("ours", 0.5)
    unsure = replace(sure, items=tuple(replace(item, probability=None) for item in sure.items))
    heads = []
    for evaluation in (sure, unsure):
        found = line("ours", "soft", 0.5)
        run = replace(found.runs[0], evaluation=evaluation)
        page = made(one(lines=(replace(found, runs=(run,)),), reference="ours")).to_html()
        heads.append(("The surest mistakes of ours" in page, "Answers of ours that are not as wanted" in page))
    assert heads == [(True, False), (False, True)]


def test_runs_on_the_same_rows_become_one_table_and_twins_stand_once(tmp_path: Path) -> None:
    folders = [write_comparison(tmp_path / "tickets"), write_run(tmp_path / "topic")]
    document = report(folders).document
    names = [found["name"] for found in document["lines"]]
    assert names == [
        "tickets: majority",
        "tickets: TF-IDF",
        "tickets: soft prompt",
        "tickets: LoRA",
        "topic: soft prompt",
    ]
    assert document["reference"] == "tickets: soft prompt"
    assert document["same_rows"]
    told = {found["name"]: found["against"] for found in document["lines"]}
    assert told["topic: soft prompt"]["verdict"] in ("better", "worse", "cannot tell")
    assert document["warnings"] == ["topic: few rows"]


def test_runs_on_other_rows_are_not_compared_and_it_is_said(tmp_path: Path) -> None:
    other = comparison(name="other", of=(60, 500))
    folders = [write_comparison(tmp_path / "tickets"), write_comparison(tmp_path / "other", other)]
    found = report(folders)
    assert "different rows" in found.verdict
    assert "none is called better" in found.verdict
    assert all(one["against"] is None for one in found.document["lines"])
    assert found.document["warnings"][0].startswith("different rows judged: 90 rows of tickets: ")
    assert "60 rows of other: " in found.document["warnings"][0]
    page = found.to_html()
    assert "verdict-better" not in page.split("</style>")[1]
    with pytest.raises(DataError, match="need the same rows") as caught:
        report(folders, reference="tickets: LoRA")
    assert caught.value.code == "data.lengths_differ"


def test_another_reference_turns_the_verdicts() -> None:
    table = beside([one()], reference="majority")
    assert {found.name: found.verdict for found in table.against} == {
        "TF-IDF": "better",
        "soft prompt": "better",
        "LoRA": "better",
    }


def test_five_rows_can_show_nothing_and_it_is_said() -> None:
    few = (5, 0)
    lines = (line("a", "soft", 0.99, of=few), line("b", "tfidf", 0.01, of=few))
    table = beside([one(lines=lines, reference="a")])
    assert [found.verdict for found in table.against] == ["cannot tell"]
    assert "can show no difference at all" in table.warnings[0]


def test_a_run_without_baselines_and_an_evaluation_are_reported(tmp_path: Path) -> None:
    found = report([write_run(tmp_path / "alone", baselines=False)]).document
    assert found["verdict"].startswith("soft prompt: accuracy 0.")
    assert found["closer"]["flips"] is None
    path = tmp_path / "scores.json"
    path.write_text(json.dumps([judged("one", 0.7).to_dict(), judged("two", 0.9).to_dict()]), encoding="utf-8")
    document = report([path]).document
    assert [found["name"] for found in document["lines"]] == ["one", "two"]
    assert document["lines"][1]["against"]["verdict"] == "better"


def test_files_are_written_and_those_with_texts_are_private(tmp_path: Path) -> None:
    plain = write_report(made(one()), tmp_path / "plain")
    assert [path.name for path in plain] == ["report.html", "report.json", "report.md"]
    assert all(path.stat().st_size for path in plain)
    shown = write_report(made(one(), texts={row.id: row.fields["text"] for row in rows()}), tmp_path / "shown")
    assert all(path.stat().st_mode & 0o077 == 0 for path in shown)


def test_a_notebook_shows_the_page_in_a_frame() -> None:
    found = made(one())._repr_html_()
    assert found.startswith("<iframe")
    assert "<!doctype" not in found


def test_confusion_counts_rows_and_leaves_sets_out() -> None:
    evaluation = judged("x", 0.7)
    found = confusion(evaluation)
    assert found is not None
    assert sum(map(sum, found["counts"])) == 90
    assert sum(found["counts"][i][i] for i in range(3)) == sum(item.correct for item in evaluation.items)
    withheld = replace(evaluation, items=tuple(replace(item, prediction=None) for item in evaluation.items))
    assert confusion(withheld)["columns"][-1] == "withheld"  # type: ignore[index]
    assert confusion(replace(evaluation, labels=())) is None


def test_calibration_counts_every_row_once() -> None:
    evaluation = judged("x", 0.7)
    found = calibration(evaluation)
    assert found is not None
    assert sum(one["rows"] for one in found["bins"]) == 90
    sure = replace(evaluation, items=tuple(replace(item, probability=0.99) for item in evaluation.items))
    assert "surer than it is right" in calibration(sure)["sentence"]  # type: ignore[index]
    silent = replace(evaluation, items=tuple(replace(item, probability=None) for item in evaluation.items))
    assert calibration(silent) is None


def test_rows_of_a_group_are_no_new_evidence_for_a_label() -> None:
    evaluation = judged("x", 0.7)
    grouped = replace(
        evaluation, items=tuple(replace(item, group=f"g{n % 7}") for n, item in enumerate(evaluation.items))
    )
    (alone,), (together,) = ([by_label({"x": one})[0]["scores"]["x"]] for one in (evaluation, grouped))
    assert together["estimate"] == pytest.approx(alone["estimate"])
    assert (alone["method"], together["method"]) == ("wilson", "bootstrap-bca-clustered")
    bins = calibration(grouped)
    assert bins is not None
    assert all("clustered" in one["right"]["method"] for one in bins["bins"] if one["rows"] > 12)


def test_flips_are_the_four_corners() -> None:
    a, b = judged("a", 0.9, seed=1), judged("b", 0.5, seed=2)
    found = flips(a, b, names=("a", "b"), texts={})
    corners = found["only_first"]["count"], found["only_second"]["count"], found["both_right"], found["both_wrong"]
    assert sum(corners) == 90
    assert found["only_first"]["count"] + found["both_right"] == sum(item.correct for item in a.items)
    for row in found["only_first"]["rows"]:
        assert row["answers"][0] == row["expected"] != row["answers"][1]


def test_the_card_has_front_matter_and_says_what_is_missing() -> None:
    manifest = {
        "name": EVIL,
        "task": {"kind": "classify", "target": "topic", "labels": {name: {} for name in LABELS}},
        "template": {"text": "{text}<soft 4>|{answer}"},
        "method": {"name": "plain"},
        "model": {"id": "tiny", "fingerprint": "f" * 64, "tokenizer": "t", "dtype": "fp32"},
        "scores": [{"metric": "accuracy", "split": "test", "value": 0.8}],
        "created": "2026-01-01",
        "data_hash": "d" * 64,
        "licence": "CC0-1.0",
        "author": "",
        "notes": "",
    }
    card = model_card({"manifest": manifest, "num_bytes": 4096, "content_hash": "c" * 64}, made(one()).document)
    import yaml

    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "CC0-1.0"
    assert "base_model" not in front, "a path of this machine is no model of a hub"
    assert front["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.8
    assert "Not stated yet: author " in card
    assert "<script" not in card.split("---", 2)[2]
    assert '$ softprompt predict PATH --text "..."' in card
    hub = {**manifest, "model": {**manifest["model"], "id": "some/model", "revision": "r" * 40}}  # type: ignore[dict-item]
    card = model_card({"manifest": hub, "num_bytes": 4096, "content_hash": "c" * 64}, made(one()).document)
    assert yaml.safe_load(card.split("---")[1])["base_model"] == "some/model"
    pairs = {**manifest, "config": {"data": {"columns": {"premise": "p", "hypothesis": "h"}}}}
    card = model_card({"manifest": pairs, "num_bytes": 4096, "content_hash": "c" * 64}, made(one()).document)
    assert "$ softprompt predict PATH --input rows.jsonl" in card


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda path: None, "data.no_report"),
        (lambda path: path.mkdir(), "data.no_report"),
        (lambda path: path.write_text("[]"), "data.no_report"),
        (lambda path: path.write_text("{not json"), "data.unreadable"),
        (lambda path: (path.mkdir(), (path / "table.json").write_text('{"schema": 1}')), "data.unreadable"),
        (lambda path: (path.mkdir(), (path / "table.json").write_text('{"schema": 99}')), "data.unknown_schema"),
        (lambda path: (path.mkdir(), (path / "report.json").write_text("{}")), "data.unreadable"),
        (lambda path: (path.mkdir(), (path / "curve.json").write_text("{}")), "data.unknown_schema"),
    ],
    ids=["nothing", "empty", "list", "broken", "table", "schema", "run", "curve"],
)
def test_what_is_no_run_is_refused(tmp_path: Path, spoil: Any, code: str) -> None:
    path = tmp_path / "there"
    spoil(path)
    with pytest.raises(DataError) as caught:
        report([path])
    assert caught.value.code == code
    assert "there" in str(caught.value)


def test_names_that_are_not_there_are_refused() -> None:
    with pytest.raises(ConfigError, match="no line is called 'soft promt'; did you mean 'soft prompt'"):
        made(one(), reference="soft promt")
    with pytest.raises(ConfigError, match="not every line has the score 'bleu'"):
        made(one(), metric="bleu")
    with pytest.raises(ConfigError, match="no run was named"):
        report([])
    with pytest.raises(ConfigError, match="a model card is of one saved prompt"):
        write_report(made(one()), Path("unused-because-refused"), card=True)


def test_rows_of_a_run_are_read_again_for_their_texts(tmp_path: Path) -> None:
    document = report([write_files(tmp_path)], texts=True).document
    assert all(row["text"].startswith("message 3") for row in document["closer"]["mistakes"])


def test_slices_by_columns_that_no_template_reads(tmp_path: Path) -> None:
    run = write_files(
        tmp_path,
        channel=lambda n: "mail" if n < 26 else "chat",
        meta=lambda n: {"language": "de" if n % 2 else None},
        amount=lambda n: n / 2,
    )
    found = report([run], slices=["channel", "meta.language", "amount"])
    by = {one["column"]: one["slices"] for one in found.document["closer"]["slices"]}
    assert [(one["value"], one["rows"]) for one in by["channel"]] == [("chat", 40), ("mail", 26)]
    assert [(one["value"], one["rows"]) for one in by["meta.language"]] == [("(empty)", 33), ("de", 33)]
    assert [one["rows"] for one in by["amount"]] == [23, 22, 21]
    assert set(by["channel"][0]["scores"]) == set(found.document["closer"]["names"])
    assert found.document["closer"]["texts"] is False
    assert "<h3>By channel</h3>" in found.to_html()
    assert "## By meta.language" in found.to_markdown()


def test_slices_that_cannot_be_had_are_refused(tmp_path: Path) -> None:
    run = write_files(tmp_path, channel=lambda n: "mail")
    with pytest.raises(DataError, match=r"the column 'chanel' to slice by is not in the judged rows.*channel") as lost:
        report([run], slices=["chanel"])
    assert lost.value.code == "data.missing_column"
    (run / "config.yaml").unlink()
    with pytest.raises(ConfigError, match="only they say where the rows lie"):
        report([run], slices=["channel"])


def test_the_line_beside_the_reference_can_be_named() -> None:
    assert made(one()).document["closer"]["names"] == ["soft prompt", "LoRA"]
    found = made(one(), beside="TF-IDF").document["closer"]
    assert found["names"] == found["flips"]["names"] == ["soft prompt", "TF-IDF"]
    with pytest.raises(ConfigError, match="no line called 'soft prompt' stands beside 'soft prompt'"):
        made(one(), beside="soft prompt")


def test_scores_of_other_kinds_keep_their_own_scale() -> None:
    rating = sp.Task.score((1, 2, 3, 4, 5))
    asked = [Example({"text": str(n)}, target=n % 5 + 1, id=f"n{n}") for n in range(40)]
    said = [Prediction(row.id, rating.decode([1.0, 0.0, 0.0, 0.0, 0.0], row), None, 1.0) for row in asked]
    run = replace(line("x", "soft", 0.5).runs[0], evaluation=evaluate(said, asked, rating, name="x", seconds=0.1))
    score = run.evaluation.metrics["mae"]
    numbers = Line(name="rated", kind="soft", config={}, key="k", runs=(run,), score=score)
    both = made(one(), one("ratings", lines=(numbers,), reference="rated", metric="mae"))
    told = next(found for found in both.document["lines"] if found["name"].endswith("rated"))
    assert (score.estimate, told["share"]) == (2.0, False)
    page = both.to_html()
    assert re.search(r'<td class="score">2<small>', page), "not 200 per cent"
    assert "What a point costs" not in page, "no axis holds both"
    assert "judged on" not in page.split("</header>")[0].split('class="lead"')[1]
    assert "rated (mae)" in both.to_markdown()
    assert (
        "Further down is better" in made(one("ratings", lines=_two(numbers), reference="rated", metric="mae")).to_html()
    )


def _two(numbers: Line) -> tuple[Line, ...]:
    (run,) = numbers.runs
    cheap = replace(run, cost=replace(run.cost, fit_seconds=9.0))
    return numbers, replace(numbers, name="other", key="o", runs=(cheap,))


def test_many_warnings_do_not_push_the_table_away() -> None:
    few, many = (made(one(warnings=tuple(f"warning {n}" for n in range(count)))).to_html() for count in (4, 9))
    assert "more to read with the numbers" not in few
    assert "6 more to read with the numbers" in many
    assert all(f"Warning {n}<" in many for n in range(9))
