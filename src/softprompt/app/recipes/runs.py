"""The runs of a folder, from the files they left; reads no model and needs no torch.

A run folder is written by :mod:`softprompt.app.recipes.folder`. Here it is only looked at, and whatever is missing or
damaged in one run is said of that run and keeps no other from being listed.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from softprompt.core.errors import DataError

__all__ = ["RunSummary", "is_run", "prompt_at", "runs", "summary"]

RunState = Literal["finished", "stopped", "unfinished", "damaged"]

CONFIG, REPORT, LOG, PROMPT = "config.yaml", "report.json", "log.jsonl", "prompt"

#: Of a comparison; written when all its lines stand.
TABLE = "table.json"


@dataclass(frozen=True)
class RunSummary:
    """One run in a line.

    Attributes:
        name: Of its folder.
        folder: Where it is.
        state: ``finished``; ``stopped``: cut short, its best prompt kept; ``unfinished``: under way or killed;
            ``damaged``: its report cannot be read.
        changed: When its last file was written, UTC.
        resumes: Whether a checkpoint is there to go on from.
        seconds: It took; None while unfinished.
        split: Which rows the score is of.
        metric: The score that decides.
        score: ``estimate``, ``low`` and ``high``; None while unfinished.
        prompt: The saved prompt, where there is one.
    """

    name: str
    folder: Path
    state: RunState
    changed: datetime
    resumes: bool = False
    seconds: float | None = None
    split: str | None = None
    metric: str | None = None
    score: Mapping[str, Any] | None = None
    prompt: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        paths = {"folder": str(self.folder), "prompt": None if self.prompt is None else str(self.prompt)}
        return {**asdict(self), **paths, "changed": self.changed.isoformat(timespec="seconds")}


def prompt_at(path: Path) -> Path:
    """The saved prompt at a path; of a run folder the one in it.

    >>> prompt_at(Path("nowhere/topic.zip")).as_posix()
    'nowhere/topic.zip'
    """
    run = not (path / "manifest.json").exists() and (path / PROMPT / "manifest.json").is_file()
    return path / PROMPT if run else path


def is_run(folder: Path) -> bool:
    """Whether a folder is one of a run."""
    return (folder / CONFIG).is_file() and any((folder / name).is_file() for name in (LOG, REPORT, TABLE))


def runs(folder: Path = Path("runs")) -> list[RunSummary]:
    """The runs directly below a folder, the latest first; none where the folder does not exist yet.

    Raises:
        DataError: ``data.not_a_file`` for a path that is no folder.
    """
    if folder.exists() and not folder.is_dir():
        message = "this is a file, a folder of runs is needed"
        raise DataError("data.not_a_file", message, cure="softprompt show PATH for one saved prompt").at(str(folder))
    found = [summary(path) for path in folder.iterdir() if is_run(path)] if folder.is_dir() else []
    return sorted(found, key=lambda run: run.changed, reverse=True)


def summary(folder: Path) -> RunSummary:
    """What one run folder says of itself."""
    there = [path.stat().st_mtime for name in (CONFIG, LOG, REPORT, TABLE) if (path := folder / name).is_file()]
    changed = datetime.fromtimestamp(max(there), UTC)
    prompt = folder / PROMPT if (folder / PROMPT).exists() else None
    resumes = any(folder.glob("*.checkpoint"))
    if (folder / TABLE).is_file():
        return _comparison(folder, changed)
    if not (folder / REPORT).is_file():
        return RunSummary(folder.name, folder, "unfinished", changed, resumes=resumes, prompt=prompt)
    try:
        report = json.loads((folder / REPORT).read_text("utf-8"))
        state: RunState = "stopped" if report.get("interrupted") else "finished"
        seconds = float(report["seconds"]["total"])
        if "targets" in report:  # several tasks, each a run of its own below
            return RunSummary(folder.name, folder, state, changed, resumes=resumes, seconds=seconds)
        metric, score = next(iter(report["evaluation"]["metrics"].items()))
        return RunSummary(
            name=folder.name,
            folder=folder,
            state=state,
            changed=changed,
            resumes=resumes,
            seconds=seconds,
            split=str(report["split"]),
            metric=metric,
            score={bound: score[bound] for bound in ("estimate", "low", "high")},
            prompt=prompt,
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration):
        return RunSummary(folder.name, folder, "damaged", changed, resumes=resumes, prompt=prompt)


def _comparison(folder: Path, changed: datetime) -> RunSummary:
    """What a comparison says of itself: the score of its reference, which all others stand beside."""
    try:
        table = json.loads((folder / TABLE).read_text("utf-8"))
        lines = {line["name"]: line for line in table["contenders"]}
        score = lines[table["reference"]]["score"] if table["reference"] else None
        costs = [run["cost"] for line in lines.values() for run in line["runs"]]
        return RunSummary(
            name=folder.name,
            folder=folder,
            state="finished",
            changed=changed,
            seconds=sum(cost["fit_seconds"] + cost["predict_seconds"] for cost in costs),
            split="test",
            metric=str(table["metric"]),
            score=None if score is None else {bound: score[bound] for bound in ("estimate", "low", "high")},
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return RunSummary(folder.name, folder, "damaged", changed)
