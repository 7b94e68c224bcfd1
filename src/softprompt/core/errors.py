"""One tree of errors with stable codes, the same in Python, on the command line and in the docs.

A message says what is wrong, what came and what is allowed; the cure says what to do. Context (file, line, row, step) is
added once, at the seam that knows it, with :meth:`SoftpromptError.at`.

    SoftpromptError
    ├── ConfigError      config.*     a run's settings
    ├── DataError        data.*       rows, columns, labels, files
    ├── TemplateError    template.*   the text around the soft tokens
    ├── ModelError       model.*      loading and driving the frozen model
    ├── PromptError      prompt.*     saved prompts
    ├── TrainingError    training.*   a run that cannot go on
    ├── ResourceError    resource.*   memory and disk
    └── ExtraError       extra.*      an optional dependency is not installed
"""

import difflib
from collections.abc import Iterable
from typing import ClassVar, Self

__all__ = [
    "CATALOGUE",
    "ConfigError",
    "DataError",
    "ExtraError",
    "ModelError",
    "PromptError",
    "ResourceError",
    "SoftpromptError",
    "TemplateError",
    "TrainingError",
    "nearest",
]

#: Every code and what it means; the error reference in docs/ is generated from it.
CATALOGUE: dict[str, str] = {
    "config.unknown_key": "A key that no setting has.",
    "config.invalid": "One or more settings have a wrong type or value.",
    "config.unreadable": "The configuration file cannot be read or is not YAML.",
    "config.unknown_name": "A name (method, metric, preset, ...) that is not in its table.",
    "data.no_candidates": "A row of a choose task has fewer than two candidates.",
    "data.no_target": "A row has no answer where one is needed.",
    "data.invalid_statistic": "A count or p-value outside its range.",
    "data.lengths_differ": "Lists that must run in parallel differ in length.",
    "data.not_probabilities": "A metric of probabilities got something else.",
    "data.nothing_to_score": "A score was asked of no items.",
    "data.unknown_label": "A label that the task does not list.",
    "model.gated": "A model on the hub that needs access first.",
    "model.no_device": "A device that this machine does not have.",
    "model.no_safetensors": "A model whose weights are not safetensors.",
    "model.no_tokenizer": "A model without a usable tokenizer.",
    "model.not_found": "No folder and no hub model of that name.",
    "model.remote_code": "A model that would need code from its repository.",
    "model.too_long": "A row is longer than the model's context.",
    "model.unreadable": "A model folder that cannot be read.",
    "model.unsupported": "A kind of model that softprompt cannot drive, with the reason.",
    "model.unsupported_prompt": "Prompt tensors that this model cannot take.",
    "model.no_chat_template": "A chat template is asked of a model that has none.",
    "extra.missing": "An optional dependency is needed and not installed.",
}


class SoftpromptError(Exception):
    """Base of all errors that are the user's to know.

    Args:
        code: Stable, dotted, listed in :data:`CATALOGUE`; its first part is the class's ``prefix``.
        message: What is wrong, what came, what is allowed; one line.
        cure: What to do about it.

    >>> error = DataError("data.empty_file", "rows.csv has no rows", cure="check the path").at("rows.csv")
    >>> print(error)
    rows.csv: rows.csv has no rows [data.empty_file]; check the path
    """

    prefix: ClassVar[str] = ""
    exit_status: ClassVar[int] = 1

    def __init__(self, code: str, message: str, *, cure: str | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.cure = cure
        self.context: tuple[str, ...] = ()

    def at(self, *context: str) -> Self:
        """Say where it happened (outermost first); returns the same error, to be raised again."""
        self.context = (*context, *self.context)
        return self

    def __str__(self) -> str:
        where = "".join(f"{part}: " for part in self.context)
        cure = f"; {self.cure}" if self.cure else ""
        return f"{where}{self.message} [{self.code}]{cure}"


class ConfigError(SoftpromptError):
    """A run's settings are wrong."""

    prefix = "config"
    exit_status = 2


class DataError(SoftpromptError):
    """Rows, columns, labels or files are wrong."""

    prefix = "data"
    exit_status = 3


class TemplateError(SoftpromptError):
    """The template is wrong; the message points with a caret where it can."""

    prefix = "template"
    exit_status = 4


class ModelError(SoftpromptError):
    """The frozen model cannot be loaded or driven."""

    prefix = "model"
    exit_status = 5


class PromptError(SoftpromptError):
    """A saved prompt is broken or made for something else."""

    prefix = "prompt"
    exit_status = 6


class TrainingError(SoftpromptError):
    """A training cannot go on."""

    prefix = "training"
    exit_status = 7


class ResourceError(SoftpromptError):
    """Memory or disk does not suffice."""

    prefix = "resource"
    exit_status = 8


class ExtraError(SoftpromptError):
    """An optional dependency is not installed."""

    prefix = "extra"
    exit_status = 9

    @classmethod
    def needs(cls, package: str, *, extra: str, purpose: str) -> Self:
        """The one sentence with the cure.

        >>> print(ExtraError.needs("sklearn", extra="compare", purpose="the TF-IDF baseline"))
        the TF-IDF baseline needs sklearn [extra.missing]; pip install 'softprompt[compare]'
        """
        return cls("extra.missing", f"{purpose} needs {package}", cure=f"pip install 'softprompt[{extra}]'")


def nearest(name: str, known: Iterable[str]) -> str:
    """A clause that lists what is known, the nearest spelling first.

    >>> nearest("acuracy", ["accuracy", "macro_f1"])
    "did you mean 'accuracy'? known: accuracy, macro_f1"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(names)}"
