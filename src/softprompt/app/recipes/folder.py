"""The run folder: what was asked, where it ran, what happened, what came out.

config.yaml        the resolved settings
environment.json   versions, machine, model
log.jsonl          one line an event
curves.svg         loss and score by step
report.json        scores, baselines, times
report.html        the same as a page to open or to send
prompt/            the saved prompt
suspects.csv       training rows whose label is probably wrong (with folds)
test-looks.jsonl   a line for every time that test rows were scored
skipped.*.jsonl    bad rows that were left out
tracking.json      what trackers call the run (with track)
*.checkpoint       to go on after a kill; removed when the run is complete
second/            the same of a second round of training
teachers/          the same of the prompts that teach several tasks
"""

import json
import platform
import sys
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

import torch
import yaml

from softprompt.app.config import RunConfig
from softprompt.core.errors import ConfigError
from softprompt.core.files import write_private, write_whole
from softprompt.core.machine import num_cores
from softprompt.lab.distillation import TEACHERS
from softprompt.model.backbones.base import Spec

__all__ = ["SECOND", "RunFolder", "environment", "installed", "machine", "settings_text"]

#: Where a second round of training keeps its checkpoints and decisions.
SECOND = "second"


def settings_text(config: RunConfig) -> str:
    """The settings of a run as its folder keeps them: all but where it lies and who is told of it.

    >>> settings_text(RunConfig.parse({"name": "topic", "data": {"train": "rows.csv"}})).splitlines()[:2]
    ['name: topic', 'model:']
    """
    settings = config.model_dump(mode="json", exclude={"output", "track"})
    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)


class RunFolder:
    """Files of one run.

    Args:
        path: The folder; made when it is not there.
        config: Of the run; a folder with another run's settings is refused.
        fresh: Throw away what an unfinished run left.

    Raises:
        ConfigError: ``config.run_exists``: another run or a finished one stands there.
    """

    def __init__(self, path: Path, config: RunConfig, *, fresh: bool = False) -> None:
        self.path = path
        text = settings_text(config)
        there = path / "config.yaml"
        if fresh:
            for old in (there, path / "log.jsonl", path / "tracking.json"):
                old.unlink(missing_ok=True)
            _forget_training(path)
        elif _finished(path / "report.json"):
            raise ConfigError(
                "config.run_exists",
                f"{path} holds a finished run",
                cure="name another output, or run again with --fresh",
            )
        elif there.exists() and there.read_text("utf-8") != text:
            raise ConfigError(
                "config.run_exists",
                f"{path} holds an unfinished run with other settings",
                cure="name another output, restore the settings to go on, or start anew with --fresh",
            )
        write_whole(there, text.encode())
        self._log = (path / "log.jsonl").open("a", encoding="utf-8", newline="\n")

    def log(self, kind: str, **facts: Any) -> None:
        """One line in log.jsonl."""
        line = {"time": round(time.time(), 3), "event": kind, **facts}
        self._log.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
        self._log.flush()

    def write(self, name: str, content: Mapping[str, Any] | str) -> None:
        """A whole file: JSON from a mapping, text as it is."""
        text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False, default=str)
        write_whole(self.path / name, text.encode("utf-8"))

    def write_private(self, name: str, text: str) -> None:
        """A file with texts of the rows, for its owner alone (0600)."""
        write_private(self.path / name, text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()

    def complete(self) -> None:
        """The run needs no checkpoints any more."""
        _forget_training(self.path)


def _forget_training(path: Path) -> None:
    """Remove what a training could go on from, of all its rounds."""
    rounds = (path / SECOND, path / TEACHERS)
    for folder in (path, *rounds):
        for old in (*folder.glob("*.checkpoint"), folder / "decided.json", folder / "spent.json"):
            old.unlink(missing_ok=True)
    for folder in rounds:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _finished(report: Path) -> bool:
    """Whether a whole run stands there; one that was cut short may go on."""
    try:
        return not json.loads(report.read_text("utf-8")).get("interrupted")
    except FileNotFoundError:
        return False
    except ValueError:  # not ours to overwrite
        return True


def installed(package: str) -> str | None:
    """Version of a package; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def machine(device: torch.device) -> dict[str, Any]:
    """Versions, system and processors: what a run's numbers depend on besides its settings and its model."""
    packages = ("softprompt", "torch", "transformers", "tokenizers", "safetensors", "numpy", "scikit-learn")
    return {
        "packages": {name: found for name in packages if (found := installed(name))},
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "cpus": num_cores(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    }


def environment(spec: Spec) -> dict[str, Any]:
    """What a run's numbers depend on besides its settings."""
    return {
        **machine(spec.device),
        "model": {
            "name": spec.name,
            "revision": spec.revision,
            "family": spec.family,
            "parameters": spec.num_parameters,
            "dtype": str(spec.dtype).removeprefix("torch."),
            "device": str(spec.device),
            "fingerprint": spec.fingerprint,
        },
    }
