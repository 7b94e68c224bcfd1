"""What callers may give, and what becomes of it."""

from pathlib import Path

import pytest

import softprompt as sp
from softprompt.app import api
from softprompt.app.api import comparing, tuning, use
from softprompt.app.api.arguments import file_of, model_of, prompts_of, rows_or_skip, run_of
from softprompt.core.errors import ConfigError, DataError
from softprompt.data.sources import File
from softprompt.testing import tiny


@pytest.fixture(scope="module")
def model() -> sp.Backbone:
    return tiny()


def test_the_calls_are_those_of_the_library() -> None:
    calls = {*comparing.__all__, *tuning.__all__, *use.__all__, "load_model", "wrap"}
    assert set(api.__all__) == calls
    assert calls <= set(sp.__all__)
    assert all(getattr(sp, name) is getattr(api, name) for name in calls)


def test_a_loaded_model_gives_its_name_and_rows_theirs(model: sp.Backbone) -> None:
    task = sp.Task.classify(["no", "yes"])
    parts = {"train": [{"text": "Hi", "label": "yes"}], "validation": Path("some.csv"), "test": None}
    config, sources, backbone = run_of(task, parts, model, {"data": {"on_bad_row": "skip"}})
    assert (config.model.name, backbone) == (model.spec.name, model)
    assert set(sources) == {"train", "validation"}
    assert (config.data.train, config.data.on_bad_row) == ("<list>", "skip")
    assert config.task.build() == task


def test_a_named_model_keeps_its_other_settings() -> None:
    config, _, backbone = run_of(None, {"train": "rows.csv"}, "./mine", {"model": {"dtype": "fp32"}})
    assert (config.model.name, config.model.dtype, backbone) == ("./mine", "fp32", None)
    with pytest.raises(ConfigError, match=r"config.unknown_key"):
        run_of(None, {"train": "rows.csv"}, "./mine", {"epochs": 3})


def test_settings_of_reading_are_for_files() -> None:
    rows = [{"text": "Hi"}]
    assert file_of(rows, {"encoding": "cp1252"}) is rows
    assert file_of("rows.csv", None) == "rows.csv"
    found = file_of("rows.csv", {"encoding": "cp1252"})
    assert isinstance(found, File)
    assert found.settings.encoding == "cp1252"


def test_one_prompt_is_a_list_of_one() -> None:
    assert prompts_of("runs/one") == ["runs/one"]
    assert prompts_of(("runs/one", Path("two"))) == ["runs/one", Path("two")]


@pytest.mark.parametrize(("given", "said"), [([], "the list is empty"), (None, "nothing came"), (["a", 5], "type int")])
def test_what_is_no_prompt_is_named(given: object, said: str) -> None:
    with pytest.raises(ConfigError, match=f"a saved prompt is needed, and .*{said}"):
        prompts_of(given)


def test_a_run_folder_stands_for_its_prompt(tmp_path: Path) -> None:
    (tmp_path / "prompt").mkdir()
    assert prompts_of(str(tmp_path)) == [str(tmp_path)]
    (tmp_path / "prompt" / "manifest.json").write_text("{}")
    assert prompts_of([str(tmp_path)]) == [tmp_path / "prompt"]


def test_other_arguments_of_a_wrong_kind_are_named() -> None:
    with pytest.raises(DataError, match=r"rows are needed, and what came is of type int \[data.bad_source"):
        file_of(5, None)
    with pytest.raises(ConfigError, match="a task is needed, or its settings, and what came is of type str"):
        run_of("classify", {"train": "rows.csv"}, "embedded", {})
    with pytest.raises(ConfigError, match="model: name: input should be a valid string, got 5"):
        model_of(5)
    with pytest.raises(ConfigError, match="on_bad_row is 'error' or 'skip', got 'leave'"):
        rows_or_skip("leave")
    with pytest.raises(DataError, match=r"there is no file 'Where is it'.*texts stand in a list"):
        sp.predict("prompt", "Where is it")


def test_without_a_model_the_prompts_name_theirs(model: sp.Backbone) -> None:
    assert model_of(None) == {}
    assert model_of(model) == {"backbone": model}
    assert model_of("./mine")["model"].name == "./mine"
