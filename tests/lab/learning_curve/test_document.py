"""What a curve says of who is ahead: over the draws and over the test rows, and nothing from draws that are one."""

import math

from softprompt.core.stats import Interval
from softprompt.lab.learning_curve.document import Curve, LearningCurve, Point


def curve(name: str, *scores: float, half: float = 0.01) -> Curve:
    points = tuple(Point(64, draw, score, 1.0) for draw, score in enumerate(scores))
    return Curve(name, points, Interval(scores[0], scores[0] - half, scores[0] + half, 0.95, "wilson"))


def leading(*curves: Curve) -> str:
    found = LearningCurve(
        metric="accuracy",
        higher_is_better=True,
        num_rows=64,
        num_test=50,
        sizes=(32, 64),
        draws=len(curves[0].points),
        curves=curves,
    )
    return found.leading.partition(" of b")[2]


def test_draws_of_the_same_rows_are_no_certainty() -> None:
    (bounds,) = curve("a", 0.7, 0.7, 0.7).by_size.values()
    assert (bounds.estimate, bounds.low, bounds.high) == (0.7, -math.inf, math.inf)
    told = LearningCurve(
        metric="accuracy",
        higher_is_better=True,
        num_rows=64,
        num_test=50,
        sizes=(64,),
        draws=3,
        curves=(curve("a", 0.7, 0.7, 0.7),),
    ).to_dict()
    assert told["curves"][0]["by_size"]["64"]["high"] is None
    assert leading(curve("a", 0.7, 0.7), curve("b", 0.6, 0.6)) == "; all draws learn from the same rows there"


def test_ahead_is_said_plainly_only_beyond_the_luck_of_draws_and_of_test_rows() -> None:
    steady = curve("a", 0.9, 0.91, 0.9)
    assert leading(steady, curve("b", 0.5, 0.52, 0.51)) == ""
    assert leading(steady, curve("b", 0.5, 0.9, 0.7)) == "; their intervals over the draws overlap"
    few = "; their intervals over the 50 test rows overlap, compare tells them by pairs"
    assert leading(steady, curve("b", 0.5, 0.52, 0.51, half=0.4)) == few
    assert leading(curve("a", 0.7, 0.7, half=0.1), curve("b", 0.65, 0.65, half=0.1)) == few
    assert leading(curve("a", 0.7), curve("b", 0.1)) == "; how sure that is cannot be told from one draw"
