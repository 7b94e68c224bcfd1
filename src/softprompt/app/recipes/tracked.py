"""What trackers are told of a run or an evaluation: plain data from what recipes have at hand."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from softprompt.app.recipes.prepare import Prepared
from softprompt.app.tracking import Result, Session, Start, open_trackers
from softprompt.app.tracking.tracker import flat
from softprompt.app.watch import Watcher
from softprompt.data.dataset import Dataset
from softprompt.lab.evaluation import Evaluation
from softprompt.model.prompts.prompt import Prompt

__all__ = ["result_of", "scores_of", "start_of", "track_evaluation"]

#: Where trackers that write files keep evaluations.
EVALUATIONS = Path("runs/evaluations")

#: Of the run folder, what a tracker keeps. report.json stays here: it holds the outcome of every row.
FILES = ("prompt", "report.html", "curves.svg", "config.yaml", "environment.json")


def start_of(ready: Prepared) -> Start:
    """A tuning that begins."""
    config, spec = ready.config, ready.backbone.spec
    settings = {
        **config.model_dump(mode="json", exclude={"output", "track"}),
        "task": ready.task.model_dump(mode="json", by_alias=True),
        "template": ready.template.to_dict(),
        "training": ready.training.model_dump(mode="json"),
        "answers": ready.answers.model_dump(mode="json"),
    }
    tags = {"model": spec.name, "fingerprint": spec.fingerprint, "data_hash": ready.splits["train"].hash}
    return Start(config.name, "tune", config.folder, flat(settings), {**tags, "softprompt": version("softprompt")})


def result_of(report: Mapping[str, Any]) -> Result:
    """A tuning that ended, from its report."""
    folder = Path(report["folder"])
    state: Literal["finished", "stopped"] = "stopped" if report["interrupted"] else "finished"
    scores = scores_of(report["evaluation"], report["split"])
    if report["held_out"] is not None and report["split"] == "test":
        scores |= scores_of(report["held_out"], "out of fold")
    scores |= {"seconds": float(report["seconds"]["total"])}
    return Result(state, scores, [folder / name for name in FILES if (folder / name).exists()])


def scores_of(evaluation: Mapping[str, Any], split: str) -> dict[str, float]:
    """Scores and their bounds by path; what is not finite has none.

    >>> found = {"estimate": 0.5, "low": 0.4, "high": None}
    >>> scores_of({"metrics": {"accuracy": found}, "calibration": {}}, "out of fold")
    {'out-of-fold/accuracy': 0.5, 'out-of-fold/accuracy/low': 0.4}
    """
    found = {}
    for metric, interval in {**evaluation["metrics"], **evaluation["calibration"]}.items():
        for end, bound in (("", "estimate"), ("/low", "low"), ("/high", "high")):
            if interval[bound] is not None:
                found[f"{split.replace(' ', '-')}/{metric}{end}"] = float(interval[bound])
    return found


def track_evaluation(
    names: Sequence[str], evaluation: Evaluation, prompt: Prompt, rows: Dataset, *, watcher: Watcher
) -> None:
    """Tell of one evaluation of a saved prompt: a run of its own, found by the prompt's hash.

    Trackers that write files write them below ``runs/evaluations``.

    Args:
        names: Of the trackers.
        evaluation: How well it answers.
        prompt: What was judged.
        rows: That judged it.
        watcher: Told of failures.

    Raises:
        ConfigError: ``config.unknown_name``.
        ExtraError: ``extra.missing``.
    """
    manifest = prompt.manifest
    params = {"prompt": manifest.name, "data": rows.name, "rows": str(len(rows))}
    tags = {
        "model": manifest.model.id,
        "fingerprint": manifest.model.fingerprint,
        "prompt_hash": prompt.content_hash,
        "data_hash": rows.hash,
        "softprompt": version("softprompt"),
    }
    folder = EVALUATIONS / f"{prompt.content_hash[:8]}-{rows.hash[:8]}"
    start = Start(f"evaluate {manifest.name}", "evaluate", folder, params, tags)
    with Session(open_trackers(names), start, watcher) as session:
        session.end(Result("finished", scores_of(evaluation.to_dict(), "evaluation")))
