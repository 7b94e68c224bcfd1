"""A command line to call in a folder of its own, rows to give it, and saved prompts for the embedded model."""

import json
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from softprompt.app.cli import run
from softprompt.app.config import RunConfig
from softprompt.app.recipes.prepare import prepare
from softprompt.app.recipes.saved import make_prompt
from softprompt.core.tensors import PromptTensors, SlotTensors
from softprompt.model.prompts.manifest import Score

ROWS = [{"id": str(n), "text": f"{word} {n}", "label": word} for n in range(20) for word in ("good", "bad")]


@dataclass(frozen=True)
class Done:
    """What a command left: exit status, stdout, stderr."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document that stdout must be."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The JSON lines on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run a command line in an empty folder, without a terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOFTPROMPT_CACHE", str(tmp_path / "cache"))
    for name in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE", "SOFTPROMPT_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str | Path) -> Done:
        capsys.readouterr()
        status = run([str(argument) for argument in arguments])
        return Done(status, *capsys.readouterr())

    return call


def write_rows(path: Path, rows: Sequence[dict[str, Any]] = ROWS) -> Path:
    """Rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """40 rows of two labels."""
    return write_rows(tmp_path / "rows.jsonl")


@pytest.fixture(scope="session")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two saved prompts of the embedded model with random vectors: ``good`` (a folder) and ``tone`` (a zip file)."""
    folder = tmp_path_factory.mktemp("prompts")
    train = str(write_rows(folder / "rows.jsonl"))
    paths = {"good": folder / "good", "tone": folder / "tone.zip"}
    for seed, (name, path) in enumerate(paths.items()):
        settings = {"name": name, "data": {"train": train}, "template": {"text": "{text}<soft 4> It was {answer}"}}
        ready = prepare(RunConfig.parse({**settings, "answers": {"form": "words"}, "licence": "CC0-1.0"}))
        values = torch.randn(4, ready.backbone.spec.embed_dim, generator=torch.Generator().manual_seed(seed))
        tensors = PromptTensors({"soft": SlotTensors(embed=0.02 * values)})
        scores = [Score(metric="accuracy", split="test", value=0.75, low=0.6, high=0.86, num_items=40)]
        make_prompt(ready, tensors, scores=scores).save(path)
    return paths


@pytest.fixture(scope="session")
def reply(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved prompt of the embedded model that writes, without vectors."""
    folder = tmp_path_factory.mktemp("reply")
    task = {"kind": "generate", "target": "label", "max_new_tokens": 5}
    settings = {"name": "reply", "data": {"train": str(write_rows(folder / "rows.jsonl"))}, "task": task}
    ready = prepare(RunConfig.parse({**settings, "template": {"text": "{text} It was {answer}"}}))
    return make_prompt(ready, PromptTensors()).save(folder / "reply")


def interruptible(words: list[str], **options: Any) -> subprocess.Popen[str]:
    """A process that hears Ctrl-C, also where tests run in the background, whose children inherit deafness to it."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return subprocess.Popen(words, **options)
    finally:
        signal.signal(signal.SIGINT, before)
