"""Text prompts: the model asked in words alone, without or with worked examples.

Both use the soft prompt's own template without its slots, the same answers, and contextual calibration, so that neither
side of the comparison is a straw man. Nothing is trained.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from softprompt.core.answers import AnswerSettings
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.core.tokens import Tokenizer
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison.asked import Asked
from softprompt.lab.comparison.contenders import Fitted
from softprompt.model.backbones.base import Backbone
from softprompt.model.prediction import Ask
from softprompt.model.templates import RowBuilder, Template
from softprompt.model.templates.grammar import parse
from softprompt.model.templates.parts import AnswerPlace, Bos, Decoder, Field, Part, Slot, Special, Words, unparse
from softprompt.model.templates.segments import resolve

__all__ = ["FewShot", "ZeroShot", "draw_demonstrations", "with_demonstrations"]

_CALIBRATED = AnswerSettings(form="words", calibrate="contextual")
_BETWEEN = "\n\n"  # stands after each demonstration
_MEASURED_ROWS = 200  # training rows whose length says how much room a row needs


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
    """Worked examples from the training rows before the question, in the same template and answers.

    As many of each label as asked for and as fit beside a long row (the 95th percentile of the training rows); several
    draws of them, in different orders, whose probabilities are averaged, because one draw is luck. Written answers use
    one draw.

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
        builder = RowBuilder(plain, task, tokenizer, max_tokens=longest)
        lengths = sorted(builder.lengths(example).total for example in train[:_MEASURED_ROWS])
        room = longest - max(lengths[int(0.95 * (len(lengths) - 1))], longest // 4)
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
    parts = parse(unparse([*first, Words(said + _BETWEEN), *rest]))
    return replace(plain, parts=parts)


def draw_demonstrations(
    train: Dataset, task: Task, template: Template, tokenizer: Tokenizer, *, shots: int, room: int, seed: int
) -> tuple[Example, ...]:
    """Training rows to show, in the order in which to show them.

    Round by round, one of each label in random order, the first of its rows that is no longer than its share of the
    room. Only whole rounds are kept, so that labels stay balanced; the first round is kept as far as it fits.

    Args:
        train: Labelled rows.
        task: Its labels make the piles; without fixed labels there is one.
        template: Without soft slots.
        tokenizer: Counts.
        shots: Rounds.
        room: Tokens for all demonstrations.
        seed: Of the draw and the order.
    """
    rng = random.Random(seed)
    piles: dict[str, list[tuple[int, Example]]] = {}
    for example in rng.sample(train.rows, len(train)):
        shown = template.render(example.fields, answer=answer_text(task, example)) + _BETWEEN
        pile = " ".join(task.held(task.reference(example))) if task.fixed_candidates else ""
        piles.setdefault(pile, []).append((len(tokenizer.encode(shown)), example))
    chosen: list[Example] = []
    for _ in range(shots):
        labels = rng.sample(sorted(piles), len(piles))
        found: list[Example] = []
        for left, label in zip(range(len(labels), 0, -1), labels, strict=True):
            pick = next((n for n, (cost, _) in enumerate(piles[label]) if cost <= room // left), None)
            if pick is not None:
                cost, example = piles[label].pop(pick)
                found.append(example)
                room -= cost
        if len(found) < len(labels) and chosen:
            break
        chosen.extend(found)
    return tuple(rng.sample(chosen, len(chosen)))


def with_demonstrations(template: Template, examples: Sequence[Example], task: Task) -> Template:
    r"""The template with answered examples before it, as words; a chat skeleton is repeated with each.

    >>> task = Task.classify({"B1": "billing", "D2": "delivery"})
    >>> shown = [Example({"text": "Why {this} fee?"}, target="B1")]
    >>> str(with_demonstrations(Template.parse("{bos}{text} It was {answer}"), shown, task))
    '{bos}Why {{this}} fee? It was billing\n\n{text} It was {answer}'
    """
    parts: list[Part] = [part for part in template.parts if isinstance(part, Bos)]
    for example in examples:
        parts.extend(_demonstration(template, example, task))
    parts.extend(part for part in template.parts if not isinstance(part, Bos))
    whole = Template(parse(unparse(parts)), template.truncate, template.keep, template.strip, turns=template.turns)
    assert whole.fields == template.fields
    return whole


def answer_text(task: Task, example: Example) -> str:
    """The right answer as it is said."""
    answer = task.answer(example)
    if isinstance(answer, str):
        return answer
    best = answer if isinstance(answer, int) else max(range(len(answer)), key=lambda i: answer[i])
    return (task.candidates(example) or ())[best]


def _demonstration(template: Template, example: Example, task: Task) -> list[Part]:
    texts = template.texts(example.fields)
    parts: list[Part] = []
    for part in resolve(template.parts, texts):
        match part:
            case Field(name) if template.turns is not None:
                for joint, said in template.turns.write(texts[name]):
                    parts.extend([Special(joint), Words(said)])
            case Field(name):
                parts.append(Words(texts[name]))
            case AnswerPlace():
                parts.append(Words(answer_text(task, example) + _BETWEEN))
            case Words() | Special():
                parts.append(part)
            case Decoder():
                parts.append(Words(" "))
            case Slot() | Bos():
                pass
    return parts
