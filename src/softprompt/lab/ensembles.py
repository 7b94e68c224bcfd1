r"""Several prompts as one: how much each of them counts, learnt on labelled rows, and how different their mistakes are.

mean, majority   nothing is learnt
weights          the weights of the linear pool that make the right answers likeliest, with a prior of :data:`PRIOR`
                 rows on equal ones: max_w sum_i log sum_k w_k p_k(y_i) + PRIOR / K sum_k log w_k. It is concave, and
                 EM climbs it: w_k <- (sum_i r_ik + PRIOR / K) / (N + PRIOR), r_ik = w_k p_k(y_i) / sum_j w_j p_j(y_i)
greedy           prompts are added one by one, each as often as it helps the log-likelihood, on :data:`BAGS` draws of
                 the rows; the weights are the counts of all draws (Caruana et al., Ensemble selection from libraries of
                 models, ICML 2004, with replacement and sorted initialisation; bags are of rows here: a few prompts
                 are too small a library to draw from)

and one temperature after that, where exactly one answer is right (Rahaman, Thiery, Uncertainty quantification and deep
ensembles, NeurIPS 2021: pool, then calibrate).

Whatever is learnt is judged on rows that it was not learnt on: :func:`said_apart`. Knows predictions; no prompts, no
models and no files.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self, get_args

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize_scalar

from softprompt.core.errors import ConfigError, DataError, nearest
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.splits import Fold
from softprompt.model.ensemble import By, Pooling, tempered
from softprompt.model.prediction import Prediction, candidate_names

__all__ = ["WAYS", "Diversity", "Said", "choose", "diversity", "fit_temperature", "pooled", "said_apart"]

WAYS: tuple[str, ...] = get_args(By)

#: Rows that speak for equal weights before any other is looked at.
PRIOR = 20.0

#: Draws of the rows over which greedy selection adds up its counts.
BAGS = 20

#: Temperatures from the inverse of this up to it.
HOTTEST = 10.0


@dataclass(frozen=True)
class Said:
    """What K prompts say to N labelled rows.

    Attributes:
        probabilities: By prompt, row and candidate; 0 where a row has fewer candidates than others.
        targets: What each candidate ought to get.
        independent: Whether each candidate is a yes or no of its own.
    """

    probabilities: Float[np.ndarray, "K N C"]
    targets: Float[np.ndarray, "N C"]
    independent: bool = False

    @classmethod
    def of(cls, predictions: Sequence[Sequence[Prediction]], rows: Sequence[Example], task: Task) -> Self:
        """From the predictions by prompt.

        Raises:
            DataError: ``data.not_probabilities`` for written answers; ``data.no_target``, ``data.unknown_label``.
        """
        if any(one.probabilities is None for said in predictions for one in said):
            message = "answers that are written have no probabilities, and an ensemble is made of these"
            raise DataError("data.not_probabilities", message, cure="use classify, choose, multilabel or score")
        width = max((len(one.probabilities or {}) for said in predictions for one in said), default=0)
        p = np.zeros((len(predictions), len(rows), width))
        for k, said in enumerate(predictions):
            for i, one in enumerate(said):
                values = list((one.probabilities or {}).values())
                p[k, i, : len(values)] = values
        targets = np.zeros((len(rows), width))
        for i, row in enumerate(rows):
            answer = task.answer(row)
            if isinstance(answer, int):
                targets[i, answer] = 1
            else:
                targets[i, : len(answer)] = np.asarray(answer, dtype=np.float64)
        return cls(p, targets, task.independent)

    def take(self, rows: Sequence[int]) -> Self:
        """The same of some rows."""
        index = list(rows)
        return replace(self, probabilities=self.probabilities[:, index], targets=self.targets[index])

    @property
    def likelihoods(self) -> tuple[Float[np.ndarray, "K M"], Float[np.ndarray, " M"]]:
        """Probability that each prompt gives to what is right, and the weight of that, one a fact."""
        p, t = self.probabilities.reshape(len(self.probabilities), -1), self.targets.reshape(-1)
        if self.independent:
            p, t = np.concatenate([p, 1 - p], axis=1), np.concatenate([t, 1 - t])
        there = t > 0
        return np.maximum(p[:, there], 1e-12), t[there]


def choose(by: str, said: Said, *, temper: bool = True, seed: int = 0) -> Pooling:
    """How prompts answer as one, by what they said to labelled rows.

    Args:
        by: One of :data:`WAYS`.
        said: By the prompts, to the rows.
        temper: Whether a temperature is fitted too; never where candidates are independent.
        seed: Of the draws of greedy selection.

    Raises:
        ConfigError: ``config.unknown_name``; ``config.invalid`` for votes where no candidate is the only right one.

    >>> good, bad = [[0.9, 0.1], [0.2, 0.8]] * 30, [[0.3, 0.7], [0.6, 0.4]] * 30
    >>> said = Said(np.array([good, bad]), np.array([[1.0, 0.0], [0.0, 1.0]] * 30))
    >>> [round(weight, 2) for weight in choose("weights", said).weights]
    [0.81, 0.19]
    """
    if by not in WAYS:
        raise ConfigError("config.unknown_name", f"no way to pool answers is called {by!r}; {nearest(by, WAYS)}")
    if by == "majority" and said.independent:
        message = "a majority is for tasks with one right answer, and here each label is a yes or no of its own"
        raise ConfigError("config.invalid", message, cure="use --by mean, weights or greedy")
    number = len(said.probabilities)
    weights = np.full(number, 1 / number)
    if number > 1 and by in ("weights", "greedy"):
        learnt = _by_expectation if by == "weights" else _by_selection
        weights = learnt(*said.likelihoods, np.random.default_rng(seed))
    made = Pooling.parse({"by": by, "weights": tuple(weights.tolist())})
    if not temper or said.independent:
        return made
    return made.model_copy(update={"temperature": fit_temperature(_pool(made, said), said.targets)})


def fit_temperature(p: Float[np.ndarray, "N C"], targets: Float[np.ndarray, "N C"]) -> float:
    """The temperature at which pooled probabilities fit the rows best; near 1 where these are few.

    It minimises the log-loss of all rows + log(T)^2: without rows it is 1, and 20 rows outweigh that.

    Args:
        p: Pooled probabilities by row.
        targets: What each candidate ought to get.
    """

    def loss(log_t: float) -> float:
        q = np.maximum(tempered(p, math.exp(log_t)), 1e-12)
        return float(-(targets * np.log(q)).sum() + log_t**2)

    bound = math.log(HOTTEST)
    return math.exp(float(minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))


def pooled(pooling: Pooling, said: Sequence[Prediction], example: Example, task: Task) -> Prediction:
    """One prediction from those of K prompts to one row."""
    most = max(said, key=lambda one: one.cut)
    shares = [np.array(list((one.probabilities or {}).values())) for one in said]
    p = pooling.pool(shares, independent=task.independent).tolist()
    named = dict(zip(candidate_names(task, example), p, strict=True))
    return replace(most, text=task.decode(p, example), probabilities=named, confidence=task.confidence(p))


def said_apart(
    by: str,
    predictions: Sequence[Sequence[Prediction]],
    rows: Sequence[Example],
    task: Task,
    parts: Sequence[Fold],
    *,
    temper: bool = True,
    seed: int = 0,
) -> list[Prediction]:
    """What the ensemble says to each row, with everything that is learnt for it learnt on the other parts.

    Args:
        by: As in :func:`choose`, as are ``temper`` and ``seed``.
        predictions: By prompt, one a row.
        rows: With their answers.
        task: What is asked.
        parts: Of the rows.
    """
    said = Said.of(predictions, rows, task)
    found: dict[int, Prediction] = {}
    for part in parts:
        pooling = choose(by, said.take(part.train), temper=temper, seed=seed)
        for i in part.held_out:
            found[i] = pooled(pooling, [mine[i] for mine in predictions], rows[i], task)
    return [found[i] for i in range(len(rows))]


@dataclass(frozen=True)
class Diversity:
    """How different the mistakes of K prompts are, in means over pairs (Kuncheva, Whitaker, Machine Learning 51, 2003).

    Attributes:
        disagreement: Share of the rows that exactly one of two answers rightly.
        double_fault: Share of the rows that both answer wrongly.
        q: Yule's Q: 1 where two are right on the same rows, 0 where independent; None where no pair tells.
        any_right: Share of the rows that at least one prompt answers rightly: no ensemble of them can do better.
        pairs: Disagreement of each pair, [K][K].
    """

    disagreement: float
    double_fault: float
    q: float | None
    any_right: float
    pairs: tuple[tuple[float, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def diversity(correct: Bool[np.ndarray, "K N"]) -> Diversity:
    """How different the mistakes of prompts are.

    Args:
        correct: By prompt and row, whether it answers rightly.

    >>> found = diversity(np.array([[True, True, False, False], [True, False, True, False]]))
    >>> found.disagreement, found.double_fault, found.q, found.any_right
    (0.5, 0.25, 0.0, 0.75)
    """
    right = correct.astype(np.float64)
    both, neither = right @ right.T, (1 - right) @ (1 - right).T
    one = right @ (1 - right).T
    number, rows = correct.shape
    pairs = [(i, j) for i in range(number) for j in range(i + 1, number)]
    apart = (one + one.T) / rows
    qs = []
    for i, j in pairs:
        alike, unlike = both[i, j] * neither[i, j], one[i, j] * one[j, i]
        qs += [(alike - unlike) / (alike + unlike)] if alike + unlike else []
    return Diversity(
        disagreement=_mean([apart[pair] for pair in pairs]),
        double_fault=_mean([neither[pair] / rows for pair in pairs]),
        q=_mean(qs) if qs else None,
        any_right=float(correct.any(axis=0).mean()),
        pairs=tuple(map(tuple, apart.tolist())),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _pool(pooling: Pooling, said: Said) -> Float[np.ndarray, "N C"]:
    """Pooled probabilities of all rows, without a temperature."""
    rows = range(said.targets.shape[0])
    return np.stack([pooling.pool(list(said.probabilities[:, i]), independent=said.independent) for i in rows])


def _by_expectation(
    q: Float[np.ndarray, "K M"], facts: Float[np.ndarray, " M"], rng: np.random.Generator
) -> Float[np.ndarray, " K"]:
    """Weights that make the facts likeliest, equal ones having the prior."""
    number = len(q)
    weights = np.full(number, 1 / number)
    for _ in range(2000):
        joint = weights[:, None] * q
        counts = (facts * joint / joint.sum(axis=0)).sum(axis=1)
        again = (counts + PRIOR / number) / (facts.sum() + PRIOR)
        done = float(np.abs(again - weights).max()) < 1e-7
        weights = again
        if done:
            break
    return np.asarray(weights)


def _by_selection(
    q: Float[np.ndarray, "K M"], facts: Float[np.ndarray, " M"], rng: np.random.Generator
) -> Float[np.ndarray, " K"]:
    """Shares of how often each prompt was taken over all draws."""
    counts = np.zeros(len(q))
    for _ in range(BAGS):
        counts += _selected(q, facts * rng.multinomial(len(facts), np.full(len(facts), 1 / len(facts))))
    return np.asarray(counts / counts.sum())


def _selected(q: Float[np.ndarray, "K M"], facts: Float[np.ndarray, " M"]) -> Float[np.ndarray, " K"]:
    """How often each prompt is taken, at the best point of the way; the best one alone begins it."""
    counts, sums = np.zeros(len(q)), np.zeros(q.shape[1])
    best, kept = -math.inf, counts
    for taken in range(1, 2 * len(q) + 2):
        scores = (facts * np.log((sums + q) / taken)).sum(axis=1)
        place = int(scores.argmax())
        sums, counts = sums + q[place], counts.copy()
        counts[place] += 1
        if float(scores.max()) > best:
            best, kept = float(scores.max()), counts
    return kept
