"""The table of methods: name -> class and settings. The one place that knows them all.

Others add theirs by :func:`register_method`, or by an entry point of the group ``softprompt.methods`` that is a
:class:`MethodEntry`; see docs/methods/your-own.md.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import Field, PlainSerializer, SerializationInfo, ValidatorFunctionWrapHandler, WrapValidator

from softprompt.core.errors import ConfigError
from softprompt.core.plugins import Table
from softprompt.model.methods.base import Method, MethodSettings
from softprompt.model.methods.context import Context, ContextSettings
from softprompt.model.methods.deep import Deep, DeepSettings
from softprompt.model.methods.late import Late, LateSettings
from softprompt.model.methods.low_rank import LowRank, LowRankSettings
from softprompt.model.methods.multitask import Multitask, MultitaskSettings
from softprompt.model.methods.p_tuning import PTuning, PTuningSettings
from softprompt.model.methods.plain import Plain, PlainSettings
from softprompt.model.methods.progressive import Progressive, ProgressiveSettings
from softprompt.model.methods.residual import Residual, ResidualSettings
from softprompt.model.methods.starts import Start
from softprompt.model.methods.superposition import Superposition, SuperpositionSettings

__all__ = ["METHODS", "AnyMethodSettings", "MethodEntry", "parse_method", "register_method", "start_method"]


class MethodEntry(NamedTuple):
    """A method and its settings."""

    method: type[Method[Any]]
    settings: type[MethodSettings]


METHODS: Table[MethodEntry] = Table(
    "method",
    "softprompt.methods",
    entry=MethodEntry,
    own={
        "plain": MethodEntry(Plain, PlainSettings),
        "residual": MethodEntry(Residual, ResidualSettings),
        "low_rank": MethodEntry(LowRank, LowRankSettings),
        "superposition": MethodEntry(Superposition, SuperpositionSettings),
        "p_tuning": MethodEntry(PTuning, PTuningSettings),
        "context": MethodEntry(Context, ContextSettings),
        "progressive": MethodEntry(Progressive, ProgressiveSettings),
        "multitask": MethodEntry(Multitask, MultitaskSettings),
        "deep": MethodEntry(Deep, DeepSettings),
        "late": MethodEntry(Late, LateSettings),
    },
)

#: Methods that are none of ours, and why.
REFUSED: Mapping[str, tuple[str, str]] = {
    "dept": (
        "it also adds a learned matrix to the embeddings of the text itself, so there is no prompt that could be kept "
        "apart from the model, and nothing before it that is frozen",
        "use low_rank or plain",
    ),
}


def register_method(method: type[Method[Any]], settings: type[MethodSettings]) -> None:
    """Add a method under the name that its settings have; from then on it is a method like any other.

    Raises:
        ConfigError: ``config.name_taken``, ``config.bad_plugin``.
    """
    name = settings.model_fields["name"].default
    if not isinstance(name, str):
        message = f"{settings.__name__} says no name"
        raise ConfigError("config.bad_plugin", message, cure='write name: Literal["yours"] = "yours" into the settings')
    METHODS.register(name, MethodEntry(method, settings))


def parse_method(data: str | Mapping[str, Any]) -> MethodSettings:
    """Settings from a name, or from a mapping with ``name``.

    Raises:
        ConfigError: ``config.unknown_name``, ``config.unsupported_method``, ``config.unknown_key``,
            ``config.invalid``.

    >>> parse_method("plain")
    PlainSettings(name='plain')
    >>> parse_method({"name": "residul"})
    Traceback (most recent call last):
    softprompt.core.errors.ConfigError: unknown method 'residul'; did you mean 'residual'? ...
    """
    fields = {"name": data} if isinstance(data, str) else dict(data)
    return _entry(fields).settings.parse(fields, where="method")


def _entry(fields: Mapping[str, Any]) -> MethodEntry:
    if "name" not in fields:
        message = f"the method has no name; known: {', '.join(sorted(METHODS))}"
        cure = "write it beside its settings: method={name: low_rank, rank: 4}, or --method low_rank"
        raise ConfigError("config.invalid", message, cure=cure)
    name = str(fields["name"])
    if name.lower() in REFUSED:
        reason, cure = REFUSED[name.lower()]
        raise ConfigError("config.unsupported_method", f"method {name!r} is not offered: {reason}", cure=cure)
    return METHODS[name]


def _known(value: Any, ours: ValidatorFunctionWrapHandler) -> MethodSettings:
    """Our own settings as a part of the whole, so that all faults are told at once; a plug-in's by themselves."""
    if isinstance(value, MethodSettings):
        return value
    if isinstance(value, str):
        value = {"name": value}
    if isinstance(value, Mapping) and _entry(value) not in METHODS.own.values():
        return parse_method(value)
    found: MethodSettings = ours(value)
    return found


def _dumped(value: MethodSettings, info: SerializationInfo) -> dict[str, Any]:
    return value.model_dump(mode=info.mode, exclude_unset=info.exclude_unset)


#: For the field ``method`` of a run's settings.
AnyMethodSettings = Annotated[
    PlainSettings
    | ResidualSettings
    | LowRankSettings
    | SuperpositionSettings
    | PTuningSettings
    | ContextSettings
    | ProgressiveSettings
    | MultitaskSettings
    | DeepSettings
    | LateSettings,
    Field(discriminator="name"),
    WrapValidator(_known),
    PlainSerializer(_dumped),
]


def start_method(config: MethodSettings, starts: Sequence[Start], *, max_rms: float | None = None) -> Method[Any]:
    """K prompts of the method that ``config`` belongs to.

    Args:
        config: Settings of the method.
        starts: Of the prompts.
        max_rms: Upper bound of each vector's root mean square, in units of the model's table; None: no bound.
    """
    method = METHODS[config.name].method.start(config, starts)
    method.max_rms = max_rms
    return method
