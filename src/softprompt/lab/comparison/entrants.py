"""From the settings of a contender to what takes part: who fits, on what its numbers depend, and its attempts.

All work on one :class:`~softprompt.lab.comparison.stage.Stage`. An entrant says in words why it does not fit a task,
instead of failing; :func:`entrant_of` is the one place that knows them all. What it is told wrong it refuses before
anybody is fitted.
"""

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from softprompt.core.answers import AnswerSettings
from softprompt.core.errors import ConfigError, SoftpromptError, TemplateError
from softprompt.lab.comparison.attempts import Ensemble, FineTuned, Simple, Soft
from softprompt.lab.comparison.baselines.linear_probe import LinearProbe
from softprompt.lab.comparison.baselines.majority import Majority
from softprompt.lab.comparison.baselines.tfidf import TfidfLogistic
from softprompt.lab.comparison.prompting.api import ApiContender
from softprompt.lab.comparison.prompting.endpoint import Endpoint
from softprompt.lab.comparison.prompting.similar import SimilarShots
from softprompt.lab.comparison.prompting.text_prompts import FewShot, ZeroShot
from softprompt.lab.comparison.settings import (
    ApiSettings,
    EnsembleSettings,
    EntrantSettings,
    FewShotSettings,
    FullSettings,
    LoraSettings,
    PlainEntrantSettings,
    SoftSettings,
    TextSettings,
)
from softprompt.lab.comparison.stage import Attempt, Stage
from softprompt.model.templates import Template

__all__ = ["Entrant", "default_entrants", "entrant_of", "nobody_fits", "reason_against", "said_of"]

#: Parameters up to which full fine-tuning takes part unasked without an accelerator: 16 bytes each, and the copy.
SMALL_MODEL = 150_000_000


class Entrant(Protocol):
    """A contender on a stage."""

    @property
    def stage(self) -> Stage:
        """Where it stands: the rows that it reads, with the columns that its own template names."""
        ...

    @property
    def settings(self) -> EntrantSettings: ...

    @property
    def made_of(self) -> tuple[str, ...]:
        """Names of the lines that it is made of, and whose costs are its own, too."""
        ...

    def unfit(self) -> str:
        """Why it does not fit the task or this installation; empty where it does.

        Asked before anybody is fitted: it tries out what its settings say.

        Raises:
            SoftpromptError: What it finds, with its code; :func:`reason_against` says which are refused.
        """
        ...

    def facts(self) -> Mapping[str, Any]:
        """What its numbers depend on, its own settings included, its name not."""
        ...

    def attempts(self, folder: Path | None) -> Iterator[Attempt]:
        """Fit, seed by seed; whoever asks for the next one is done with the one before.

        Args:
            folder: For checkpoints; None keeps none.
        """
        ...


def entrant_of(settings: EntrantSettings, stage: Stage, *, others: Sequence[EntrantSettings] = ()) -> Entrant:
    """The contender that settings mean.

    Args:
        settings: Of one contender.
        stage: Where it stands.
        others: All settings of the table, for those that are made of others.

    Raises:
        ConfigError, TemplateError: A template of its own cannot be built.
    """
    backbone, template, longest = stage.backbone, stage.builder.template, stage.builder.max_tokens
    match settings:
        case PlainEntrantSettings(kind="majority"):
            return Simple(stage, settings, Majority(), model=False)
        case PlainEntrantSettings(kind="tfidf"):
            contender = TfidfLogistic(fields=template.fields, offsets=stage.correction)
            return Simple(stage, settings, contender, model=False, needs=("sklearn", "compare"))
        case PlainEntrantSettings(kind="embeddings"):
            probe = LinearProbe(backbone, template, max_tokens=longest, offsets=stage.correction)
            return Simple(stage, settings, probe, needs=("sklearn", "compare"))
        case PlainEntrantSettings(kind="zero-shot"):
            return _asking(stage, settings, ZeroShot(backbone, template, max_tokens=longest))
        case TextSettings():
            written = Template.parse(settings.template, keep=template.keep).saying(stage.task.words)
            answers = AnswerSettings(form="words", calibrate="contextual" if settings.calibrate else "none")
            own = ZeroShot(backbone, written, answers=answers, max_tokens=longest)
            return _asking(stage.reading(written.fields), settings, own)
        case FewShotSettings(choose="similar"):
            similar = SimilarShots(backbone, template, shots=settings.shots, orders=settings.num_orders)
            return Simple(stage, settings, similar, needs=("sklearn", "compare"))
        case FewShotSettings():
            shots = FewShot(backbone, template, shots=settings.shots, draws=settings.num_orders)
            return Simple(stage, settings, shots, luck=True)
        case SoftSettings():
            return _soft(stage, settings)
        case EnsembleSettings():
            prompts = [one for one in others if isinstance(one, SoftSettings)]
            named = [one for one in prompts if settings.of in (None, one.called)]
            return Ensemble(stage, settings, _soft(stage, named[0]) if named else None)
        case LoraSettings() | FullSettings():
            return FineTuned(stage, settings)
        case ApiSettings():
            folder = None if stage.folder is None else stage.folder / "api"
            endpoint = Endpoint(settings, purse=stage.purse, folder=folder)
            needs = ("sklearn", "compare") if settings.shots and settings.choose == "similar" else None
            asked = ApiContender(settings, template, endpoint)
            return Simple(stage, settings, asked, model=False, needs=needs, rehearse=endpoint.lacks_key)
    raise AssertionError(f"settings without an entrant: {type(settings).__name__}")


def _asking(stage: Stage, settings: EntrantSettings, contender: ZeroShot) -> Simple:
    """A text prompt; one row is written with it, so that a template that takes none is refused."""

    def rehearse_row() -> str:
        train, validation = stage.splits["train"], stage.splits["validation"]
        asks = contender.fit(train, validation, stage.task).asks
        asks[0].builder.row(train[0], target=False)
        return ""

    return Simple(stage, settings, contender, rehearse=rehearse_row)


def _soft(stage: Stage, settings: SoftSettings) -> Soft:
    """A soft prompt; a template that cannot be built is refused here."""
    fields = stage.template_of(settings).fields
    return Soft(stage if settings.template is None else stage.reading(fields), settings)


def reason_against(entrant: Entrant) -> str:
    """Why a contender takes no part; empty where it does.

    Raises:
        ConfigError, TemplateError: Its settings are wrong, whatever the task: nobody should wait to be told so.
    """
    try:
        return entrant.unfit()
    except (ConfigError, TemplateError) as error:
        raise error.at(entrant.settings.called) from None
    except SoftpromptError as error:
        return said_of(error)


def nobody_fits(reasons: Mapping[str, str]) -> ConfigError:
    """The error where every contender is left out.

    Args:
        reasons: What :func:`reason_against` says, by name.

    >>> nobody_fits({"LoRA": "it needs peft"}).message
    'nobody takes part (LoRA: it needs peft)'
    """
    told = "; ".join(f"{name}: {why}" for name, why in reasons.items())
    cure = "name others (-c), or none: then those that fit take part"
    return ConfigError("config.unsupported_method", f"nobody takes part ({told})", cure=cure)


def default_entrants(stage: Stage, *, places: bool = True) -> tuple[EntrantSettings, ...]:
    """Who takes part where nobody was named: what fits the task, this model and this machine.

    Args:
        stage: Where they stand.
        places: Whether the run's template can be had with its soft tokens in either place: a preset, not one that is
            written out.
    """
    found: list[EntrantSettings] = [PlainEntrantSettings(kind="majority")]
    if stage.task.fixed_candidates:
        found += [PlainEntrantSettings(kind="tfidf"), PlainEntrantSettings(kind="embeddings")]
    found += [PlainEntrantSettings(kind="zero-shot"), FewShotSettings(orders=1)]
    if find_spec("sklearn"):
        found.append(FewShotSettings(choose="similar"))
    if places and stage.builder.template.turns is None:
        found += [SoftSettings(place="before"), SoftSettings(place="after")]
    else:
        found.append(SoftSettings())
    if len(stage.seeds) > 1:
        found.append(EnsembleSettings(of=found[-1].called))
    if find_spec("peft"):
        found.append(LoraSettings())
    if stage.backbone.spec.num_parameters <= SMALL_MODEL or stage.backbone.spec.device.type == "cuda":
        found.append(FullSettings())
    return tuple(found)


def said_of(error: SoftpromptError) -> str:
    r"""An error as the reason of a line, without line breaks.

    >>> from softprompt.core.errors import ConfigError
    >>> said_of(ConfigError("config.invalid", "two\nlines"))
    'two lines [config.invalid]'
    """
    return " ".join(str(error).split())
