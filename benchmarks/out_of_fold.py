"""How often the interval of an out-of-fold score holds the truth, on synthetic rows whose truth is known.

    python benchmarks/out_of_fold.py                     1,000 draws a line: some minutes on one core
    python benchmarks/out_of_fold.py --draws 50 --print  to see that it works; nothing is written

Each draw: n labelled rows from Gaussian classes in 20 dimensions, 5 stratified folds, a classifier a fold, the score of
all rows by classifiers that have not seen them, and two truths on 5,000 fresh rows: the mean of the five fold
classifiers, which the score estimates, and the classifier of all rows, which would be saved. Folds share training rows,
so the outcomes are not independent, as the plain intervals (Wilson for accuracy, bootstrap for macro-F1) assume;
reports widen them, and both are shown.

Knows the package's intervals and metrics; no prompts and no models.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from jaxtyping import Float, Int

from softprompt.core.metrics import make_metric, score
from softprompt.core.stats import widened

RESULT = Path(__file__).parent / "results" / "out_of_fold.md"
SIZES, FOLDS, DIMENSIONS, FRESH = (50, 100, 300), 5, 20, 5000
METRICS = ("accuracy", "macro_f1")

Points, Labels = Float[np.ndarray, "n d"], Int[np.ndarray, " n"]
#: (training points, their labels, points to answer, number of classes) -> labels.
Learner = Callable[[Points, Labels, Points, int], Labels]


@dataclass(frozen=True)
class Task:
    """Classes with a Gaussian each.

    Attributes:
        name: For the table.
        shares: Of the classes.
        distance: Of the class means from the origin, in standard deviations.
    """

    name: str
    shares: tuple[float, ...]
    distance: float

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Points, Labels]:
        """Points and labels; every class keeps its share, as the label column of a stratified sample would."""
        counts = np.floor(np.array(self.shares) * n + 1e-9).astype(int)
        counts[0] += n - counts.sum()
        labels = np.repeat(np.arange(len(counts)), counts)
        points = rng.standard_normal((n, DIMENSIONS))
        points[np.arange(n), labels] += self.distance
        return points, labels


TASKS = (Task("5 classes, equal", (0.2,) * 5, 2.0), Task("2 classes, 80 to 20", (0.8, 0.2), 1.5))


def discriminant(train: Points, given: Labels, points: Points, num_classes: int) -> Labels:
    """Linear discriminant analysis with half of the covariance shrunk to its mean: a steady learner."""
    there = np.unique(given)
    means = np.stack([train[given == c].mean(axis=0) for c in there])
    rest = train - means[np.searchsorted(there, given)]
    covariance = rest.T @ rest / len(train)
    covariance = 0.5 * covariance + 0.5 * np.trace(covariance) / DIMENSIONS * np.eye(DIMENSIONS)
    weights = np.linalg.solve(covariance, means.T)
    offsets = np.log([np.mean(given == c) for c in there]) - 0.5 * np.einsum("cd,dc->c", means, weights)
    return np.asarray(there[(points @ weights + offsets).argmax(axis=1)])


def neighbour(train: Points, given: Labels, points: Points, num_classes: int) -> Labels:
    """The label of the nearest training point: a learner that every row can turn."""
    distances = (train**2).sum(axis=1) - 2 * points @ train.T
    return np.asarray(given[distances.argmin(axis=1)])


LEARNERS: dict[str, Learner] = {"discriminant": discriminant, "nearest neighbour": neighbour}


def folds(labels: Labels, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """Fold of each row, dealt out class by class."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    found = np.empty(len(labels), dtype=int)
    found[order] = np.arange(len(labels)) % FOLDS
    return found


@dataclass(frozen=True)
class Covered:
    """One draw by one metric.

    Attributes:
        plain: Whether the plain interval held the mean of the folds' truths, and that of the saved classifier.
        wide: The same for the widened one.
        width: Of the widened one.
        error: Estimate less the truth of the saved classifier.
    """

    plain: tuple[bool, bool]
    wide: tuple[bool, bool]
    width: float
    error: float


def one_draw(task: Task, learner: Learner, n: int, seed: int) -> dict[str, Covered]:
    """Intervals and truths of one data set, by metric."""
    rng = np.random.default_rng(seed)
    count = len(task.shares)
    names = [str(c) for c in range(count)]
    points, labels = task.draw(n, rng)
    fresh, right = task.draw(FRESH, rng)
    place, said = folds(labels, rng), np.empty(n, dtype=int)
    truths: list[Labels] = []
    for fold in range(FOLDS):
        seen = place != fold
        answered = learner(points[seen], labels[seen], np.vstack([points[~seen], fresh]), count)
        said[~seen] = answered[: (~seen).sum()]
        truths.append(answered[(~seen).sum() :])
    truths.append(learner(points, labels, fresh, count))
    found = {}
    for name in METRICS:
        metric = make_metric(name, labels=names)
        interval = score(metric, said.astype(str).tolist(), labels.astype(str).tolist()).interval
        true = [_value(name, answers, right, count) for answers in truths]
        folded, saved = fmean(true[:-1]), true[-1]
        wide = widened(interval, num_folds=FOLDS, bounds=metric.bounds)
        plain_held, wide_held = (
            (one.low <= folded <= one.high, one.low <= saved <= one.high) for one in (interval, wide)
        )
        found[name] = Covered(plain_held, wide_held, wide.high - wide.low, interval.estimate - saved)
    return found


def _value(name: str, said: Labels, right: Labels, count: int) -> float:
    """Accuracy or macro-F1 of many answers at once."""
    if name == "accuracy":
        return float((said == right).mean())
    hits = np.bincount(right[said == right], minlength=count)
    both = np.bincount(right, minlength=count) + np.bincount(said, minlength=count)
    return float((2 * hits / np.maximum(both, 1)).mean())


def lines(draws: int) -> Iterator[str]:
    """The table, row by row."""
    held_by = "folds' mean, plain | widened | saved, plain | widened"
    yield f"| task | learner | n | metric | {held_by} | width | estimate less saved |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for task in TASKS:
        for name, learner in LEARNERS.items():
            for n in SIZES:
                found = [one_draw(task, learner, n, seed) for seed in range(draws)]
                for metric in METRICS:
                    ours = [one[metric] for one in found]
                    held = [fmean(pair[i] for pair in pairs) for i in (0, 1) for pairs in _pairs(ours)]
                    cells = [f"{100 * share:.1f} %" for share in held]
                    cells += [f"{fmean(one.width for one in ours):.3f}", f"{fmean(one.error for one in ours):+.3f}"]
                    yield f"| {task.name} | {name} | {n} | {metric} | " + " | ".join(cells) + " |"


def _pairs(ours: Sequence[Covered]) -> tuple[list[tuple[bool, bool]], list[tuple[bool, bool]]]:
    return [one.plain for one in ours], [one.wide for one in ours]


def main() -> None:
    """Simulate, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000, help="data sets a line of the table")
    parser.add_argument("--print", action="store_true", help="show the table and write nothing")
    options = parser.parse_args()
    found = []
    for line in lines(options.draws):
        print(line, flush=True)
        found.append(line)
    if not options.print:
        head = "# Coverage of out-of-fold intervals\n\nMade by `benchmarks/out_of_fold.py`: "
        head += f"{options.draws:,} draws a line, 95 % intervals, five folds, seeds from 0.\n\n"
        RESULT.write_text(head + "\n".join(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
