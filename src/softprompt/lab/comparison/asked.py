"""Prompts that are asked as one: what a tuned prompt, an ensemble of its seeds, and text prompts answer with.

Knows models, templates and predictions; not how the prompts came about.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from softprompt.core.records import Example, merge
from softprompt.core.tasks import Task
from softprompt.model.backbones.base import Backbone
from softprompt.model.prediction import Ask, Prediction, Predictor
from softprompt.model.prompted import num_tokens as count_tokens

__all__ = ["Asked"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Prompts of one task as one system: the mean of their probabilities; of written answers the first prompt's.

    A tuned prompt, several of its seeds together, or text prompts.

    Attributes:
        backbone: The frozen model.
        asks: All of one task.
        num_trained: Learnt numbers.
        num_bytes: Of the saved numbers.
        note: For people.
        batch_tokens: As in :class:`Predictor`.
    """

    backbone: Backbone
    asks: tuple[Ask, ...]
    num_trained: int = 0
    num_bytes: int = 0
    note: str = ""
    batch_tokens: int = 4096

    def predict(self, examples: Sequence[Example]) -> list[Prediction]:
        # Prompts share one reading of the text; each text prompt has a beginning of its own, read once for all rows.
        parts = [
            Predictor(self.backbone, asks, batch_tokens=self.batch_tokens).predict(examples) for asks in self._together
        ]
        task = self.asks[0].task
        rows = (tuple(chain.from_iterable(row)) for row in zip(*parts, strict=True))
        return [
            _mean(row, example, task) if len(row) > 1 and row[0].probabilities is not None else row[0]
            for row, example in zip(rows, examples, strict=True)
        ]

    def num_tokens(self, example: Example) -> int:
        """Tokens that the model reads for one request, candidate answers included; prompts after one text read it once.

        >>> from softprompt.model.templates import RowBuilder, Template
        >>> from softprompt.testing import tiny
        >>> model, task = tiny(), Task.classify(["no", "yes"])
        >>> builder = RowBuilder(Template.parse("{text}<soft 3> is {answer}"), task, model.tokenizer, max_tokens=64)
        >>> one, two = (Asked(backbone=model, asks=(Ask(builder),) * k) for k in (1, 2))
        >>> two.num_tokens(Example({"text": "abcd"})) < 2 * one.num_tokens(Example({"text": "abcd"}))
        True
        """
        blank = Example(example.fields, id=example.id, candidates=example.candidates)
        total = 0
        for asks in self._together:
            parts = [ask.builder.windows(blank) for ask in asks]
            for n in range(max(map(len, parts))):
                rows = [
                    ask.builder.row(mine[n], prompt_index=k, target=False)
                    for k, (ask, mine) in enumerate(zip(asks, parts, strict=True))
                    if n < len(mine)
                ]
                total += count_tokens(merge(rows))
        return total

    @property
    def _together(self) -> list[tuple[Ask, ...]]:
        """Those that are asked over one reading."""
        soft = all(ask.builder.template.slots for ask in self.asks)
        return [self.asks] if soft else [(ask,) for ask in self.asks]


def _mean(row: Sequence[Prediction], example: Example, task: Task) -> Prediction:
    probabilities = [one.probabilities for one in row if one.probabilities is not None]
    p = np.mean([list(found.values()) for found in probabilities], axis=0).tolist()
    named = dict(zip(probabilities[0], p, strict=True))
    most = max(row, key=lambda one: one.cut)
    mean = Prediction(example.id, task.decode(p, example), named, task.confidence(p))
    return replace(mean, cut=most.cut, ends=most.ends, windows=most.windows)
