"""Text prompts: the model asked in words alone, without or with demonstrations.

Both use the soft prompt's own template without its slots, the same answers, and contextual calibration (Zhao et al.
2021, https://arxiv.org/abs/2102.09690), so that neither side of the comparison is a straw man. Nothing is trained.
Which rows are shown, and how, stands in :mod:`~softprompt.lab.comparison.prompting.demonstrations`.
"""

from dataclasses import dataclass, field, replace

from softprompt.core.answers import AnswerSettings
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison.asked import Asked
from softprompt.lab.comparison.contenders import Fitted
from softprompt.lab.comparison.prompting.demonstrations import (
    BETWEEN,
    draw_demonstrations,
    room_for,
    with_demonstrations,
)
from softprompt.model.backbones.base import Backbone
from softprompt.model.prediction import Ask
from softprompt.model.templates import RowBuilder, Template
from softprompt.model.templates.grammar import parse
from softprompt.model.templates.parts import Bos, Words, unparse

__all__ = ["FewShot", "ZeroShot", "in_words"]

_CALIBRATED = AnswerSettings(form="words", calibrate="contextual")


@dataclass(frozen=True)
class ZeroShot:
    """The template's words alone.

    Attributes:
        backbone: The frozen model.
        template: Soft slots are left out of it.
        answers: Calibrated unless said otherwise.
        max_tokens: Longest row; None: the model's context.
        batch_tokens: Padded tokens a batch at most.
    """

    backbone: Backbone
    template: Template
    answers: AnswerSettings = field(default_factory=lambda: _CALIBRATED)
    max_tokens: int | None = None
    batch_tokens: int = 4096
    name: str = "zero-shot text prompt"

    def supports(self, task: Task) -> bool:
        return "words" in task.forms and self.backbone.spec.words

    def fit(self, train: Dataset, validation: Dataset | None, task: Task, *, seed: int = 0) -> Asked:
        longest = self.max_tokens or self.backbone.spec.max_positions
        builder = RowBuilder(in_words(self.template, task), task, self.backbone.tokenizer, max_tokens=longest)
        return Asked(backbone=self.backbone, asks=(Ask(builder, answers=self.answers),), batch_tokens=self.batch_tokens)


@dataclass(frozen=True)
class FewShot:
    """Demonstrations from the training rows before the question, in the same template and answers.

    As many of each label as asked for and as fit beside a long row (the 95th percentile of the training rows); several
    draws of them, in different orders, whose probabilities are averaged, because one draw is luck (Lu et al. 2022,
    https://arxiv.org/abs/2104.08786). Written answers use one draw.

    Attributes:
        backbone: The frozen model.
        template: Soft slots are left out of it.
        shots: Demonstrations a label; without fixed labels, demonstrations in all.
        draws: How many draws are averaged.
        max_tokens: Longest row, demonstrations included; the model's context at most.
        answers: Calibrated unless said otherwise.
        batch_tokens: Padded tokens a batch at most.
    """

    backbone: Backbone
    template: Template
    shots: int = 4
    draws: int = 3
    max_tokens: int = 1024
    answers: AnswerSettings = field(default_factory=lambda: _CALIBRATED)
    batch_tokens: int = 8192
    name: str = "few-shot text prompt"

    def supports(self, task: Task) -> bool:
        """Not where each label is a question of its own: a demonstration answers one question."""
        return "words" in task.forms and self.backbone.spec.words and not task.independent

    def fit(self, train: Dataset, validation: Dataset | None, task: Task, *, seed: int = 0) -> Fitted:
        """Raises what building a row of the training data raises."""
        tokenizer = self.backbone.tokenizer
        longest = min(self.max_tokens, self.backbone.spec.max_positions)
        plain = in_words(self.template, task)
        room = room_for(RowBuilder(plain, task, tokenizer, max_tokens=longest), train)
        draws = 1 if task.candidates(train[0]) is None else self.draws
        asks, counts = [], []
        for draw in range(draws):
            chosen = draw_demonstrations(
                train, task, plain, tokenizer, shots=self.shots, room=room, seed=seed * draws + draw
            )
            template = with_demonstrations(plain, chosen, task)
            asks.append(Ask(RowBuilder(template, task, tokenizer, max_tokens=longest), answers=self.answers))
            counts.append(len(chosen))
        shown = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
        note = f"{shown} demonstrations" + (f", {draws} draws averaged" if draws > 1 else "")
        return Asked(backbone=self.backbone, asks=tuple(asks), note=note, batch_tokens=self.batch_tokens)


def in_words(template: Template, task: Task) -> Template:
    r"""The template without its slots, behind the definitions of the labels where the task has some.

    >>> task = Task.classify({"B1": {"say": "billing", "means": "about invoices"}, "D2": "delivery"})
    >>> str(in_words(Template.parse("{bos}{text}<soft 9> It was {answer}"), task))
    '{bos}- billing: about invoices\n- delivery\n\n{text} It was {answer}'
    """
    plain, said = template.without_slots(), task.words.get("task.labels", "")
    if not task.defined or any(isinstance(part, Words) and said in part.text for part in plain.parts):
        return plain
    first = [part for part in plain.parts if isinstance(part, Bos)]
    rest = [part for part in plain.parts if not isinstance(part, Bos)]
    parts = parse(unparse([*first, Words(said + BETWEEN), *rest]))
    return replace(plain, parts=parts)
