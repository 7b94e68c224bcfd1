r"""How many rows can be answered without a human, at a precision that is guaranteed: the threshold and what it covers.

An answer is given where its confidence reaches a threshold t, else withheld. A candidate t is *proved* when the rows
that chose it refute "fewer than the target of the answers given at t are right": with n rows at or above t, w of them
wrong, the exact p-value is P(Bin(n, 1 - target) <= w). Thresholds are tried from strict to lenient on a grid that no
row has moved, and the walk ends with the first that cannot be proved (fixed-sequence testing). A strict threshold has
few rows, and one unlucky row there would end everything; so a walk may start anew where an eighth, a quarter and half
of the rows are answered. Each start brings its part of the error that is allowed, on top of what a walk that is still
going brings along (the fallback procedure).

The guarantee: with probability ``level`` or more the precision at the chosen threshold is the target or more, for rows
of the same kind, provided that precision does not fall as the threshold rises. (That is used once: a walk starts at the
first grid point with enough rows. For a model that is *less* often right where it is surer, the tests measure it.)

Sources: Angelopoulos, Bates, Candès, Jordan, Lei, "Learn then Test", arXiv:2110.01052 (2021), fixed-sequence testing
with several starts; Wiens, Pharmaceutical Statistics 2 (2003) 211-215, fallback; the tails are those of Clopper and
Pearson (1934).

What is said of the rows that chose needs care, because they chose. Of the precision only the guarantee is said. The
covered share gets the band of Dvoretzky, Kiefer, Wolfowitz (with Massart's constant, 1990), which holds for all
thresholds at once: +- sqrt(ln(2 / (1 - level)) / 2n). Other rows give exact intervals of both.

Rows of one group (the messages of a customer, paraphrases) are not independent. Where rows name groups, a group counts
once: it is answered where any of its rows is, and right where no answer in it is wrong. That is again a count of
independent things, so the same test proves it: of the groups in which something is answered, the target or more have
nothing wrong. This is a stricter promise than that of rows. Shares of rows then get clustered intervals.

Knows confidences, outcomes and groups; no models, no files. Rows, or groups, have to be independent.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from softprompt.core.errors import ConfigError, DataError
from softprompt.core.stats import Interval, bootstrap, clopper_pearson
from softprompt.lab.evaluation import Evaluation

__all__ = ["Choice", "Coverage", "choose_threshold", "cover", "fewest_rows", "outcomes"]

#: Thresholds from strict to lenient: each leaves 3 % more room for doubt, down to 1e-7; the last answers every row.
GRID: Float[np.ndarray, " m"] = np.append(1 - 1e-7 * 1.03 ** np.arange(546), 0.0)

#: Shares of the rows that are answered where a walk may start.
STARTS = (1 / 8, 1 / 4, 1 / 2)

#: Answered rows from which a share of right ones is taken seriously when asking how many more would be needed.
SERIOUS = 20

#: More rows than this are not asked for.
MOST_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class Choice:
    """A threshold, or why there is none.

    Attributes:
        precision: The target.
        level: How sure the guarantee is.
        threshold: The most lenient that is proved; None where none is.
        rows: Rows that chose; with ``grouped`` these and the next two are groups.
        answered: Rows at or above the threshold; 0 without one.
        right: Right answers among these.
        best: The highest share right at any threshold with at least 20 rows; None where there are none.
        rows_needed: About so many rows like these would prove a threshold; None when one is proved, or when none was
            right often enough.
        grouped: Whether groups of rows counted, and not rows.
    """

    precision: float
    level: float
    threshold: float | None
    rows: int
    answered: int = 0
    right: int = 0
    best: float | None = None
    rows_needed: int | None = None
    grouped: bool = False

    @property
    def unit(self) -> str:
        """What was counted."""
        return "groups" if self.grouped else "rows"

    @property
    def reason(self) -> str:
        """Why there is no threshold, and what would help; empty where there is one.

        >>> choose_threshold([0.9] * 40, [True] * 40, precision=0.95).reason
        'no threshold is proved to reach a precision of 95 %: 40 rows are too few, about 19 more like these would do'
        """
        if self.threshold is not None:
            return ""
        said = f"no threshold is proved to reach a precision of {share(self.precision)}: "
        if self.rows_needed is not None:
            more = f"about {self.rows_needed - self.rows:,} more like these would do"
            return f"{said}{self.rows} {self.unit} are too few, {more}"
        if self.best is None:
            fewest = fewest_rows(self.precision, level=self.level)
            return f"{said}{self.rows} {self.unit} are too few, at least {fewest} must"
        return f"{said}the surest answers are right in {share(self.best)}, and more {self.unit} would not change that"


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a threshold covers.

    Attributes:
        choice: The threshold, and on how many rows it was chosen.
        coverage: Share of rows that are answered; None without a threshold.
        precision: Share right among these; None without a threshold. On the rows that chose, ``low`` is the guarantee.
        rows: Rows that were judged.
        answered: Rows at or above the threshold among them.
        same_rows: Whether they are the rows that chose.
    """

    choice: Choice
    coverage: Interval | None
    precision: Interval | None
    rows: int
    answered: int
    same_rows: bool

    @property
    def sentence(self) -> str:
        """What people ask for, in words.

        >>> sure, right = [0.99] * 180 + [0.6] * 60, [True] * 180 + [True, False] * 30
        >>> choice = choose_threshold(sure, right, precision=0.95)
        >>> print(cover(choice, sure, right).sentence)
        75 % [66 %, 84 %] of rows can be answered at a precision of 95 % or more, by answers of confidence 0.99 and more
        """
        choice = self.choice
        if choice.threshold is None or self.coverage is None or self.precision is None:
            return choice.reason
        promise = f"at a precision of {share(choice.precision)} or more"
        if choice.grouped:
            promise = f"with nothing wrong in {share(choice.precision)} or more of the groups that get an answer"
        by = f"by answers of confidence {choice.threshold:.3g} and more"
        covered = f"{_range(self.coverage)} of rows can be answered {promise}, {by}"
        if self.same_rows:
            return covered
        right = "of the groups have nothing wrong" if choice.grouped else "of them are right"
        checked = f"; on these {self.rows} rows, which did not choose it, {_range(self.precision)} {right}"
        return covered + (checked if self.answered else f"; none of these {self.rows} rows reaches it")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        choice = self.choice
        return {
            "target": choice.precision,
            "level": choice.level,
            "threshold": choice.threshold,
            "coverage": None if self.coverage is None else self.coverage.as_dict(),
            "precision": None if self.precision is None else self.precision.as_dict(),
            "rows": self.rows,
            "answered": self.answered,
            "chosen_on": choice.rows,
            "counted": choice.unit,
            "same_rows": self.same_rows,
            "rows_needed": choice.rows_needed,
            "sentence": self.sentence,
        }


def choose_threshold(
    confidences: Sequence[float],
    right: Sequence[bool],
    *,
    precision: float,
    level: float = 0.95,
    groups: Sequence[Hashable] | None = None,
) -> Choice:
    """The most lenient threshold whose precision is proved.

    Args:
        confidences: Probability of the answer, by row.
        right: Whether it is the right one, by row.
        precision: The target, above 0 and below 1.
        level: Probability with which the guarantee holds.
        groups: The group of each row, where rows of a group are not independent; a group counts once.

    Raises:
        ConfigError: ``config.invalid`` for a target or level outside (0, 1).
        DataError: ``data.lengths_differ``.

    >>> choice = choose_threshold([0.99] * 150 + [0.5] * 50, [True] * 150 + [False] * 50, precision=0.95)
    >>> choice.answered, choice.right, round(choice.threshold, 3)
    (150, 150, 0.99)
    >>> twins = [number // 2 for number in range(200)]
    >>> choose_threshold([0.99] * 200, [True] * 200, precision=0.95, groups=twins).answered
    100
    """
    for name, value in (("precision", precision), ("level", level)):
        if not 0 < value < 1:
            raise ConfigError("config.invalid", f"{name} must lie between 0 and 1, got {value}", cure="0.95 means 95 %")
    if len(confidences) != len(right):
        raise DataError("data.lengths_differ", f"{len(confidences)} confidences for {len(right)} outcomes")
    sure, missed = _units(confidences, right, groups)
    answered, wrong = _counts(sure, missed)
    grouped = groups is not None
    pvalues = np.where(answered > 0, stats.binom.cdf(wrong, answered, 1 - precision), 1.0)
    furthest = _furthest(pvalues, answered, _starts(len(sure), precision, level), level)
    if furthest >= 0:
        n = int(answered[furthest])
        reached, _ = _counts(np.asarray(confidences, dtype=np.float64), missed)
        strictest = int(
            np.argmax(reached == reached[furthest])
        )  # answers the same rows, and promises nothing of an empty range
        threshold, hits = float(GRID[strictest]), n - int(wrong[furthest])
        return Choice(precision, level, threshold, len(sure), n, hits, grouped=grouped)
    serious = answered >= SERIOUS
    best = float((1 - wrong[serious] / answered[serious]).max()) if serious.any() else None
    needed = _rows_needed(answered, wrong, len(sure), precision, level)
    return Choice(precision, level, None, len(sure), best=best, rows_needed=needed, grouped=grouped)


def cover(
    choice: Choice,
    confidences: Sequence[float],
    right: Sequence[bool],
    *,
    same_rows: bool = True,
    groups: Sequence[Hashable] | None = None,
) -> Coverage:
    """What a threshold covers.

    Args:
        choice: The threshold.
        confidences: Of the rows to judge.
        right: Whether each answer is right.
        same_rows: Whether these rows chose the threshold; other rows give exact intervals.
        groups: The group of each row, where the threshold was chosen by groups.
    """
    rows = len(confidences)
    if choice.threshold is None:
        return Coverage(choice, None, None, rows, 0, same_rows)
    given = np.asarray(confidences, dtype=np.float64) >= choice.threshold
    answered, part = int(given.sum()), float(given.mean())
    sure, missed = _units(confidences, right, groups)
    units = int((sure >= choice.threshold).sum())
    hits = units - int((missed >= choice.threshold).sum())
    if not same_rows:
        precision = clopper_pearson(hits, units, level=choice.level)
        return Coverage(choice, _share_given(given, groups, choice.level), precision, rows, answered, False)
    half = math.sqrt(math.log(2 / (1 - choice.level)) / (2 * len(sure)))
    covered = Interval(part, max(0.0, part - half), min(1.0, part + half), choice.level, "dkw")
    guarantee = Interval(hits / units, choice.precision, 1.0, choice.level, "fixed-sequence")
    return Coverage(choice, covered, guarantee, rows, answered, True)


def outcomes(evaluation: Evaluation) -> tuple[list[float], list[bool]]:
    """Confidence and outcome of every item; nothing may have been withheld, for that would count as wrong.

    Raises:
        DataError: ``data.not_probabilities`` for written answers, which have no probability of being right.
    """
    if any(item.probability is None for item in evaluation.items):
        message = f"{evaluation.name or 'the prompt'} writes its answers, which gives a threshold no probabilities"
        raise DataError("data.not_probabilities", message, cure="use a classify or choose task")
    return [float(item.probability or 0.0) for item in evaluation.items], [item.correct for item in evaluation.items]


def fewest_rows(precision: float, *, level: float = 0.95) -> int:
    """Answered rows, all of them right, that prove a precision: the smallest n with precision^n <= 1 - level.

    >>> fewest_rows(0.95), fewest_rows(0.99)
    (59, 299)
    """
    return math.ceil(math.log(1 - level) / math.log(precision))


def _units(
    confidences: Sequence[float], right: Sequence[bool], groups: Sequence[Hashable] | None
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " w"]]:
    """Highest thresholds at which each unit, row or group, is answered, and at which each wrong one is wrong.

    Raises:
        DataError: ``data.lengths_differ``.
    """
    sure, good = np.asarray(confidences, dtype=np.float64), np.asarray(right, dtype=bool)
    if groups is None:
        return sure, sure[~good]
    if len(groups) != len(sure):
        raise DataError("data.lengths_differ", f"{len(groups)} groups for {len(sure)} confidences")
    number: dict[Hashable, int] = {}
    index = [number.setdefault(group, len(number)) for group in groups]
    highest, wrong = (np.full(len(number), -np.inf) for _ in range(2))
    np.maximum.at(highest, index, sure)
    np.maximum.at(wrong, index, np.where(good, -np.inf, sure))
    return highest, wrong[wrong > -np.inf]


def _share_given(given: Bool[np.ndarray, " n"], groups: Sequence[Hashable] | None, level: float) -> Interval:
    """Share of rows that are answered: exact for rows, clustered for groups."""
    if groups is None:
        return clopper_pearson(int(given.sum()), len(given), level=level)
    items = np.stack([given, np.ones(len(given))], axis=1)
    found = bootstrap(items, lambda sums: float(sums[0] / sums[1]), level=level, groups=groups, bounds=(0.0, 1.0))
    return Interval(found.estimate, max(0.0, found.low), min(1.0, found.high), level, found.method)


def _counts(
    sure: Float[np.ndarray, " n"], missed: Float[np.ndarray, " w"]
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Units at or above each threshold of the grid, and the wrong ones among them."""
    answered = len(sure) - np.searchsorted(np.sort(sure), GRID, side="left")
    return answered, len(missed) - np.searchsorted(np.sort(missed), GRID, side="left")


def _starts(rows: int, precision: float, level: float) -> list[int]:
    """Answered rows at which walks start: they depend on the number of rows alone."""
    for count in range(len(STARTS), 0, -1):
        starts = [math.ceil(rows * part) for part in STARTS[-count:]]
        if starts[0] >= fewest_rows(precision, level=1 - (1 - level) / count):
            return starts
    return [fewest_rows(precision, level=level)]


def _furthest(pvalues: np.ndarray, answered: np.ndarray, starts: Sequence[int], level: float) -> int:
    """The last grid point that is proved, -1 for none: fallback over the grid, the error shared by the starts."""
    reached = [int(np.argmax(answered >= start)) for start in starts if answered[-1] >= start]
    part = (1 - level) / len(starts)
    carried, furthest = 0.0, -1
    for point in range(min(reached, default=len(pvalues)), len(pvalues)):
        carried += part * reached.count(point)
        if pvalues[point] <= carried:
            furthest = point
        else:
            carried = 0.0
    return furthest


def _rows_needed(answered: np.ndarray, wrong: np.ndarray, rows: int, precision: float, level: float) -> int | None:
    """About so many rows with the same shares answered and wrong would prove some threshold; None for no number."""
    if not ((answered >= SERIOUS) & (wrong < (1 - precision) * answered)).any():
        return None

    def first(totals: np.ndarray) -> tuple[int, int] | None:
        """The first total that would do, and the one before it."""
        before = rows
        for total in np.unique(totals.astype(int)).tolist():
            given, missed = answered * total // rows, np.ceil(wrong * total / rows)
            pvalues = np.where(given > 0, stats.binom.cdf(missed, given, 1 - precision), 1.0)
            if _furthest(pvalues, given, _starts(total, precision, level), level) >= 0:
                return before, total
            before = total
        return None

    near = first(np.geomspace(rows + 1, MOST_ROWS, 60))
    found = near and first(np.linspace(near[0] + 1, near[1], 50))
    return found[1] if found else None


def share(value: float) -> str:
    """A share as people say it.

    >>> share(0.95), share(0.995)
    ('95 %', '99.5 %')
    """
    return f"{100 * value:.3g} %"


def _range(found: Interval) -> str:
    return f"{100 * found.estimate:.0f} % [{100 * found.low:.0f} %, {100 * found.high:.0f} %]"
