"""What a sweep varies: keys of a run, each with choices or a range, and how long it looks.

Knows names of keys; nothing of what they mean and nothing of samplers.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from softprompt.core.config import Settings
from softprompt.core.errors import nearest

__all__ = ["SHORT", "Range", "SweepSettings", "default_space", "key_of", "parsed_address", "told"]

#: Short names of the keys that matter most.
SHORT: Mapping[str, str] = {
    "length": "template.length",
    "place": "template.place",
    "start": "start.kind",
    "rate": "training.rate",
    "method": "method",
    "weight_decay": "training.weight_decay",
    "noise": "training.noise",
    "dropout": "training.dropout",
    "smoothing": "training.smoothing",
    "max_rms": "training.max_rms",
}

#: Parts of a run that a sweep may vary: the prompt and how it is trained, never rows, task and model.
SECTIONS = ("template", "start", "method", "training")


class Range(Settings):
    """Numbers from ``low`` to ``high``; whole ones where both ends are whole and written so."""

    low: int | float
    high: int | float
    log: bool = Field(False, description="equal chances for equal ratios")

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"the range from {self.low} to {self.high} does not rise")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range begins above 0, not at {self.low}")
        return self

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)


Choices = Annotated[tuple[Any, ...], Field(min_length=1)]


def _form(varied: object) -> str:
    return "range" if isinstance(varied, Mapping | Range) else "choices"


#: What one key takes: a list of choices or a range, told apart by its form, so that faults are told of the one meant.
Varied = Annotated[Annotated[Choices, Tag("choices")] | Annotated[Range, Tag("range")], Discriminator(_form)]


def default_space(*, labels: bool = True) -> dict[str, tuple[Any, ...] | Range]:
    """What is varied where nothing is said; soft tokens stay where they are, since *before* costs many times more.

    Args:
        labels: Whether the task has fixed labels to start from.
    """
    return {
        "length": Range(low=1, high=50, log=True),
        "rate": Range(low=0.003, high=0.5, log=True),
        "start": ("vocabulary", *(("labels",) if labels else ()), "random"),
        "method": ("plain", "residual"),
        "noise": (0.0, 0.1),
    }


class SweepSettings(Settings):
    """How settings are searched.

    >>> found = SweepSettings.parse({"space": {"length": [1, 10], "rate": {"low": 0.01, "high": 1, "log": True}}})
    >>> found.space["length"], found.space["rate"].whole
    ((1, 10), False)
    """

    trials: int = Field(32, ge=1, description="trials in all, those of earlier processes included")
    minutes: float | None = Field(None, gt=0, description="begin no trial that would not end by then")
    jobs: int | None = Field(
        None,
        ge=1,
        description="processes on this machine that share the study, or workers of the cluster; None: one, and on a "
        "cluster one an accelerator, or one a machine",
    )
    ray: str | None = Field(
        None,
        description="Ray cluster that trains: local (started for this sweep), auto (this machine's), HOST:PORT or "
        "ray://HOST:PORT; None: no cluster",
    )
    together: int = Field(
        16, ge=1, description="trials that are drawn at a time, and trained in as few passes as can be"
    )
    sampler: Literal["tpe", "random"] = Field(
        "tpe", description="tpe draws where earlier trials did well, random anywhere"
    )
    halving: bool = Field(
        True, description="successive halving: at a ninth and a third of the steps only the best third goes on"
    )
    seed: int = Field(0, description="of the draws")
    steps: int | None = Field(None, ge=1, description="of a trial; None: as many as the run has")
    confirm: int = Field(3, ge=0, description="fresh seeds that the winner is trained with; 0: it is not confirmed")
    storage: str | None = Field(None, description="database URL of the study; None: a SQLite file in the folder")
    space: dict[str, Varied] | None = Field(
        None, description="key -> list of choices, or {low, high, log}; None: length, rate, start, method and noise"
    )

    @field_validator("ray")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            parsed_address(value)
        return value

    @field_validator("space", mode="before")
    @classmethod
    def _forms(cls, value: Any) -> Any:
        for name, varied in value.items() if isinstance(value, Mapping) else ():
            key_of(str(name))
            if not isinstance(varied, list | tuple | Mapping | Range):
                raise ValueError(f"{name}: {varied!r} varies nothing; give choices [a, b] or {{low, high, log}}")
        return value

    @field_validator("space")
    @classmethod
    def _known(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        for name in value or ():
            key_of(name)
        if value is not None and not value:
            raise ValueError("the space is empty: nothing would be varied")
        if value is not None and len({key_of(name) for name in value}) < len(value):
            raise ValueError("two names of the space are the same key")
        return value

    @property
    def looks(self) -> int | None:
        """Looks at the validation rows that successive halving needs; None: as the run has."""
        return 9 if self.halving else None


def key_of(name: str) -> str:
    """The key of a run that a name of the space stands for.

    Raises:
        ValueError: It is none that a sweep may vary.

    >>> key_of("length"), key_of("training.warmup")
    ('template.length', 'training.warmup')
    """
    if name in SHORT:
        return SHORT[name]
    if "." in name and name.split(".")[0] in SECTIONS:
        return name
    raise ValueError(f"a sweep cannot vary {name!r}; {nearest(name, SHORT)}, or a key of {', '.join(SECTIONS)}")


def parsed_address(address: str) -> tuple[str, int] | None:
    """Host and port of a cluster; None for ``local`` and ``auto``, which name none.

    Raises:
        ValueError: It is no address.

    >>> parsed_address("10.0.0.1:6379"), parsed_address("ray://head:10001"), parsed_address("local")
    (('10.0.0.1', 6379), ('head', 10001), None)
    """
    if address in ("local", "auto"):
        return None
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"no address of a Ray cluster: {address!r}; local, auto, HOST:PORT or ray://HOST:PORT")
    return host, int(port)


def told(value: Any) -> str:
    """A value in few characters.

    >>> told(0.0123456), told({"name": "residual", "bottleneck": 8}), told("plain")
    ('0.0123', 'residual(bottleneck=8)', 'plain')
    """
    if isinstance(value, Mapping) and "name" in value:
        rest = ", ".join(f"{key}={told(one)}" for key, one in value.items() if key != "name")
        return f"{value['name']}({rest})" if rest else str(value["name"])
    return f"{value:.3g}" if isinstance(value, float) and math.isfinite(value) else str(value)
