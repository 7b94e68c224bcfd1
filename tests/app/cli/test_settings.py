"""Flags, ``--set`` and files become one mapping of settings."""

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from softprompt.app.cli import check, data, template, tune
from softprompt.app.cli.options import KEYS, changes_in, changes_of, columns_of
from softprompt.app.cli.settings import parse_labels, parse_seconds, parse_sets, read_config, with_changes
from softprompt.app.config import RunConfig
from softprompt.app.yaml import parse_yaml
from softprompt.core.errors import ConfigError

FILE = """
name: mine
model: embedded
data: {train: rows.csv, columns: {text: body}}
task: {labels: [yes, no]}
training: {steps: 9, effort: quick}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_file_flags_and_set_give_the_same_run(path: Path) -> None:
    flags = changes_of(
        ["training.steps=9"],
        name="mine",
        model="embedded",
        train="rows.csv",
        text_column="body",
        labels="yes,no",
        effort="quick",
    )
    sets = ["name=mine", "data.train=rows.csv", "data.columns={text: body}", "task.labels=[yes, no]"]
    sets += ["training.steps=9", "training.effort=quick", "model=embedded"]
    assert read_config(path, {}) == read_config(None, flags) == read_config(None, changes_of(sets))


def test_flags_win_over_the_file_and_set_over_flags(path: Path) -> None:
    config = read_config(path, changes_of(["training.steps=3"], effort="thorough", dtype="fp32", seed=[4]))
    assert (config.training.steps, config.training.effort, config.training.seeds) == (3, "thorough", (4,))
    assert (config.model.name, config.model.dtype) == ("embedded", "fp32")
    assert changes_of(["training.effort=quick"], effort="thorough")["training.effort"] == "quick"


@pytest.mark.parametrize(
    ("command", "others"),
    [
        (tune.tune, {"dry_run", "fresh"}),
        (check.check, {"rows"}),
        (data.page, set()),
        (data.check, set()),
        (template.check, {"row"}),
    ],
)
def test_every_option_of_a_run_sets_its_key(command: Callable[..., None], others: set[str]) -> None:
    names = set(inspect.signature(command).parameters) - {"config", "read", "sets", "as_json"} - others
    given = changes_in(dict.fromkeys(names, "1") | {"rows": 3})
    assert sorted(given) == sorted(KEYS[name] for name in names)


def test_options_that_were_not_given_change_nothing() -> None:
    assert changes_in({"seed": [], "track": [], "train": None, "folds": ""}) == {"data.folds": ""}
    assert changes_in({"output": Path("runs") / "a"}) == {"output": str(Path("runs") / "a")}


def test_names_come_from_the_file_or_the_rows(path: Path) -> None:
    path.write_text("data: {train: rows.csv}", encoding="utf-8")
    assert read_config(path, {}).name == "run"
    assert read_config(None, changes_of(train="in/tickets.train.csv.gz", target="topic")).name == "tickets-topic"


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ("training.stps=1", "config.unknown_key", "did you mean 'steps'"),
        ("trainin.steps=1", "config.unknown_key", "did you mean 'training'"),
        ("training.steps=many", "config.invalid", "training.steps"),
        ("training.steps=[1", "config.unreadable", "--set training.steps:1:"),
        ("training.steps", "config.usage", "KEY=VALUE"),
        ("=1", "config.usage", "KEY=VALUE"),
        ("training..steps=1", "config.usage", "KEY=VALUE"),
        ("method=residul", "config.unknown_name", "did you mean 'residual'"),
        ("method=dept", "config.unsupported_method", "use low_rank or plain"),
        ("method={name: low_rank, rnk: 3}", "config.unknown_key", "did you mean 'rank'? known: name, rank"),
        ("method=progressive", "config.invalid", "it is in_front here [config.invalid]"),
    ],
)
def test_wrong_settings_are_named(path: Path, change: str, code: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(path, changes_of([change]))
    assert caught.value.code == code
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"template": "{text}<soft 3> is {answer}"},
        {"template": {"chat": {"user": "{text}<soft 3>"}}},
        {"template": {"keep": "windows"}},
        {"task": {"kind": "generate", "decoding": {"num_beams": 4}}},
        {"task": {"targets": ["topic", "tone"]}},
        {"task": {"kind": "score", "scale": [1, 5]}},
        {"training": {"rates": [0.1, 0.3], "seeds": [1, 2]}},
        {"sweep": {"space": {"rate": [0.1, 0.3]}}},
        {"compare": {"contenders": ["after", "few-shot", "{text} {answer}"], "budget": {"steps": 3}}},
    ],
    ids=["none", "text", "chat", "keep", "beams", "targets", "scale", "training", "sweep", "compare"],
)
def test_settings_that_a_run_wrote_are_read_again_as_they_were(changes: dict[str, object]) -> None:
    config = RunConfig.parse({"data": {"train": "rows.csv"}, **changes})
    written = yaml.safe_dump(config.model_dump(mode="json", exclude={"output", "track"}), allow_unicode=True)
    again = RunConfig.parse(parse_yaml(written))
    assert again.model_dump(mode="json") == config.model_dump(mode="json")


def test_a_wrong_item_does_not_make_its_list_too_short_as_well() -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig.parse({"data": {"train": "a.csv"}, "compare": {"contenders": [{"kind": "soft", "lenght": 4}]}})
    assert caught.value.message.startswith("compare.contenders.0.soft.lenght: unknown key; did you mean 'length'?")
    assert caught.value.code == "config.unknown_key"
    with pytest.raises(ConfigError, match=r"compare.contenders: 1 item or more wanted, got \[\]"):
        RunConfig.parse({"data": {"train": "a.csv"}, "compare": {"contenders": []}})


def test_all_faults_are_reported_at_once_with_the_file(path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(path, {"training.steps": 0, "model.dtype": "fp8", "nme": "x"})
    text = str(caught.value)
    assert text.startswith(f"{path}: 3 faults")
    assert all(part in text for part in ("training.steps", "model.dtype", "did you mean 'name'"))


def test_nothing_given_is_a_usage_error() -> None:
    with pytest.raises(ConfigError, match="neither a settings file nor --train") as caught:
        read_config(None, {})
    assert caught.value.code == "config.usage"


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5h", 5400), ("10 min", 600), (".5m", 30)])
def test_times(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-3", "10 parsecs", "1e3"])
def test_no_times(text: str) -> None:
    with pytest.raises(ConfigError, match="is no time"):
        parse_seconds(text)


def test_labels_with_texts_for_some_only() -> None:
    assert parse_labels(" a , b,") == ["a", "b"]
    assert parse_labels("a=x=y, b=z") == {"a": "x=y", "b": "z"}
    with pytest.raises(ConfigError, match="'b' has no answer text"):
        parse_labels("a=x,b")


def test_set_keeps_a_text_that_looks_like_yaml() -> None:
    assert parse_sets(["template.text='{text}<soft 5> It was {answer}'"]) == {
        "template.text": "{text}<soft 5> It was {answer}"
    }


def test_short_forms_grow_and_the_file_is_not_touched() -> None:
    data = {"template": "{text} {answer}", "method": "residual", "name": "n"}
    grown = with_changes(data, {"template.keep": "tail", "method.bottleneck": 2})
    assert grown == {
        "template": {"text": "{text} {answer}", "keep": "tail"},
        "method": {"name": "residual", "bottleneck": 2},
        "name": "n",
    }
    assert data["template"] == "{text} {answer}"


def test_columns() -> None:
    assert columns_of(None) is None
    assert columns_of(["question=q", "context=c d"]) == {"question": "q", "context": "c d"}
    with pytest.raises(ConfigError, match="names no field and column"):
        columns_of(["question"])
