"""How answers are judged: metrics whose value depends on the items through a sum of vectors, and scores with intervals.

Formulas and sources stand in the docstrings; docs/metrics.md has the overview.
"""

from softprompt.core.metrics.answers import ExactMatch, RougeL, TokenF1, normalise_answer
from softprompt.core.metrics.corpus import Bleu, ChrF
from softprompt.core.metrics.labels import Accuracy, ClassScore, MacroF1, class_report, confusion
from softprompt.core.metrics.probabilities import Brier, CalibrationError, LogLoss, Perplexity
from softprompt.core.metrics.protocol import MeanMetric, Metric
from softprompt.core.metrics.scoring import METRICS, Score, compare, make_metric, score

__all__ = [
    "METRICS",
    "Accuracy",
    "Bleu",
    "Brier",
    "CalibrationError",
    "ChrF",
    "ClassScore",
    "ExactMatch",
    "LogLoss",
    "MacroF1",
    "MeanMetric",
    "Metric",
    "Perplexity",
    "RougeL",
    "Score",
    "TokenF1",
    "class_report",
    "compare",
    "confusion",
    "make_metric",
    "normalise_answer",
    "score",
]
