"""What callers may give, and what becomes of it."""

from pathlib import Path

import pytest

import softprompt as sp
from softprompt.app import api
from softprompt.app.api import comparing, tuning, use
from softprompt.app.api.arguments import file_of, model_of, prompts_of, run_of
from softprompt.core.errors import ConfigError
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


def test_without_a_model_the_prompts_name_theirs(model: sp.Backbone) -> None:
    assert model_of(None) == {}
    assert model_of(model) == {"backbone": model}
    assert model_of("./mine")["model"].name == "./mine"
