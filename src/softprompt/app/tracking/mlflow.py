"""MLflow: one run of the experiment ``softprompt``, by its client, without its global state.

Where runs go is MLflow's own matter: ``MLFLOW_TRACKING_URI`` (a server or a database) and ``MLFLOW_EXPERIMENT_NAME``.
Its usage reports are turned off, and a server that does not answer is given up soon rather than after minutes.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from softprompt.app.tracking.tracker import Numbers, Result, Start

__all__ = ["MlflowTracker"]

#: What a user has set stays.
DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}
EXPERIMENT = "softprompt"
MOST_PARAMS, MOST_METRICS, MOST_CHARACTERS = 100, 1000, 6000  #: of one request, and of a value
STATES = {"finished": "FINISHED", "stopped": "FINISHED", "failed": "FAILED"}


class MlflowTracker:
    """A run in MLflow."""

    def __init__(self) -> None:
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of its tables
        self._id = ""
        self._resumed = False
        self._last: dict[str, int] = {}

    def begin(self, start: Start, known: str | None) -> str:
        self._client = MlflowClient()
        if known is not None and self._is_there(known):
            self._id, self._resumed = known, True
            self._client.update_run(known, status="RUNNING")
            return known
        tags = {f"softprompt.{name}": value for name, value in {"kind": start.kind, **start.tags}.items()}
        self._id = str(self._client.create_run(self._experiment(), run_name=start.name, tags=tags).info.run_id)
        params = [Param(name, value[:MOST_CHARACTERS]) for name, value in start.params.items()]
        for first in range(0, len(params), MOST_PARAMS):
            self._client.log_batch(self._id, params=params[first : first + MOST_PARAMS])
        return self._id

    def numbers(self, several: Sequence[Numbers]) -> None:
        metrics = [
            Metric(f"{one.stage}/{name}", value, int(1000 * one.time), one.step)
            for one in several
            for name, value in one.values.items()
            if one.step > self._told(f"{one.stage}/{name}")
        ]
        for first in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(self._id, metrics=metrics[first : first + MOST_METRICS])

    def end(self, result: Result) -> None:
        for name, value in result.scores.items():
            self._client.log_metric(self._id, name, value)
        for path in result.files:
            if path.is_dir():
                self._client.log_artifacts(self._id, str(path), path.name)
            else:
                self._client.log_artifact(self._id, str(path))
        self._client.log_batch(self._id, tags=[RunTag("softprompt.state", result.state)])
        self._client.set_terminated(self._id, STATES[result.state])

    def _experiment(self) -> str:
        """Its id; made where it is not there yet."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        local = str(self._client.tracking_uri).startswith("sqlite:")  # its artifacts go beside the database
        place = Path("mlartifacts").absolute().as_uri() if local else None
        return str(self._client.create_experiment(name, artifact_location=place))

    def _is_there(self, known: str) -> bool:
        """Whether a run can be gone on with: the store may be another one now."""
        try:
            return str(self._client.get_run(known).info.lifecycle_stage) == "active"
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise

    def _told(self, name: str) -> int:
        """The last step that an earlier process told of a number; -1 for none."""
        if not self._resumed:
            return -1
        if name not in self._last:
            history = self._client.get_metric_history(self._id, name)
            self._last[name] = max((point.step for point in history), default=-1)
        return self._last[name]
