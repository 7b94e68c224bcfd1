"""The table of trackers; each is imported when it is asked for."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from softprompt.app.tracking.tracker import Tracker
from softprompt.core.errors import ConfigError, ExtraError, nearest

__all__ = ["TRACKERS", "open_trackers"]

#: Name -> module and class here, package that it needs.
TRACKERS: dict[str, tuple[str, str, str]] = {
    "mlflow": ("softprompt.app.tracking.mlflow", "MlflowTracker", "mlflow-skinny"),
    "tensorboard": ("softprompt.app.tracking.tensorboard", "TensorboardTracker", "tensorboard"),
    "wandb": ("softprompt.app.tracking.wandb", "WandbTracker", "wandb"),
}


def open_trackers(names: Sequence[str]) -> dict[str, Tracker]:
    """The trackers of these names, before anything is computed that they would be told.

    Raises:
        ConfigError: ``config.unknown_name``.
        ExtraError: ``extra.missing``.

    >>> open_trackers(["mlfow"])
    Traceback (most recent call last):
    softprompt.core.errors.ConfigError: no tracker is called 'mlfow'; did you mean 'mlflow'? known: mlflow, ...
    """
    if unknown := [name for name in names if name not in TRACKERS]:
        message = f"no tracker is called {unknown[0]!r}; {nearest(unknown[0], TRACKERS)}"
        raise ConfigError("config.unknown_name", message)
    return {name: _opened(name) for name in dict.fromkeys(names)}


def _opened(name: str) -> Tracker:
    module, kind, package = TRACKERS[name]
    try:
        made: Any = getattr(import_module(module), kind)()
    except ImportError as error:
        if (error.name or "").startswith("softprompt"):
            raise
        raise ExtraError.needs(package, extra="track", purpose=f"track: {name}") from None
    tracker: Tracker = made
    return tracker
