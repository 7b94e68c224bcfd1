"""Trackers: a run told to MLflow, TensorBoard or Weights & Biases, on request.

One module a tracker behind one protocol (:class:`~softprompt.app.tracking.tracker.Tracker`); a session tells them in
threads of their own, so that a server that is slow or gone costs the run nothing. None of them knows torch or a model.
"""

from softprompt.app.tracking.session import Session
from softprompt.app.tracking.table import TRACKERS, open_trackers
from softprompt.app.tracking.tracker import Numbers, Result, Start, Tracker

__all__ = ["TRACKERS", "Numbers", "Result", "Session", "Start", "Tracker", "open_trackers"]
