"""How sure a score is: intervals for scores and differences, paired tests, and a verdict in words.

Everything is a pure function of counts or of *sufficient statistics*: each item gives a vector, a score is a function
of the sum of the vectors. So a resample is a matrix product, and macro-F1 and BLEU get intervals as a mean does.

Knows nothing of metrics, prompts or files. Sources stand in the docstrings; docs/metrics.md has the overview.
"""

from softprompt.core.stats.intervals import Interval, Verdict, clopper_pearson, verdict, widened, wilson
from softprompt.core.stats.resampling import Total, bootstrap, paired_bootstrap, paired_permutation
from softprompt.core.stats.significance import clustered_less, holm, mcnemar_exact, minimum_detectable_difference

__all__ = [
    "Interval",
    "Total",
    "Verdict",
    "bootstrap",
    "clopper_pearson",
    "clustered_less",
    "holm",
    "mcnemar_exact",
    "minimum_detectable_difference",
    "paired_bootstrap",
    "paired_permutation",
    "verdict",
    "widened",
    "wilson",
]
