"""What a soft prompt is honestly compared with: baselines tuned as carefully, on the same rows, and the verdict.

scikit-learn enters the package here and nowhere else, when a baseline that needs it is fitted.
"""

from softprompt.lab.comparison.baselines import Majority, TfidfLogistic
from softprompt.lab.comparison.contenders import Asked, Contender, Fitted, Standing, contend, judge
from softprompt.lab.comparison.probe import LinearProbe
from softprompt.lab.comparison.table import Against, ComparisonTable, Cost, Line, RunRecord
from softprompt.lab.comparison.text_prompts import FewShot, ZeroShot
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
