"""How answers are judged: metrics whose value depends on the items through a sum of vectors, and scores with intervals.

Formulas and sources stand in the docstrings; docs/metrics.md has the overview.
"""

from softprompt.core.metrics.answers import ExactMatch, RougeL, TokenF1, normalise_answer
from softprompt.core.metrics.corpus import Bleu, ChrF
from softprompt.core.metrics.labels import Accuracy, ClassScore, MacroF1, class_report, confusion
from softprompt.core.metrics.numbers import Mae, Rmse, Spearman
from softprompt.core.metrics.objects import FieldF1, FieldPrecision, FieldRecall, WholeObject, field_report
from softprompt.core.metrics.probabilities import Brier, CalibrationError, LogLoss, Perplexity
from softprompt.core.metrics.protocol import MeanMetric, Metric
from softprompt.core.metrics.scoring import METRICS, Score, compare, items_of, make_metric, score, significance
from softprompt.core.metrics.sets import HammingLoss, MicroF1, SubsetAccuracy

__all__ = [
    "METRICS",
    "Accuracy",
    "Bleu",
    "Brier",
    "CalibrationError",
    "ChrF",
    "ClassScore",
    "ExactMatch",
    "FieldF1",
    "FieldPrecision",
    "FieldRecall",
    "HammingLoss",
    "LogLoss",
    "MacroF1",
    "Mae",
    "MeanMetric",
    "Metric",
    "MicroF1",
    "Perplexity",
    "Rmse",
    "RougeL",
    "Score",
    "Spearman",
    "SubsetAccuracy",
    "TokenF1",
    "WholeObject",
    "class_report",
    "compare",
    "confusion",
    "field_report",
    "items_of",
    "make_metric",
    "normalise_answer",
    "score",
    "significance",
]
