"""What a soft prompt is honestly compared with: contenders tuned as carefully, on the same rows, and the verdict.

    settings -> entrants -> attempts -> contest -> table    a comparison: who takes part, is fitted, judged and kept
    contenders                                              the protocol of all, and one fit of each, judged at once
    baselines | prompting | finetuning                      what stands beside a soft prompt; none knows another
    measuring                                               what each of them took
    deciding, verdicts                                      what lines over all seeds, and single fits, allow to say

scikit-learn enters the package here and nowhere else, through ``scikit_learn``, when somebody needs it.
"""

from softprompt.lab.comparison.asked import Asked
from softprompt.lab.comparison.baselines.linear_probe import LinearProbe
from softprompt.lab.comparison.baselines.majority import Majority
from softprompt.lab.comparison.baselines.tfidf import TfidfLogistic
from softprompt.lab.comparison.contenders import Contender, Fitted, Standing, contend, judge
from softprompt.lab.comparison.prompting.text_prompts import FewShot, ZeroShot
from softprompt.lab.comparison.table import Against, ComparisonTable, Cost, Line, RunRecord
from softprompt.lab.comparison.verdicts import Comparison, Difference, compare

__all__ = [
    "Against",
    "Asked",
    "Comparison",
    "ComparisonTable",
    "Contender",
    "Cost",
    "Difference",
    "FewShot",
    "Fitted",
    "Line",
    "LinearProbe",
    "Majority",
    "RunRecord",
    "Standing",
    "TfidfLogistic",
    "ZeroShot",
    "compare",
    "contend",
    "judge",
]
