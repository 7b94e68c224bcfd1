"""The comparisons on public data: rows drawn once and apart, settings that fit them, pages and a picture of tables."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.comparisons.page import page
from benchmarks.comparisons.picture import picture
from benchmarks.comparisons.rows import PARTS, SETS, draw
from benchmarks.rig.rows import rows_in
from softprompt.app.config import RunConfig
from softprompt.app.yaml import read_yaml
from tests.app.report.runs import comparison

SETTINGS = Path(__file__).parents[2] / "benchmarks" / "comparisons"


def shared(folder: Path) -> Path:
    """Small stand-ins for the public sets: some texts stand in two parts, some restaurants are described twice."""
    for name, count in (("sst2", 700), ("e2e_nlg", 700)):
        place = folder / "data" / "tasks" / name
        place.mkdir(parents=True)
        for part, first in (("train", 0), ("validation", 500), ("test", 600)):
            numbers = range(first, first + count)
            labelled = [{"text": f"Text {n}", "label": "no"} for n in numbers]
            told = [{"mr": f"name[{n // 2}]", "ref": f"Place {n}."} for n in numbers]
            text = "\n".join(map(json.dumps, labelled if name == "sst2" else told))
            (place / f"{part}.jsonl").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(("name", "key"), [("sst2", "text"), ("e2e_nlg", "mr")])
def test_rows_are_drawn_alike_and_stand_on_one_side(tmp_path: Path, name: str, key: str) -> None:
    place = shared(tmp_path / "shared")
    for folder in ("one", "two"):
        draw(name, tmp_path / folder, shared=place)
    parts = {part: (tmp_path / "one" / f"{part}.jsonl").read_text("utf-8") for part in PARTS}
    assert parts == {part: (tmp_path / "two" / f"{part}.jsonl").read_text("utf-8") for part in PARTS}
    keys = [row[key] for part in PARTS for row in rows_in(tmp_path / "one" / f"{part}.jsonl")]
    assert len(keys) == len(set(keys))


def test_rows_that_are_there_stay(tmp_path: Path) -> None:
    for part in PARTS:
        (tmp_path / f"{part}.jsonl").write_text("{}\n", encoding="utf-8")
    draw("topic", tmp_path)
    assert (tmp_path / "train.jsonl").read_text("utf-8") == "{}\n"


@pytest.mark.parametrize("name", SETS)
def test_the_settings_of_every_set_can_be_read(name: str) -> None:
    path = SETTINGS / f"{name}.yaml"
    assert path.read_text("utf-8").startswith("# ")
    config = RunConfig.parse(read_yaml(path), where=str(path))
    assert config.name == name
    assert config.compare.reference in {one.called for one in config.compare.contenders or ()}


def test_a_page_says_what_the_table_says() -> None:
    table = comparison().to_dict()
    table["environment"] = {
        "cpus": 2,
        "packages": {"torch": "2"},
        "model": {"name": "m", "fingerprint": "ab", "dtype": "fp32"},
    }
    text = page(table, "# Which team?\nname: tickets\n")
    assert text.startswith("# tickets\n\nWhich team? Made by `python benchmarks/compare.py tickets`.")
    assert "| soft prompt | reference |" in text
    assert "| API | the money is spent |" in text
    assert "```yaml\nname: tickets\n```" in text
    assert "energy" not in text.split("## What it costs")[1].splitlines()[2], "nobody knows it: no column"


def test_a_picture_has_a_dot_a_line_and_is_whole() -> None:
    table = comparison().to_dict()
    drawn = ElementTree.fromstring(picture({"a < b": table, "c": table}))
    assert sum(one.tag.endswith("circle") for one in drawn.iter()) == 2 * 4
