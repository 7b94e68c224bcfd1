"""The stage that all contenders of a comparison share: rows, template, answers, batches, steps and seeds.

Knows models and rows; no contender.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from softprompt.core.answers import AnswerSettings
from softprompt.core.records import Batch, Example, Row
from softprompt.core.tensors import PromptTensors
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison.contenders import Fitted
from softprompt.lab.comparison.prompting.endpoint import Purse
from softprompt.lab.comparison.settings import BudgetSettings, SoftSettings
from softprompt.lab.training import checkpoint
from softprompt.lab.training.outcome import Event, Outcome
from softprompt.lab.training.settings import TrainingSettings
from softprompt.model.backbones.base import Backbone
from softprompt.model.methods.starts import StartSettings
from softprompt.model.methods.table import AnyMethodSettings
from softprompt.model.templates import RowBuilder, Template

__all__ = ["Attempt", "Stage"]

#: Steps that a budget of minutes ends at: twice what the thorough effort has.
MOST_STEPS = 2000

#: Rows by which the tokens of a training row are counted.
_COUNTED = 200


@dataclass(frozen=True)
class Attempt:
    """One contender, fitted with one seed.

    Attributes:
        seed: Of every random choice.
        fitted: Answers.
        note: What was chosen on the way, beside what ``fitted`` says itself.
        probe: Validation score by rate.
        outcome: Of the training.
    """

    seed: int
    fitted: Fitted
    note: str = ""
    probe: Mapping[float, float] = field(default_factory=dict)
    outcome: Outcome | None = None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What all contenders share.

    Attributes:
        backbone: The loaded model; nobody changes it.
        builder: Of the run: template, task, longest row, form of the answers.
        answers: How scores become probabilities, decided.
        splits: ``train``, ``validation`` and ``test``.
        weighted: Rows to learn from, with the weights of their labels where these are balanced.
        further: Columns that only some contenders read: by id and content of a row, name -> text.
        correction: Offsets for those that learn without a prompt.
        training: As the run has it; its steps and seeds are those of every trained contender.
        method: Of soft prompts that name none.
        start: Of the soft tokens.
        budget: Beside the steps of ``training``.
        template_of: (place, length, text) -> template of a soft prompt; None: as the run has it.
        purse: What APIs may cost.
        folder: Where answers of APIs are kept; None keeps none.
        keep: Told every trained soft prompt: its settings, seed, builder, method and tensors.
        recall: Tensors of a soft prompt that was kept, by its settings and seed; None: there are none.
        on_event: Told the stage of a training and what happened.
    """

    backbone: Backbone
    builder: RowBuilder
    answers: AnswerSettings
    splits: Mapping[str, Dataset]
    weighted: Sequence[Example]
    training: TrainingSettings
    method: AnyMethodSettings
    further: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    correction: tuple[float, ...] = ()
    start: StartSettings = field(default_factory=StartSettings)
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    template_of: Callable[[SoftSettings], Template]
    purse: Purse = field(default_factory=Purse)
    folder: Path | None = None
    keep: Callable[[SoftSettings, int, RowBuilder, AnyMethodSettings, PromptTensors], None] = lambda *parts: None
    recall: Callable[[SoftSettings, int], PromptTensors | None] = lambda *parts: None
    on_event: Callable[[str, Event], None] = lambda stage, event: None

    @property
    def task(self) -> Any:
        """What is asked."""
        return self.builder.task

    @property
    def resolved(self) -> TrainingSettings:
        """The training with what its effort decides for so many rows."""
        return self.training.resolved(len(self.weighted))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the trained contenders."""
        return self.resolved.seeds or (0,)

    @property
    def max_seconds(self) -> float | None:
        """Wall time of a contender; None: none is set."""
        return None if self.budget.minutes is None else 60.0 * self.budget.minutes

    def reading(self, fields: Collection[str]) -> Self:
        """The same with the further columns that somebody's own template names; the others' rows stay as they are."""
        own = self.splits["train"].fields()
        more = [name for name in fields if name not in own]
        if not more or not self.further:
            return self

        def wider(row: Example) -> Example:
            found = self.further[row.id, row.content]
            return replace(row, fields={**row.fields, **{name: found[name] for name in more if name in found}})

        splits = {name: replace(part, rows=tuple(map(wider, part))) for name, part in self.splits.items()}
        return replace(self, splits=splits, weighted=tuple(map(wider, self.weighted)), further={})

    def building(self, template: Template) -> RowBuilder:
        """Rows of another template, the same otherwise."""
        return self.builder.of(template=template)

    def spending(self, builder: RowBuilder, *, cached: bool) -> TrainingSettings:
        """The training with as many steps as the budget has for rows like these.

        Args:
            builder: Of the rows.
            cached: Whether what stands before the first soft slot is computed once.
        """
        training = self.resolved
        steps = self.budget.steps or training.steps or 1
        if self.budget.minutes is not None:
            steps = max(steps, MOST_STEPS)
        if self.budget.tokens is not None:
            rows = [builder.row(part) for one in self.weighted[:_COUNTED] for part in builder.windows(one)]
            a_step = training.batch_size * _live(self.backbone, rows, cached=cached)
            steps = max(1, math.floor(self.budget.tokens / a_step))
        # a probe that is longer than the training would choose a rate for another schedule
        probe = min(training.probe_steps or 1, steps)
        return training.model_copy(update={"steps": steps, "probe_steps": probe})

    def facts(self, *, model: bool, trained: bool) -> dict[str, Any]:
        """What the numbers of a contender depend on besides its own settings."""
        found: dict[str, Any] = {
            "rows": {name: part.hash for name, part in sorted(self.splits.items())},
            "ids": checkpoint.digest([row.id for row in self.splits["test"]]),
            "task": self.task.model_dump(mode="json", by_alias=True),
            "fields": list(self.builder.template.fields),
            "correction": list(self.correction),
        }
        if model:
            spec = self.backbone.spec
            found |= {
                "model": [spec.fingerprint, spec.tokenizer_hash, str(spec.dtype)],
                "template": self.builder.template.to_dict(),
                "max_tokens": self.builder.max_tokens,
                "answers": self.answers.model_dump(mode="json"),
            }
        if trained:
            free = {"max_time", "checkpoint_every", "cache_memory", "cache_device", "cache_file", "keep_cache"}
            found |= {
                "training": self.resolved.model_dump(mode="json", exclude=free),
                "budget": self.budget.given,
                "weights": sorted({row.weight for row in self.weighted}),
            }
        return found


def _live(backbone: Backbone, rows: Sequence[Row], *, cached: bool) -> float:
    """Tokens that a step computes for a row, the mean over the rows."""
    found = [backbone.plan(Batch((row,)), frozen="soft" if cached else None).live_tokens for row in rows]
    return sum(found) / max(1, len(found))
