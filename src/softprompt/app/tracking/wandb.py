"""Weights & Biases: one run of the project ``softprompt``.

Where it goes is W&B's own matter: ``WANDB_PROJECT``, ``WANDB_ENTITY``, ``WANDB_API_KEY``, and ``WANDB_MODE=offline``
for a folder to be synchronised later. What it would send of its own accord (code, console, machine, its own errors) is
turned off.
"""

import os
import secrets
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read once, on import

import wandb

from softprompt.app.tracking.tracker import Numbers, Result, Start

__all__ = ["WandbTracker"]

PROJECT = "softprompt"


class WandbTracker:
    """A run in W&B."""

    def begin(self, start: Start, known: str | None) -> str:
        start.folder.mkdir(parents=True, exist_ok=True)
        settings = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            x_disable_meta=True,
            x_disable_stats=True,
            login_timeout=1,  # a question in the terminal would wait for an answer
        )
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=start.name,
            id=known or secrets.token_hex(4),
            resume="allow",
            job_type=start.kind,
            dir=str(start.folder),
            config={**start.params, "tags": dict(start.tags)},
            settings=settings,
        )
        for stage in ("probe", "train"):  # their steps count apart
            self._run.define_metric(f"{stage}/step", hidden=True)
            self._run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")
        return str(self._run.id)

    def numbers(self, several: Sequence[Numbers]) -> None:
        for one in several:
            named = {f"{one.stage}/{name}": value for name, value in one.values.items()}
            self._run.log({f"{one.stage}/step": one.step, **named})

    def end(self, result: Result) -> None:
        self._run.summary.update({**result.scores, "state": result.state})
        for path in result.files:
            artifact = wandb.Artifact(f"{path.stem}-{self._run.id}", type="prompt" if path.is_dir() else "page")
            if path.is_dir():
                artifact.add_dir(str(path))
            else:
                artifact.add_file(str(path))
            self._run.log_artifact(artifact)
        self._run.finish(exit_code=1 if result.state == "failed" else 0)
