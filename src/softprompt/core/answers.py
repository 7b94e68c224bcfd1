"""How candidate answers are told apart: the settings, and the way from their scores to probabilities.

A candidate's score is the log-probability of all its tokens, or what a label vector gives (law 9). Probabilities are
the softmax over the scores of one row. Two corrections are known for scores of words: the mean a token instead of the
sum, so that long answers are not punished, and contextual calibration, so that an answer that the model likes whatever
it reads gains nothing from it.

Knows nothing of models and tokens; arithmetic on plain arrays.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from pydantic import Field, model_validator

from softprompt.core.config import Settings
from softprompt.core.errors import ConfigError
from softprompt.core.tasks import Task

__all__ = [
    "CONTENT_FREE",
    "LARGE_MODEL",
    "MANY_LABELS",
    "AnswerSettings",
    "answer_probabilities",
    "pooled",
    "prior_offsets",
]

#: What stands in every field while a model is asked what it would answer anyway (Zhao et al. 2021).
CONTENT_FREE = ("N/A", "", "[MASK]")

#: Parameters from which a model is trusted to know the label words: below, words reached 30 % where label vectors
#: reached 52 % (five topics, a model of 6.5 million parameters, 300 rows).
LARGE_MODEL = 1_000_000_000

#: Labels from which scoring each by its words costs more than the text itself.
MANY_LABELS = 20


class AnswerSettings(Settings):
    """The ``answers:`` of a run.

    >>> AnswerSettings.parse({"form": "vectors", "calibrate": "contextual"})
    Traceback (most recent call last):
    softprompt.core.errors.ConfigError: settings: normalise and calibrate correct scores of words; ...
    >>> AnswerSettings().resolved(Task.classify(["no", "yes"]), num_parameters=6_500_000).form
    'vectors'
    """

    form: Literal["auto", "words", "vectors"] = Field(
        "auto", description="words: log-probability of the answer's text; vectors: a trained output vector a label"
    )
    normalise: Literal["none", "length"] = Field("none", description="words: length takes the mean a token")
    calibrate: Literal["none", "contextual"] = Field(
        "none", description="words: contextual divides by what the model answers to empty input"
    )

    prior: Literal["auto"] | Annotated[float, Field(ge=0, le=1)] = Field(
        "auto",
        description="how far labels are made equally frequent: 0 keeps their shares of the training rows, 1 takes them "
        "out; auto: 0.5 where macro-F1 decides and labels are uneven",
    )
    offsets: tuple[float, ...] = Field(
        (), description="added to the scores of the labels, in their order; a prior fills them in"
    )

    @model_validator(mode="after")
    def _for_words(self) -> "AnswerSettings":
        if self.form == "vectors" and self.corrected:
            raise ValueError("normalise and calibrate correct scores of words; label vectors learn their own bias")
        return self

    @property
    def corrected(self) -> bool:
        """Whether scores of words are corrected."""
        return self.normalise != "none" or self.calibrate != "none"

    def resolved(self, task: Task, *, num_parameters: int, words: bool = True) -> "AnswerSettings":
        """The same with ``auto`` decided.

        Label vectors need fixed labels; there they are taken for a model below :data:`LARGE_MODEL` parameters or from
        :data:`MANY_LABELS` labels on, unless a correction of words is asked for.

        Args:
            task: What is asked.
            num_parameters: Of the frozen model.
            words: Whether the model can score words.

        Raises:
            ConfigError: ``config.invalid`` for a form that the kind of task does not have.
        """
        if self.form != "auto" and self.form not in task.forms:
            message = f"answers.form: {self.form} is not for this kind of task; possible: {', '.join(task.forms)}"
            raise ConfigError("config.invalid", message, cure="leave answers.form out")
        if task.independent and self.normalise != "none":
            message = "each label is a yes or no of its own, and both are equally long: there is nothing to normalise"
            raise ConfigError("config.invalid", message, cure="leave answers.normalise out")
        if self.form != "auto" or len(task.forms) == 1:
            return self.model_copy(update={"form": task.forms[0]}) if self.form == "auto" else self
        vectors = not self.corrected
        if vectors and words and num_parameters >= LARGE_MODEL:
            vectors = len(getattr(task, "names", ())) >= MANY_LABELS
        return self.model_copy(update={"form": "vectors" if vectors else "words"})


def prior_offsets(counts: Sequence[int], *, strength: float = 1.0) -> tuple[float, ...]:
    """What turns scores for the labels' own shares into scores for equal ones: -strength log of the shares, mean 0.

    A label without rows gets the mean: nothing is known of it.

    Args:
        counts: Training rows by label.
        strength: 1 takes the shares out, which is right for the mean recall of the labels; F1 lies between.

    Source: Menon et al., Long-tail learning via logit adjustment, ICLR 2021, equation 9 (tau is the strength).

    >>> [round(offset, 3) for offset in prior_offsets([80, 20])]
    [-0.693, 0.693]
    """
    logs = {i: -float(np.log(count)) for i, count in enumerate(counts) if count > 0}
    mean = sum(logs.values()) / max(1, len(logs))
    return tuple(strength * (logs[i] - mean) if i in logs else 0.0 for i in range(len(counts)))


def answer_probabilities(
    scores: ArrayLike,
    *,
    lengths: ArrayLike | None = None,
    content_free: Sequence[ArrayLike] = (),
    offsets: Sequence[float] = (),
    independent: bool = False,
) -> Float[np.ndarray, " C"]:
    r"""Probabilities of the C candidates of one row.

    With scores s_k (divided by their lengths where given) and p = softmax(s): without calibration p itself; with it

        q_k = p_k / mean_c p_k(c),  normalised to sum 1,

    where c runs over content-free inputs.

    Args:
        scores: Log-probability of each candidate or score of each label, [C].
        lengths: Tokens of each candidate, [C]: the mean a token is taken.
        content_free: Scores of the same candidates, [C] each, for inputs without content.
        offsets: Added to the logarithms of the probabilities, [C]: a correction for the labels' shares.
        independent: Each candidate is a yes or no of its own, and s_k are log-odds: p_k = 1 / (1 + exp(-s_k)), with
            content-free inputs each yes and no divided by what it gets anyway; lengths and offsets are not used.

    Source: Zhao et al., ICML 2021, 12697-12706 (W = diag(p_cf)^-1, b = 0; content-free inputs averaged).

    >>> answer_probabilities([0.0, 0.0, np.log(2)]).round(2).tolist()
    [0.25, 0.25, 0.5]
    >>> answer_probabilities(np.log([0.6, 0.4]), content_free=[np.log([0.75, 0.25])]).round(3).tolist()
    [0.333, 0.667]
    >>> answer_probabilities([0.0, 1.0], content_free=[[1.0, 1.0]], independent=True).round(3).tolist()
    [0.269, 0.5]
    """
    if independent:
        odds = np.asarray(scores, dtype=np.float64)
        if len(content_free):
            anyway = np.stack([_sigmoid(np.asarray(c, dtype=np.float64)) for c in content_free]).mean(axis=0)
            odds = odds - np.log(np.maximum(anyway, 1e-12) / np.maximum(1 - anyway, 1e-12))
        return _sigmoid(odds)
    divisor = np.ones(1) if lengths is None else np.maximum(np.asarray(lengths, dtype=np.float64), 1)
    logs = _log_softmax(np.asarray(scores, dtype=np.float64) / divisor)
    if len(content_free):
        anyway = np.stack([_log_softmax(np.asarray(c, dtype=np.float64) / divisor) for c in content_free])
        logs = _log_softmax(logs - np.logaddexp.reduce(anyway, axis=0))
    if len(offsets):
        logs = _log_softmax(logs + np.asarray(offsets, dtype=np.float64))
    return np.asarray(np.exp(logs))


def pooled(
    probabilities: Sequence[Float[np.ndarray, " C"]],
    *,
    how: Literal["mean", "max"] = "mean",
    independent: bool = False,
) -> Float[np.ndarray, " C"]:
    """Probabilities of the C candidates from those of several windows of one text.

    Args:
        probabilities: [C] a window.
        how: ``mean`` of the log-probabilities over the windows, or the highest probability of each candidate in any
            window; normalised to sum 1.
        independent: Each candidate is a yes or no of its own: the mean or the highest probability of each.

    >>> windows = [np.array([0.5, 0.5]), np.array([0.2, 0.8])]
    >>> pooled(windows).round(3).tolist(), pooled(windows, how="max").round(3).tolist()
    ([0.333, 0.667], [0.385, 0.615])
    """
    if len(probabilities) == 1:
        return probabilities[0]
    if independent:
        return np.asarray(np.mean(probabilities, axis=0) if how == "mean" else np.max(probabilities, axis=0))
    logs = np.log(np.maximum(np.stack(probabilities), 1e-300))
    return np.asarray(np.exp(_log_softmax(logs.mean(axis=0) if how == "mean" else logs.max(axis=0))))


def _sigmoid(x: Float[np.ndarray, " C"]) -> Float[np.ndarray, " C"]:
    return np.asarray(np.exp(-np.logaddexp(0.0, -x)))


def _log_softmax(x: Float[np.ndarray, " C"]) -> Float[np.ndarray, " C"]:
    return np.asarray(x - np.logaddexp.reduce(x))
