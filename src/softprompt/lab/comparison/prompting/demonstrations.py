"""Demonstrations of a text prompt: which answered training rows are shown, how many fit, and how they are written.

A demonstration is the prompt's own template around a row with its right answer (in-context learning: Brown et al. 2020,
https://arxiv.org/abs/2005.14165). Knows templates, tasks and tokens; no models.
"""

import random
from collections.abc import Sequence

from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.core.tokens import Tokenizer
from softprompt.data.dataset import Dataset
from softprompt.lab.demonstrations import BETWEEN, said_of
from softprompt.model.templates import RowBuilder, Template
from softprompt.model.templates.grammar import parse
from softprompt.model.templates.parts import AnswerPlace, Bos, Decoder, Field, Part, Slot, Special, Words, unparse
from softprompt.model.templates.segments import resolve

__all__ = [
    "BETWEEN",
    "by_label",
    "demonstration",
    "draw_demonstrations",
    "num_demonstrations",
    "room_for",
    "with_demonstrations",
]

#: Training rows whose length says how much room a row needs.
_MEASURED_ROWS = 200


def demonstration(template: Template, example: Example, task: Task) -> str:
    r"""A row with its right answer, as it is shown.

    >>> task = Task.classify({"B1": "billing", "D2": "delivery"})
    >>> demonstration(Template.parse("{text} It was {answer}"), Example({"text": "Why this fee?"}, target="B1"), task)
    'Why this fee? It was billing\n\n'
    """
    return template.render(example.fields, answer=said_of(task, example)) + BETWEEN


def num_demonstrations(task: Task, shots: int) -> int:
    """How many rows so many shots are: shots for each label; without fixed labels, shots in all.

    >>> num_demonstrations(Task.classify(["no", "yes"]), 4), num_demonstrations(Task.generate(), 4)
    (8, 4)
    """
    return shots * (len(task.names) if task.fixed_candidates else 1)


def room_for(builder: RowBuilder, train: Dataset) -> int:
    """Tokens for demonstrations beside a long row, the 95th percentile of the training rows: at most three quarters.

    Args:
        builder: Of rows without demonstrations; its longest row is that of rows with them.
        train: Its first rows are measured.
    """
    lengths = sorted(builder.lengths(example).total for example in train[:_MEASURED_ROWS])
    return builder.max_tokens - max(lengths[int(0.95 * (len(lengths) - 1))], builder.max_tokens // 4)


def by_label(train: Dataset, task: Task, rng: random.Random) -> dict[str, list[Example]]:
    """The rows of each label, shuffled; without fixed labels, all rows under one key."""
    piles: dict[str, list[Example]] = {}
    for example in rng.sample(train.rows, len(train)):
        label = " ".join(task.held(task.reference(example))) if task.fixed_candidates else ""
        piles.setdefault(label, []).append(example)
    return piles


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
    piles = {
        label: [(len(tokenizer.encode(demonstration(template, one, task))), one) for one in rows]
        for label, rows in by_label(train, task, rng).items()
    }
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
        parts.extend(_parts_of(template, example, task))
    parts.extend(part for part in template.parts if not isinstance(part, Bos))
    whole = Template(parse(unparse(parts)), template.truncate, template.keep, template.strip, turns=template.turns)
    assert whole.fields == template.fields
    return whole


def _parts_of(template: Template, example: Example, task: Task) -> list[Part]:
    """A demonstration as parts of a template: what stands in braces in a text is words again."""
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
                parts.append(Words(said_of(task, example) + BETWEEN))
            case Words() | Special():
                parts.append(part)
            case Decoder():
                parts.append(Words(" "))
            case Slot() | Bos():
                pass
    return parts
