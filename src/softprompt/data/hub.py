"""Data sets of the Hugging Face hub, by id, and data sets that are loaded already.

    hub:OWNER/NAME[@REVISION][:CONFIG][:SPLIT]      the split is the last part; without it: train

Nothing is fetched unless an id is named, ``HF_HUB_OFFLINE=1`` is honoured (then what was fetched before is used), and
the commit that was read is told, so that a run can be repeated. Code in a data set's repository is never run: the
versions of ``datasets`` that are asked for cannot.

Integers that a data set declares as class labels come by their names.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from softprompt.core.errors import DataError, ExtraError
from softprompt.data.entries import Record

__all__ = ["PREFIX", "HubId", "is_dataset", "open_hub", "records"]

PREFIX = "hub:"

_ID = re.compile(
    r"(?P<name>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?"
    r"(?::(?P<config>[^:\[]+)(?=:))?(?::(?P<split>[^:\[]+(?:\[[^\]]*\])?))?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class HubId:
    """Which data set, and which part of it.

    >>> HubId.parse("hub:owner/reviews@v2:german:test")
    HubId(name='owner/reviews', revision='v2', config='german', split='test')
    >>> HubId.parse("hub:owner/reviews:test").split
    'test'
    """

    name: str
    revision: str | None = None
    config: str | None = None
    split: str | None = None

    @classmethod
    def parse(cls, text: str) -> "HubId":
        """From what stands in the settings.

        Raises:
            DataError: ``data.bad_source``.
        """
        found = _ID.fullmatch(text.removeprefix(PREFIX))
        if found is None:
            cure = "write hub:OWNER/NAME:SPLIT, or hub:OWNER/NAME@REVISION:CONFIG:SPLIT"
            raise DataError("data.bad_source", f"{text!r} names no data set of the hub", cure=cure)
        return cls(**found.groupdict())


def open_hub(text: str) -> tuple[Any, tuple[str, ...]]:
    """A split of a data set, and what is to be said of it.

    Raises:
        ExtraError: ``softprompt[data]`` is not installed.
        DataError: ``data.bad_source``, ``data.not_on_hub``, ``data.unknown_split``.
    """
    wanted = HubId.parse(text)
    try:
        import datasets
    except ImportError:
        raise ExtraError.needs("datasets", extra="data", purpose="reading a data set of the hub") from None
    try:
        builder = datasets.load_dataset_builder(wanted.name, wanted.config, revision=wanted.revision)
        commit = str(builder.hash or "")
        if wanted.revision and _COMMIT.fullmatch(wanted.revision) and commit != wanted.revision:
            raise FileNotFoundError(f"what is kept here is the commit {commit}")
        builder.download_and_prepare()
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = f"the data set cannot be had: {str(error).strip().splitlines()[0]}"
        cure = "check its name, configuration and revision; offline, load it once while online"
        raise DataError("data.not_on_hub", reason, cure=cure).at(text) from None
    splits = list(builder.info.splits or ())
    split = wanted.split or ("train" if "train" in splits else None)
    if split is None or re.split(r"[\[+]", split)[0] not in splits:
        came = f"there is no split {split!r}" if split else "no split is named"
        cure = f"write {PREFIX}{wanted.name}:{splits[0] if splits else 'SPLIT'}"
        raise DataError("data.unknown_split", f"{came}; known: {', '.join(splits)}", cure=cure).at(text)
    said = [f"{wanted.name}, split {split}, at commit {commit}" if commit else f"{wanted.name}, split {split}"]
    if wanted.revision and wanted.revision != commit and datasets.config.HF_HUB_OFFLINE:
        said.append(f"offline: what is kept here was taken, whether or not it is the revision {wanted.revision}")
    return builder.as_dataset(split=split), tuple(said)


def is_dataset(source: object) -> bool:
    """Whether this is a loaded data set of the ``datasets`` library, which need not be importable."""
    return hasattr(source, "column_names") and hasattr(source, "map") and not hasattr(source, "to_records")


def records(dataset: Any) -> tuple[Iterator[Record], tuple[str, ...]]:
    """The rows of a loaded data set, class labels by their names, and a sentence for each such column.

    Raises:
        DataError: ``data.bad_source``: several splits at once.
    """
    if isinstance(dataset, Mapping):
        reason = f"this holds the splits {', '.join(map(str, dataset))}, one is needed"
        cure = f"give one of them, as in dataset[{next(iter(dataset), 'train')!r}]"
        raise DataError("data.bad_source", reason, cure=cure)
    names = {column: found for column, kind in (dataset.features or {}).items() if (found := _names(kind))}
    said = tuple(f"the numbers in {column!r} are read as its labels {_some(found)}" for column, found in names.items())

    def rows() -> Iterator[Record]:
        for number, row in enumerate(dataset, 1):
            named = {column: _by_name(row.get(column), found) for column, found in names.items()}
            yield Record(f"row {number}", {**row, **named})

    return rows(), said


def _names(kind: Any) -> list[str]:
    """The names of a class label, also of a list of them; none for other columns."""
    kind = getattr(kind, "feature", kind)
    return list(kind.names) if type(kind).__name__ == "ClassLabel" else []


def _by_name(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_by_name(part, names) for part in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
