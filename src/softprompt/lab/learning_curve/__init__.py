"""Score against number of labelled rows, for several contenders on the same draws, and what more rows would bring.

subsets     growing beginnings of several orders of the rows
measuring   every contender on every subset, kept by content
laws        power laws through points, with their doubt
forecasts   what more rows would bring, in words
document    all of it as plain data
"""

from softprompt.lab.learning_curve.document import Curve, Forecast, LearningCurve, Point
from softprompt.lab.learning_curve.measuring import CurveSettings, Kept, Rows, learning_curve

__all__ = ["Curve", "CurveSettings", "Forecast", "Kept", "LearningCurve", "Point", "Rows", "learning_curve"]
