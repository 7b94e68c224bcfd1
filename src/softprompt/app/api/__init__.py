"""The dozen calls of ``import softprompt as sp``: the recipes with arguments that one can guess."""

from softprompt.app.api.comparing import compare, curve, report
from softprompt.app.api.tuning import data_page, plan, sweep, tune, tune_together
from softprompt.app.api.use import ensemble, evaluate, examine, load, predict
from softprompt.model.backbones.loading import load as load_model
from softprompt.model.backbones.loading import wrap

__all__ = [
    "compare",
    "curve",
    "data_page",
    "ensemble",
    "evaluate",
    "examine",
    "load",
    "load_model",
    "plan",
    "predict",
    "report",
    "sweep",
    "tune",
    "tune_together",
    "wrap",
]
