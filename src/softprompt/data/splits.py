"""Splits, folds and k-shot choices: seeded, stratified by label, and without leaks.

What stands on one side together: rows of one group, and rows with the same text but for case and punctuation. These
*units* are never torn apart, so no split made here has a test text that was trained on.

Where a row goes is decided by a hash of the seed and its content, not by its place in the file: sorting or shuffling
the file changes nothing. Every label's share of a part is exact within one row where all units are single rows, and as
near as a greedy choice gets where they are larger. A row with several labels goes with the rarest of them, whose rows
are dealt first; a number goes with the anchor of its scale that is nearest.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from softprompt.core.errors import ConfigError, DataError
from softprompt.core.words import counted
from softprompt.data.dataset import Dataset
from softprompt.data.duplicates import text_key

__all__ = ["Fold", "folds", "k_shot", "num_units", "split"]


@dataclass(frozen=True, slots=True)
class Fold:
    """One part of a cross-validation: indices of the rows that are learnt, and of those held out."""

    train: tuple[int, ...]
    held_out: tuple[int, ...]


def split(
    dataset: Dataset, *, validation: float = 0.2, test: float = 0.0, seed: int = 0, stratify: bool = True
) -> dict[str, Dataset]:
    """Part a data set into train, validation and test (a part with share 0 is left out), rows in their order.

    A label with a single row goes to train.

    Args:
        dataset: What is parted.
        validation, test: Shares of the rows, in [0, 1); train gets the rest.
        seed: Another seed, another split.
        stratify: Keep each label's share the same in every part (where answers are labels).

    Raises:
        ConfigError: ``config.invalid``: shares that leave nothing for train.
        DataError: ``data.too_few_rows``: a part would be empty.

    >>> from softprompt.core.records import Example
    >>> rows = tuple(Example({"text": f"message {i}"}, "yes" if i % 2 else "no") for i in range(20))
    >>> parts = split(Dataset(rows, classes=("yes", "no")), validation=0.2, test=0.1)
    >>> {name: part.labels() for name, part in parts.items()}
    {'train': {'yes': 7, 'no': 7}, 'validation': {'yes': 2, 'no': 2}, 'test': {'yes': 1, 'no': 1}}
    """
    if min(validation, test) < 0 or validation + test >= 1:
        raise ConfigError(
            "config.invalid", f"validation {validation} and test {test} must be shares from 0 that leave rows for train"
        )
    shares = {"train": 1 - validation - test, "validation": validation, "test": test}
    shares = {name: share for name, share in shares.items() if share > 0}
    parts = _deal(dataset, list(shares.values()), seed=seed, stratify=stratify, first_keeps_one=True)
    for name, rows in zip(shares, parts, strict=True):
        if not rows:
            message = f"no row is left for {name}: {counted(len(dataset), 'row')} {_apart(dataset)}"
            cure = "add rows, change the shares, or give the split as a file of its own"
            labels = [count for count in dataset.labels().values() if count and stratify]
            if alone := labels.count(1):
                message += f"; {alone} of {len(labels)} labels have a single row, which train keeps"
                cure = "add rows of these labels, or name another column: labels that are all different are free text"
            raise DataError("data.too_few_rows", message, cure=cure).at(dataset.name)
    return {
        name: dataset.select(rows, name=f"{dataset.name} ({name})") for name, rows in zip(shares, parts, strict=True)
    }


def folds(dataset: Dataset, *, k: int, seed: int = 0, stratify: bool = True) -> tuple[Fold, ...]:
    """Part a data set into ``k`` folds of nearly equal size; every row is held out exactly once.

    Raises:
        ConfigError: ``config.invalid``: fewer than two folds.
        DataError: ``data.too_few_rows``: fewer units (groups, different texts) than folds.

    >>> from softprompt.core.records import Example
    >>> data = Dataset(tuple(Example({"text": f"message {i}"}) for i in range(5)))
    >>> sorted(len(fold.held_out) for fold in folds(data, k=3))
    [1, 2, 2]
    """
    if k < 2:
        raise ConfigError("config.invalid", f"{k} folds: a cross-validation needs at least 2")
    parts = _deal(dataset, [1 / k] * k, seed=seed, stratify=stratify)
    if not all(parts):
        raise DataError(
            "data.too_few_rows",
            f"{k} folds need {k} groups or different texts, the data has {num_units(dataset)}",
            cure="ask for fewer folds",
        ).at(dataset.name)
    rows = set(range(len(dataset)))
    return tuple(Fold(tuple(sorted(rows - set(part))), tuple(part)) for part in parts)


def k_shot(dataset: Dataset, *, k: int, seed: int = 0) -> Dataset:
    """``k`` rows of every label with different texts (``k`` rows in all where answers are free), in their order.

    The choice for ``k`` is part of the choice for ``k + 1`` of the same seed, so learning curves add rows.

    Raises:
        ConfigError: ``config.invalid``: k below 1.
        DataError: ``data.class_too_small``: a label has fewer rows.

    >>> from softprompt.core.records import Example
    >>> rows = tuple(Example({"text": f"message {i}"}, "yes" if i % 2 else "no") for i in range(20))
    >>> k_shot(Dataset(rows, classes=("yes", "no")), k=3).labels()
    {'yes': 3, 'no': 3}
    """
    if k < 1:
        raise ConfigError("config.invalid", f"{k} rows a label: at least 1 is needed")
    keys = _keys(dataset, seed)
    chosen: dict[str, dict[object, int]] = {label: {} for label in (dataset.classes or ("",))}
    for index in sorted(range(len(dataset)), key=keys.__getitem__):
        for label in dataset.labels_of(dataset[index]) if dataset.classes else ("",):
            if label in chosen and len(chosen[label]) < k:
                chosen[label].setdefault(text_key(dataset[index]), index)
    small = {label: len(rows) for label, rows in chosen.items() if len(rows) < k}
    if small:
        came = ", ".join(
            f"{label!r} has {count}" if label else f"the data has {count}" for label, count in small.items()
        )
        raise DataError(
            "data.class_too_small",
            f"{k} rows with different texts are asked for each label, {came}",
            cure=f"ask for at most {min(small.values())}, or add rows"
            if min(small.values())
            else "add rows of these labels",
        ).at(dataset.name)
    return dataset.select(sorted({index for rows in chosen.values() for index in rows.values()}))


def _deal(
    dataset: Dataset, shares: Sequence[float], *, seed: int, stratify: bool, first_keeps_one: bool = False
) -> list[list[int]]:
    """Row indices of each part, sorted."""
    keys = _keys(dataset, seed)
    strata = _strata(dataset) if stratify else [""] * len(dataset)
    units = sorted((sorted(unit, key=keys.__getitem__) for unit in _units(dataset)), key=lambda unit: keys[unit[0]])
    sizes = Counter(strata)
    given = [Counter[str]() for _ in shares]
    parts: list[list[int]] = [[] for _ in shares]
    for unit in sorted((unit for unit in units if len(unit) > 1), key=len, reverse=True):
        labels = Counter(strata[i] for i in unit)
        best = _best_part(labels, sizes, given, shares)
        parts[best] += unit
        given[best].update(labels)
    singles: dict[str, list[int]] = {label: [] for label in sorted(sizes)}
    for unit in units:
        if len(unit) == 1:
            singles[strata[unit[0]]].append(unit[0])
    dealt = sum(map(len, parts))
    carry = [share * dealt - len(part) for share, part in zip(shares, parts, strict=True)]
    for label, rows in singles.items():
        needs = [max(0.0, share * sizes[label] - part[label]) for share, part in zip(shares, given, strict=True)]
        quotas = _scaled(needs, len(rows)) if sum(needs) > 0 else [share * len(rows) for share in shares]
        counts = _rounded(quotas, carry, first_keeps_one=first_keeps_one and not given[0][label])
        start = 0
        for part, count in zip(parts, counts, strict=True):
            part += rows[start : start + count]
            start += count
    return [sorted(part) for part in parts]


def _best_part(unit: Counter[str], sizes: Counter[str], given: Sequence[Counter[str]], shares: Sequence[float]) -> int:
    """The part whose label counts come nearest to their shares by the unit; of equals the one that lacks most rows.

    Nearness is the fall of chi-square, the sum of (count - expected)² / expected over labels and parts.
    """

    def gain(index: int) -> tuple[float, float, int]:
        part, share = given[index], shares[index]
        fall = 0.0
        for label, count in unit.items():
            expected = share * sizes[label]
            fall += count * (2 * (expected - part[label]) - count) / expected
        return round(fall, 9), round(-part.total() / share, 9), -index

    return max(range(len(shares)), key=gain)


def _scaled(needs: Sequence[float], total: int) -> list[float]:
    return [need * total / sum(needs) for need in needs]


def _rounded(quotas: Sequence[float], carry: list[float], *, first_keeps_one: bool) -> list[int]:
    """Whole numbers with the quotas' sum, each the quota rounded down or up.

    What rounding took from a part is remembered in ``carry`` and given back with the next label, so that the parts'
    totals stay near their shares too.
    """
    counts = [int(quota + 1e-9) for quota in quotas]
    left = round(sum(quotas)) - sum(counts)
    order = sorted(range(len(quotas)), key=lambda i: (-round(quotas[i] - counts[i] + carry[i], 9), i))
    order = [i for i in order if quotas[i] - counts[i] > 1e-9]
    if first_keeps_one and 0 in order and counts[0] == 0:
        order.remove(0)
        order.insert(0, 0)
    for i in order[:left]:
        counts[i] += 1
    for i, quota in enumerate(quotas):
        carry[i] += quota - counts[i]
    return counts


def _strata(dataset: Dataset) -> list[str]:
    """By row the label that its place in a split is decided by: its rarest, nothing for a row with none."""
    rows = dataset.labels()
    held = [dataset.labels_of(row) for row in dataset]
    return [min(labels, key=lambda label: (rows.get(label, 0), label)) if labels else "" for labels in held]


def _keys(dataset: Dataset, seed: int) -> list[str]:
    """A random number for each row that depends on the seed and the row alone; equal rows are told apart by count."""
    seen: Counter[str] = Counter()
    keys = []
    for row in dataset:
        said = f"{row.content}:{row.target!r}:{row.candidates!r}:{row.group!r}"
        keys.append(hashlib.sha256(f"{seed}:{said}:{seen[said]}".encode("utf-8", "surrogatepass")).hexdigest())
        seen[said] += 1
    return keys


def _units(dataset: Dataset) -> list[list[int]]:
    """Rows that must stay together: linked by a group or a text, directly or through others."""
    leader = list(range(len(dataset)))

    def find(row: int) -> int:
        while leader[row] != row:
            leader[row] = leader[leader[row]]
            row = leader[row]
        return row

    first: dict[object, int] = {}
    for index, row in enumerate(dataset):
        links: list[object] = [("text", text_key(row))]
        if row.group is not None:
            links.append(("group", row.group))
        for link in links:
            leader[find(index)] = find(first.setdefault(link, index))
    units: dict[int, list[int]] = {}
    for index in range(len(dataset)):
        units.setdefault(find(index), []).append(index)
    return list(units.values())


def _apart(dataset: Dataset) -> str:
    """How few parts the rows of a data set could be divided into, in words."""
    units = num_units(dataset)
    if any(row.group is not None for row in dataset):
        return f"in {counted(units, 'group')} (of data.roles.group, or with equal texts), which no split divides"
    return f"with {counted(units, 'different text')}"


def num_units(dataset: Dataset) -> int:
    """How many parts a data set could have: rows less those that must stay with another (a group, an equal text).

    >>> from softprompt.core.records import Example
    >>> num_units(Dataset((Example({"text": "Hi!"}), Example({"text": "hi"}), Example({"text": "bye"}))))
    2
    """
    return len(_units(dataset))
