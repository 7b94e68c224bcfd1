"""A finished comparison is read back while nothing has changed that it depends on, and only then, without its model."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from softprompt.app.config import RunConfig
from softprompt.app.recipes import comparing, folder
from softprompt.app.recipes.compare import CompareReport, compare
from softprompt.app.recipes.sealed import note_look
from softprompt.app.recipes.standing import depends
from softprompt.testing import tiny, tiny_tokenizer

NAMES = ("no", "yes")
TRAINING = {"steps": 2, "probe_steps": 1, "rates": [0.1], "evaluations": 1, "batch_size": 4, "seeds": [0]}


def write_rows(path: Path, *, start: int, count: int) -> None:
    rows = [{"text": f"{NAMES[n % 2]} word {n}", "label": NAMES[n % 2]} for n in range(start, start + count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def place(few_resamples: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rows, a model and a finished comparison of them."""
    place = tmp_path_factory.mktemp("place")
    tiny().model.save_pretrained(place / "model")
    tiny_tokenizer().save_pretrained(place / "model")
    write_rows(place / "train.jsonl", start=0, count=16)
    write_rows(place / "test.jsonl", start=50, count=8)
    run(place)
    return place


def settings(place: Path, **changes: object) -> RunConfig:
    given = {
        "name": "small",
        "output": place / "runs" / "small",
        "model": {"name": str(place / "model"), "dtype": "fp32"},
        "data": {"train": str(place / "train.jsonl"), "test": str(place / "test.jsonl")},
        "training": TRAINING,
        "max_tokens": 64,
        "compare": {"contenders": ["majority", "after"]},
    }
    return RunConfig.parse(given).with_(changes)


def run(place: Path, **changes: object) -> CompareReport:
    return compare(settings(place, **changes))


def stands(place: Path, **changes: object) -> bool:
    """Whether a rerun reads the table back; where it would be put together again, nothing is written."""

    class Asked(Exception):
        pass

    def hold_all(*args: object, **more: object) -> None:
        raise Asked

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparing, "hold_all", hold_all)
        try:
            run(place, **changes)
        except Asked:
            return False
    return True


def undated(place: Path) -> str:
    text = (place / "runs" / "small" / "table.json").read_text("utf-8")
    return text.replace(json.loads(text)["created"], "")


def test_a_rerun_reads_the_table_back_and_changes_nothing_but_its_date(place: Path) -> None:
    before = undated(place)
    assert stands(place)
    assert undated(place) == before
    assert stands(place)  # the new date changes nothing
    (place / "runs" / "small" / "stands.json").unlink()
    again = run(place)  # put together from its lines
    assert again.fresh == ()
    assert undated(place) == before
    assert stands(place)
    told = json.dumps(run(place).table.to_dict())
    assert json.loads(told) == json.loads((place / "runs" / "small" / "table.json").read_text("utf-8"))


def test_it_needs_neither_transformers_nor_scikit_learn(place: Path) -> None:
    (place / "small.yaml").write_text(json.dumps(settings(place).model_dump(mode="json", exclude={"track"})))
    code = f"""
import sys
from softprompt.app.cli import run
assert run(["compare", {str(place / "small.yaml")!r}, "--json"]) == 0
print({{"transformers", "sklearn", "peft"}} & set(sys.modules))
"""
    run(place, **json.loads((place / "small.yaml").read_text()))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
    assert "its table stands" in done.stderr


def changed_file(name: str) -> Callable[[Path, pytest.MonkeyPatch], None]:
    def change(place: Path, patch: pytest.MonkeyPatch) -> None:
        path = place / name
        path.write_bytes(path.read_bytes() + b"\n")

    return change


def another_version(place: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(folder, "version", lambda package: "0.0.0")


def a_line_gone(place: Path, patch: pytest.MonkeyPatch) -> None:
    next((place / "runs" / "small" / "lines").glob("*.json")).unlink()


def a_look(place: Path, patch: pytest.MonkeyPatch) -> None:
    marked = json.loads((place / "runs" / "small" / "stands.json").read_text())
    beside = place / "runs" / "other"
    beside.mkdir()
    note_look(beside, marked["looks"][0], by="evaluate")


def an_edited_table(place: Path, patch: pytest.MonkeyPatch) -> None:
    path = place / "runs" / "small" / "table.json"
    path.write_text(path.read_text("utf-8").replace('"verdict": "', '"verdict": "by hand: ', 1), "utf-8")


def an_unreadable_mark(place: Path, patch: pytest.MonkeyPatch) -> None:
    (place / "runs" / "small" / "stands.json").write_text('{"depends": 1}')


CHANGES = {
    "training rows": changed_file("train.jsonl"),
    "test rows": changed_file("test.jsonl"),
    "weights": changed_file("model/model.safetensors"),
    "tokenizer": changed_file("model/tokenizer.json"),
    "settings kept": changed_file("runs/small/config.yaml"),
    "a kept line": a_line_gone,
    "a package": another_version,
    "a look": a_look,
    "the table": an_edited_table,
    "the mark": an_unreadable_mark,
}


@pytest.mark.parametrize("name", list(CHANGES))
def test_whatever_it_depends_on_is_noticed(place: Path, name: str, tmp_path: Path) -> None:
    files = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    with pytest.MonkeyPatch.context() as patch:
        CHANGES[name](place, patch)
        noticed = not stands(place)
    for path in [path for path in place.rglob("*") if path.is_file() and path not in files]:
        path.unlink()
        path.parent.rmdir()
    for path, content in files.items():
        path.write_bytes(content)
    assert noticed
    assert stands(place)


@pytest.mark.parametrize(
    "changes",
    [
        {"training.steps": 3},
        {"compare.contenders": ["majority", "after", "zero-shot"]},
        {"task.labels": ["no", "yes"]},
        {"model.dtype": "bf16"},
    ],
    ids=["steps", "contender", "labels", "dtype"],
)
def test_other_settings_are_noticed(place: Path, changes: dict[str, object]) -> None:
    assert not stands(place, **changes)


def test_fresh_runs_all_again(place: Path) -> None:
    assert compare(settings(place), fresh=True).fresh == ("majority", "soft prompt after")


def test_a_contender_that_failed_at_its_turn_is_tried_again(place: Path, tmp_path: Path) -> None:
    api = {"kind": "api", "url": "http://127.0.0.1:9/v1", "model": "m", "retries": 0}
    changes = {"output": tmp_path / "a", "compare.contenders": ["majority", api]}
    assert run(place, **changes).table.contenders[1].left_out
    assert not (tmp_path / "a" / "stands.json").exists()
    assert not stands(place, **changes)


def test_what_cannot_be_compared_by_content_leaves_no_mark(place: Path) -> None:
    assert depends(settings(place)) is not None
    assert depends(settings(place), {"train": [{"text": "a", "label": "b"}]}) is None
    for changes in ({"model.name": "owner/name"}, {"data.train": "-"}, {"data.train": "hub:owner/name:train"}):
        assert depends(settings(place, **changes)) is None


def test_a_large_file_is_read_again_only_when_the_system_says_that_it_changed(place: Path, monkeypatch) -> None:
    weights, mark = place / "model" / "model.safetensors", place / "runs" / "small" / "stands.json"
    before = weights.read_bytes()
    read: list[str] = []
    digest = hashlib.file_digest

    def noting(file, name):
        read.append(Path(file.name).name)
        return digest(file, name)

    monkeypatch.setattr("softprompt.app.recipes.standing.hashlib.file_digest", noting)
    monkeypatch.setattr("softprompt.app.recipes.standing.LARGE", len(before))
    monkeypatch.setattr("softprompt.app.recipes.standing.OLD", 3600 * 10**9)
    mark.unlink()
    run(place)
    assert json.loads(mark.read_text())["files"] == {}, "just written: its times say nothing yet"
    monkeypatch.setattr("softprompt.app.recipes.standing.OLD", 0)
    mark.unlink()
    run(place)
    assert list(json.loads(mark.read_text())["files"]) == [str(weights)]
    read.clear()
    assert stands(place)
    assert "model.safetensors" not in read
    assert "train.jsonl" in read
    weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))  # of the same length
    assert not stands(place)
    weights.write_bytes(before)
    assert stands(place)
    mark.write_text(mark.read_text().replace('"files": {', '"files": {"other": 7, '))
    assert stands(place)


def test_data_frames_are_rows_in_memory() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": ["a", "b"], "label": ["x", "y"]})
    assert depends(RunConfig.parse({"data": {"train": "rows"}}), {"train": frame}) is None
