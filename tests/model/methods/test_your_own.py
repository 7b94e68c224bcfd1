"""The plug-in of docs/methods/your-own.md: registered, found by its entry point, and under the laws."""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import softprompt as sp
from softprompt.app.config import RunConfig
from softprompt.core import plugins
from softprompt.core.errors import ConfigError
from softprompt.model.methods.table import METHODS, parse_method, start_method
from tests.lab.training.small import Interrupt, same, trainer
from tests.model.methods.begun import STARTS

DATA = {"data": {"train": "tickets.csv"}}


@pytest.fixture
def module(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The page's first example as a module that can be imported; nothing of it stays registered."""
    page = (repository / "docs/methods/your-own.md").read_text("utf-8")
    made = ModuleType("my_methods_gains")
    exec(re.findall(r"```python\n(.*?)```", page, re.S)[0], made.__dict__)
    monkeypatch.setitem(sys.modules, made.__name__, made)
    monkeypatch.setattr(METHODS, "_added", {})
    return made


def offer(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """An installed package that offers a method."""
    points = EntryPoints([EntryPoint("gains", value, "softprompt.methods")])
    monkeypatch.setattr(plugins, "entry_points", lambda **asked: points.select(**asked))


def test_the_pages_second_example_runs(module: ModuleType, repository: Path):
    page = (repository / "docs/methods/your-own.md").read_text("utf-8")
    names: dict[str, Any] = dict(vars(module))
    exec(re.findall(r"```python\n(.*?)```", page, re.S)[1], names)
    assert names["settings"].method == module.GainsSettings(shared=False)
    assert names["settings"].model_dump(mode="json")["method"] == {"name": "gains", "shared": False}
    assert RunConfig.parse(names["settings"].model_dump(mode="json")).method.shared is False


def test_an_entry_point_is_imported_when_its_name_is_written(module: ModuleType, monkeypatch: pytest.MonkeyPatch):
    offer(monkeypatch, "my_methods_gains:METHOD")
    assert "gains" in METHODS
    assert not METHODS._added
    assert RunConfig.parse({**DATA, "method": "gains"}).method == module.GainsSettings()
    with pytest.raises(ConfigError, match=r"method: shard: unknown key; did you mean 'shared'"):
        RunConfig.parse({**DATA, "method": {"name": "gains", "shard": True}})


@pytest.mark.parametrize("value", ["my_methods_gone:METHOD", "my_methods_gains:Gone", "my_methods_gains:Gains"])
@pytest.mark.usefixtures("module")
def test_a_broken_plugin_is_told(value: str, monkeypatch: pytest.MonkeyPatch):
    offer(monkeypatch, value)
    with pytest.raises(ConfigError, match=r"gains.*config.bad_plugin"):
        RunConfig.parse({**DATA, "method": "gains"})
    assert parse_method("plain").name == "plain"


def test_our_own_names_are_taken(module: ModuleType):
    class Plainer(module.GainsSettings):
        name: str = "plain"

    with pytest.raises(ConfigError, match=r"one of softprompt's own.*config.name_taken"):
        sp.register_method(module.Gains, Plainer)


def test_settings_without_a_name_are_told(module: ModuleType):
    from softprompt.model.methods.base import MethodSettings

    with pytest.raises(ConfigError, match=r"says no name.*config.bad_plugin"):
        sp.register_method(module.Gains, MethodSettings)


def test_the_example_keeps_the_laws(module: ModuleType, tmp_path: Path):
    sp.register_method(module.Gains, module.GainsSettings)
    sp.register_method(module.Gains, module.GainsSettings)  # as a notebook cell that is run again
    for prompt, begun in zip(start_method(parse_method("gains"), STARTS).materialise(), STARTS, strict=True):
        for slot, vectors in begun.slots.items():
            torch.testing.assert_close(prompt.slots[slot].embed, vectors)
    whole = trainer((0, 1), name="gains").run()
    cut = trainer((0, 1), name="gains", path=tmp_path / "c", on_event=Interrupt(3, KeyboardInterrupt)).run()
    assert not same(cut, whole)
    assert same(trainer((0, 1), name="gains", path=tmp_path / "c").run(), whole)
