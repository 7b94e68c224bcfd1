"""What a demonstration found, as plain data: for ``--json``, for the page, for the terminal.

Verdicts are put into words here, once, so that every face says the same. Knows no model and draws nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from softprompt.core.stats import Verdict
from softprompt.lab.comparison import Comparison, Difference
from softprompt.model.prediction import Prediction

__all__ = [
    "AFTER",
    "BEFORE",
    "Command",
    "DemoResult",
    "Learning",
    "OneReading",
    "Question",
    "Reply",
    "listed",
    "verdict_sentence",
]

#: Names of the two prompts in the tables, by placement.
AFTER, BEFORE = "soft prompt after the text", "soft prompt before the text"

#: Below this size a model teaches how the method works, not how well.
TOY_PARAMETERS = 100_000_000


@dataclass(frozen=True)
class Question:
    """One thing that is asked about every text.

    Attributes:
        target: Column of the answers.
        labels: Answers there are.
        comparison: Every contender on the test rows; the reference is the prompt after the text.
        verdict: What the comparison shows, in a sentence.
        prompt: Folder of the saved prompt.
    """

    target: str
    labels: tuple[str, ...]
    comparison: Comparison
    verdict: str
    prompt: Path

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without the outcome of every row."""
        found = self.comparison.to_dict()
        for line in found["standings"]:
            for bulky in ("items", "classes", "calibration"):
                del line["evaluation"][bulky]
        return {
            "target": self.target,
            "labels": list(self.labels),
            "comparison": found,
            "verdict": self.verdict,
            "prompt": str(self.prompt),
        }


@dataclass(frozen=True)
class Learning:
    """What it took to train the prompts of all questions in one pass.

    Attributes:
        place: ``after`` or ``before`` the text.
        steps: Made.
        seconds: In all, reading included.
        read_seconds: Of reading the texts once; 0 where nothing can be read once.
        step_seconds: Median of a step.
        cut_short: Whether the time ended before the steps.
    """

    place: str
    steps: int
    seconds: float
    read_seconds: float
    step_seconds: float
    cut_short: bool


@dataclass(frozen=True)
class OneReading:
    """The same prompts over one reading of each text, and over a reading each; measured in turn, text by text.

    Attributes:
        num_prompts: How many prompts answer.
        shared_ms: Median milliseconds a text, all prompts over one reading.
        apart_ms: Median milliseconds a text, one prompt after the other.
        num_texts: Texts measured.
        same_answers: Share of the answers that are equal both ways.
        max_difference: Largest difference of a probability between both ways.
    """

    num_prompts: int
    shared_ms: float
    apart_ms: float
    num_texts: int
    same_answers: float
    max_difference: float

    @property
    def ratio(self) -> float:
        """How many times faster one reading is."""
        return self.apart_ms / self.shared_ms


@dataclass(frozen=True)
class Reply:
    """All answers to one text, over one reading.

    Attributes:
        text: What was asked about.
        answers: By target.
        milliseconds: For all answers together.
        expected: The right answers, where they are known.
    """

    text: str
    answers: Mapping[str, Prediction]
    milliseconds: float
    expected: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        answers = {
            target: {
                "answer": one.answer,
                "confidence": one.confidence,
                "probabilities": dict(one.probabilities or {}),
            }
            for target, one in self.answers.items()
        }
        return {
            "text": self.text,
            "answers": answers,
            "milliseconds": self.milliseconds,
            "expected": dict(self.expected),
        }


@dataclass(frozen=True)
class Command:
    """A command to go on with."""

    purpose: str
    line: str


@dataclass(frozen=True)
class DemoResult:
    """Everything that a demonstration found.

    Attributes:
        source: Whose rows.
        example: Whether they are the example messages.
        rows: By split.
        model: Name, parameters, precision and device of the frozen model.
        machine: Processor cores and threads.
        questions: In order.
        learning: Of the two placements, ``after`` first.
        one_reading: Milliseconds of one reading against several.
        replies: Answers to the user's sentences, or to one of the test rows.
        commands: What to do next.
        folder: Where prompts, page and this as JSON lie.
        page: The page.
        seconds: By stage.
        cpu_seconds: Processor time of everything, all cores.
        notes: What a user should know.
    """

    source: str
    example: bool
    rows: Mapping[str, int]
    model: Mapping[str, Any]
    machine: Mapping[str, Any]
    questions: tuple[Question, ...]
    learning: tuple[Learning, ...]
    one_reading: OneReading
    replies: tuple[Reply, ...]
    commands: tuple[Command, ...]
    folder: Path
    page: Path
    seconds: Mapping[str, float]
    cpu_seconds: float
    notes: tuple[str, ...] = ()

    @property
    def total_seconds(self) -> float:
        """From the first row to the page."""
        return sum(self.seconds.values())

    @property
    def caveat(self) -> str:
        """What the scores do not say."""
        parameters = self.model["num_parameters"]
        if parameters >= TOY_PARAMETERS:
            return "Scores are those of this model on these test rows; another model or other rows can turn them round."
        return (
            f"This model has {parameters / 1e6:.1f} million parameters: a teaching size that shows how prompt tuning "
            "works, not how well. It does not predict the scores of the model that you will use."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; nothing that is not finite."""
        document = {
            "source": self.source,
            "example": self.example,
            "rows": dict(self.rows),
            "model": dict(self.model),
            "machine": dict(self.machine),
            "questions": [one.to_dict() for one in self.questions],
            "learning": [asdict(one) for one in self.learning],
            "one_reading": {**asdict(self.one_reading), "ratio": self.one_reading.ratio},
            "replies": [one.to_dict() for one in self.replies],
            "caveat": self.caveat,
            "commands": [asdict(one) for one in self.commands],
            "folder": str(self.folder),
            "page": str(self.page),
            "seconds": {**self.seconds, "total": self.total_seconds},
            "cpu_seconds": self.cpu_seconds,
            "notes": list(self.notes),
        }
        return {name: _finite(value) for name, value in document.items()}


def verdict_sentence(comparison: Comparison, *, target: str) -> str:
    """What a comparison shows of the prompt after the text, wins and losses alike.

    The two placements are not set against each other: that is what the table is for.
    """
    standings = {one.name: one for one in comparison.standings}
    by: dict[Verdict, list[Difference]] = {"better": [], "cannot tell": [], "worse": []}
    for one in comparison.differences:
        if one.second != BEFORE:
            by[one.verdict].append(one)
    clauses = []
    if by["better"]:
        clauses.append(f"beats {listed([one.second for one in by['better']])}")
    if by["worse"]:
        clauses.append(f"loses to {listed([_by_how_much(one) for one in by['worse']])}")
    if by["cannot tell"]:
        clauses.append(f"cannot be told from {listed([one.second for one in by['cannot tell']], word='or')}")
    score = standings[comparison.reference].evaluation.metrics[comparison.metric]
    found = f"{100 * score.estimate:.0f} % {comparison.metric.replace('_', ' ')}"
    return f"{target}: the soft prompt ({found}) {listed(clauses)}." if clauses else f"{target}: {found}."


def _by_how_much(difference: Difference) -> str:
    """``majority by 8 points [3, 13]``."""
    ends = sorted(100 * abs(value) for value in (difference.interval.low, difference.interval.high))
    points = 100 * abs(difference.interval.estimate)
    return f"{difference.second} by {points:.0f} points [{ends[0]:.0f}, {ends[1]:.0f}]"


def listed(parts: Sequence[str], *, word: str = "and") -> str:
    """Words as a list in a sentence.

    >>> listed(["a", "b", "c"]), listed(["a", "b"], word="or"), listed(["a"])
    ('a, b and c', 'a or b', 'a')
    """
    return f" {word} ".join(filter(None, (", ".join(parts[:-1]), parts[-1]))) if parts else ""


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {name: _finite(one) for name, one in value.items()}
        case list() | tuple():
            return [_finite(one) for one in value]
    return value
