"""How sure a score is: intervals for scores and differences, paired tests, and a verdict in words.

Everything is a pure function of counts or of *sufficient statistics*: each item gives a vector, a score is a function
of the sum of the vectors. So a resample is a matrix product, and macro-F1 and BLEU get intervals as a mean does.

    intervals      of a proportion, and the verdict in words
    resampling     bootstrap and permutation of any score, alone and paired
    seeds          scores of several seeds on the same rows: both kinds of luck counted
    significance   McNemar's tests, groups, several comparisons at once
    power          what a number of rows can show, and how many rows would decide

Knows nothing of metrics, prompts or files. Sources stand in the docstrings; docs/statistics.md has the overview.
"""

from softprompt.core.stats.intervals import Interval, Verdict, clopper_pearson, unseen_share, verdict, widened, wilson
from softprompt.core.stats.power import minimum_detectable_difference, rows_for, rows_needed, rows_to_decide
from softprompt.core.stats.resampling import Total, bootstrap, paired_bootstrap, paired_permutation, share_of
from softprompt.core.stats.seeds import Estimate, difference_over_seeds, mean_over_seeds, seeds_then_items, t_interval
from softprompt.core.stats.significance import clustered_less, holm, mcnemar_exact, mcnemar_midp

__all__ = [
    "Estimate",
    "Interval",
    "Total",
    "Verdict",
    "bootstrap",
    "clopper_pearson",
    "clustered_less",
    "difference_over_seeds",
    "holm",
    "mcnemar_exact",
    "mcnemar_midp",
    "mean_over_seeds",
    "minimum_detectable_difference",
    "paired_bootstrap",
    "paired_permutation",
    "rows_for",
    "rows_needed",
    "rows_to_decide",
    "seeds_then_items",
    "share_of",
    "t_interval",
    "unseen_share",
    "verdict",
    "widened",
    "wilson",
]
