import json
from pathlib import Path
from typing import Any

import pytest

from softprompt.core.errors import DataError
from softprompt.core.tasks import Task
from softprompt.data.dialect import ReadSettings
from softprompt.data.hub import HubId
from softprompt.data.inference import infer_labels
from softprompt.data.reading import File, Reading, read_source
from softprompt.data.sources import load

CHAT = {"messages": [{"role": "user", "content": "2 + 2"}, {"role": "assistant", "content": "4"}]}


def test_a_reading_is_read_once_and_asked_twice(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text;label\nx;a\ny;b\n")
    reading = read_source(path)
    path.unlink()
    task = Task.classify(infer_labels(reading, "label"))
    data = load(reading, task)
    assert data.classes == ("a", "b")
    assert data.notes == ("cells are separated by ';'",)
    assert read_source(reading) is reading


def test_the_same_export_from_a_file_and_from_memory(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps(CHAT))
    task = Task.generate(target="answer")
    from_file, from_memory = load(path, task), load([CHAT], task)
    assert from_file.hash == from_memory.hash
    assert from_file.notes == from_memory.notes
    assert from_file[0].fields == {"prompt": "2 + 2"}
    plain = read_source(File(path, ReadSettings(format="plain")))
    assert plain.entries[0].values == CHAT  # type: ignore[union-attr]


def test_a_named_column_keeps_an_export_as_it_is() -> None:
    data = load([{"instruction": "Add", "output": "4"}], Task.generate(target="output"))
    assert data[0].fields == {"instruction": "Add"}
    assert "because the column 'output' is named" in data.notes[0]


def test_rows_that_an_export_leaves_out_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "prodigy.jsonl"
    hashes = {"_input_hash": 1, "_task_hash": 2}
    rows = [{"text": "x", "label": "A", "answer": verdict, **hashes} for verdict in ("accept", "ignore", "reject")]
    path.write_text("\n".join(map(json.dumps, rows)))
    reading = read_source(path)
    assert len(reading.entries) == 2
    assert reading.notes[-1] == "1 row of the export was left out, as it says"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("hub:reviews", HubId("reviews")),
        ("hub:owner/reviews:test[:10%]", HubId("owner/reviews", None, None, "test[:10%]")),
        ("hub:owner/reviews@refs/pr/1:de:test", HubId("owner/reviews", "refs/pr/1", "de", "test")),
    ],
)
def test_ids_of_the_hub(text: str, found: HubId) -> None:
    assert HubId.parse(text) == found


@pytest.mark.parametrize("text", ["hub:", "hub:a/b/c", "hub:a b", "hub:a:b:c:d"])
def test_ids_that_are_none(text: str) -> None:
    with pytest.raises(DataError, match="names no data set of the hub"):
        HubId.parse(text)


class TestDatasets:
    """With the real library, offline, over a data set that was fetched before: its cache is written here."""

    COMMIT = "a" * 40

    @pytest.fixture
    def datasets(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        datasets = pytest.importorskip("datasets")
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        return datasets

    @pytest.fixture
    def reviews(self, datasets: Any) -> Any:
        label = datasets.ClassLabel(names=["neg", "pos"])
        features = datasets.Features({"text": datasets.Value("string"), "label": label, "tags": datasets.List(label)})
        rows = [{"text": "a", "label": 0, "tags": [0, 1]}, {"text": "b", "label": 1, "tags": []}]
        return datasets.Dataset.from_list([*rows, {"text": "c", "label": -1, "tags": [1]}], features=features)

    @pytest.fixture
    def cached(self, datasets: Any, reviews: Any, tmp_path: Path) -> Any:
        folder = tmp_path / "owner___reviews" / "default" / "0.0.0" / self.COMMIT
        folder.mkdir(parents=True)
        arrow = pytest.importorskip("datasets.arrow_writer")
        writer = arrow.ArrowWriter(features=reviews.features, path=str(folder / "reviews-train.arrow"))
        for row in reviews:
            writer.write(row)
        num_examples, num_bytes = writer.finalize()
        split = datasets.SplitInfo("train", num_bytes=num_bytes, num_examples=num_examples, dataset_name="reviews")
        info = datasets.DatasetInfo(
            features=reviews.features,
            config_name="default",
            dataset_name="reviews",
            builder_name="parquet",
            version="0.0.0",
            splits=datasets.SplitDict({"train": split}),
        )
        info.write_to_directory(str(folder))
        return reviews

    def values(self, reading: Reading) -> list[Any]:
        return [dict(entry.values) for entry in reading.entries]  # type: ignore[union-attr]

    def test_a_loaded_one_gives_its_labels_by_name(self, reviews: Any) -> None:
        reading = read_source(reviews)
        assert self.values(reading) == [
            {"text": "a", "label": "neg", "tags": ["neg", "pos"]},
            {"text": "b", "label": "pos", "tags": []},
            {"text": "c", "label": None, "tags": ["pos"]},
        ]
        assert reading.notes[0] == "the numbers in 'label' are read as its labels neg, pos"

    def test_several_splits_at_once_are_refused(self, datasets: Any, reviews: Any) -> None:
        with pytest.raises(DataError, match=r"holds the splits train, one is needed .*dataset\['train'\]"):
            read_source(datasets.DatasetDict(train=reviews))

    def test_by_id_offline_with_the_commit_told(self, cached: Any) -> None:
        reading = read_source("hub:owner/reviews")
        assert reading.name == "hub:owner/reviews"
        assert self.values(reading) == self.values(read_source(cached))
        assert reading.notes[0] == f"owner/reviews, split train, at commit {self.COMMIT}"
        said = read_source("hub:owner/reviews@main").notes
        assert said[1].startswith("offline: what is kept here was taken, whether or not it is the revision main")

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("hub:owner/reviews:test", "data.unknown_split"),
            ("hub:owner/nothing", "data.not_on_hub"),
            ("hub:owner/reviews:german:train", "data.not_on_hub"),
            (f"hub:owner/reviews@{'b' * 40}", "data.not_on_hub"),
        ],
    )
    def test_what_cannot_be_had(self, cached: Any, text: str, code: str) -> None:
        with pytest.raises(DataError) as caught:
            read_source(text)
        assert caught.value.code == code
        assert len(str(caught.value).splitlines()) == 1
