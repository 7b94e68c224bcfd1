"""One reading of a text for all questions, against a reading for each: the same prompts, measured in turn.

Texts come one by one, as requests do. Both ways answer the same text back to back and take turns in going first, so
that what else the machine does falls on both.
"""

import statistics
import time
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Self

from softprompt.app.demo.result import OneReading, Reply
from softprompt.app.demo.rows import FIELD
from softprompt.app.recipes.evaluate import open_prompts
from softprompt.core.records import Example
from softprompt.model.backbones.base import Backbone
from softprompt.model.prediction import Ask, Prediction, Predictor

__all__ = ["Answerer", "compare_readings"]

MOST_TEXTS = 40
LEAST_TEXTS = 5
WARM_UP = 2  #: texts that are not counted


class Answerer:
    """Answers sentences with all prompts over one reading.

    Args:
        backbone: The frozen model.
        asks: One a question; their names are those of the answers.
    """

    def __init__(self, backbone: Backbone, asks: Sequence[Ask]) -> None:
        self.asks = tuple(asks)
        self._predictor = Predictor(backbone, asks)

    @classmethod
    def load(cls, prompts: Sequence[Path], *, backbone: Backbone | None = None) -> Self:
        """From saved prompts, as anybody would use them.

        Raises:
            PromptError, ModelError: as :func:`softprompt.app.recipes.evaluate.open_prompts`.
        """
        return cls(*open_prompts(prompts, backbone=backbone))

    def __call__(self, text: str, *, expected: Mapping[str, str] | None = None) -> Reply:
        """All answers to one text.

        Raises:
            TemplateError: as :meth:`softprompt.model.templates.RowBuilder.row`.
        """
        predictions, milliseconds = _timed([self._predictor], Example({FIELD: text}))
        answers = {ask.name: one for ask, one in zip(self.asks, predictions, strict=True)}
        return Reply(text, answers, milliseconds, expected or {})


def compare_readings(
    backbone: Backbone, asks: Sequence[Ask], examples: Sequence[Example], *, seconds: float = 5.0
) -> OneReading:
    """Median milliseconds a text, with all prompts over one reading and with a reading for each prompt.

    Args:
        backbone: The frozen model.
        asks: The prompts.
        examples: At least one text; they come round again when they are few.
        seconds: To spend, if that is enough for :data:`LEAST_TEXTS`.
    """
    ways = ([Predictor(backbone, asks)], [Predictor(backbone, [ask]) for ask in asks])
    times: tuple[list[float], list[float]] = ([], [])
    same = compared = 0
    furthest = 0.0
    begun = time.perf_counter()
    for number, example in enumerate(islice(cycle(examples), WARM_UP + MOST_TEXTS)):
        said: dict[int, list[Prediction]] = {}
        for way in (0, 1) if number % 2 else (1, 0):
            said[way], milliseconds = _timed(ways[way], example)
            if number >= WARM_UP:
                times[way].append(milliseconds)
        same += sum(one.text == other.text for one, other in zip(said[0], said[1], strict=True))
        compared += len(asks)
        furthest = max(furthest, *map(_difference, said[0], said[1]))
        if len(times[0]) >= LEAST_TEXTS and time.perf_counter() - begun > seconds:
            break
    shared, apart = map(statistics.median, times)
    return OneReading(len(asks), shared, apart, len(times[0]), same / compared, furthest)


def _difference(one: Prediction, other: Prediction) -> float:
    """Largest difference of a probability."""
    p, q = one.probabilities or {}, other.probabilities or {}
    return max((abs(p[name] - q[name]) for name in p), default=0.0)


def _timed(predictors: Sequence[Predictor], example: Example) -> tuple[list[Prediction], float]:
    """What all predictors say to one text, in order, and milliseconds."""
    start = time.perf_counter()
    said = [one for predictor in predictors for row in predictor.predict([example]) for one in row]
    return said, 1000 * (time.perf_counter() - start)
