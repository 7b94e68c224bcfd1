"""A lesson: one thing to learn, with its rows, the starts of its prompts and how they are judged.

Knows templates, tasks and start values; nothing of optimisers, checkpoints and faces.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Literal

import torch
from torch import Tensor

from softprompt.core.answers import answer_probabilities, pooled
from softprompt.core.errors import ConfigError, DataError, TrainingError
from softprompt.core.metrics import Metric, items_of, make_metric
from softprompt.core.records import Example, Row, Soft, Text
from softprompt.core.tensors import PromptTensors, SlotTensors
from softprompt.lab.demonstrations import Demonstrations
from softprompt.lab.rates import difference_error
from softprompt.model.backbones.base import Backbone
from softprompt.model.methods.starts import (
    Layers,
    Start,
    StartSettings,
    centred,
    generator,
    head_from_answers,
    initialiser,
    kept_of,
    slot_of,
    start_prompt,
)
from softprompt.model.methods.vocabulary import TableStatistics, Vocabulary
from softprompt.model.prompted import Scores
from softprompt.model.templates.rows import RowBuilder

__all__ = ["Learner", "Lesson", "vocabulary_of"]


@dataclass(frozen=True)
class Lesson:
    """One thing to learn.

    Attributes:
        name: For reports.
        builder: Template, task and answers.
        train: Examples, the same places for all lessons; None where this lesson leaves one out (another fold).
        validation: Likewise; none at all only where no look chooses (``keep: last``).
        start: Where the soft tokens start.
        saved: The prompt to continue, for ``start.kind: prompt``, or to stand in front of, for ``in_front``.
        metric: Decides on the validation rows; the task's first if None.
        offsets: Added to the scores of the labels before one is chosen, in their order; none if empty.
        seeds: Of this lesson; those of the settings if None.
        rate_from: Place of the lesson whose rate this one takes; None: it has a probe of its own.
        rate: Peak rate, where it is decided already; then that of every lesson is.
        shares: What each candidate ought to get, by training example: instead of its answer; None leaves it that.
        group: Lessons of one group may share parameters, where the method does so, and then share a rate; empty: alone.
    """

    name: str
    builder: RowBuilder
    train: Sequence[Example | None]
    validation: Sequence[Example | None]
    start: StartSettings = field(default_factory=StartSettings)
    saved: PromptTensors | None = None
    metric: str | None = None
    offsets: tuple[float, ...] = ()
    seeds: tuple[int, ...] | None = None
    rate_from: int | None = None
    rate: float | None = None
    shares: Sequence[tuple[float, ...] | None] = ()
    group: str = ""


class Learner:
    """A lesson on a model.

    Args:
        lesson: What is to be learnt.
        backbone: The frozen model.
        vocabulary: The model's words.
        weights: Whether weights of the model itself are learnt, so that there need be no other number.

    Raises:
        TrainingError: ``training.nothing_to_learn``, ``training.no_rows``.
        DataError: ``data.no_target`` for an unlabelled row, and what the builder raises.
    """

    def __init__(self, lesson: Lesson, backbone: Backbone, vocabulary: Vocabulary, *, weights: bool = False) -> None:
        self.lesson, self.backbone, self.vocabulary = lesson, backbone, vocabulary
        self.task = lesson.builder.task
        if not (lesson.builder.template.slots or lesson.builder.answers == "vectors" or weights):
            raise TrainingError(
                "training.nothing_to_learn",
                f"{lesson.name}: the template has no soft slot and the answers are words: no number can be learnt",
                cure="put <soft 20> into the template, or choose 'answers: vectors'",
            )
        self._parts = {
            "train": [
                self._windows(example, i, shares)
                for i, (example, shares) in enumerate(zip_longest(lesson.train, lesson.shares))
            ],
            "validation": [self._windows(example, i) for i, example in enumerate(lesson.validation)],
        }
        self.lay_out(self.widths("train"), self.widths("validation"))
        self._require(self.train, "to learn from")
        if lesson.start.hold_out and lesson.start.kind != "demonstrations":
            message = (
                f"start.hold_out is for start.kind: demonstrations, which shows rows; it is {lesson.start.kind} here"
            )
            raise ConfigError("config.invalid", message, cure="leave start.hold_out out")

    def widths(self, part: Literal["train", "validation"]) -> list[int]:
        """Places that the windows of every example take: one, where it is not divided."""
        return [max(1, len(rows)) for rows in self._parts[part]]

    def lay_out(self, train: Sequence[int], validation: Sequence[int]) -> None:
        """Put every window at a place of its own, so that lessons with other windows meet at equal places.

        Args:
            train: Places by example.
            validation: Likewise.
        """
        self.train = _laid_out(self._parts["train"], train)
        self.validation = _laid_out(self._parts["validation"], validation)
        self._owners = [i for i, width in enumerate(validation) for _ in range(width)]
        self._learnt_from = [i for i, width in enumerate(train) for _ in range(width)]

    def require_judged(self) -> None:
        """Refuse a lesson that nothing can be chosen by.

        Raises:
            TrainingError: ``training.no_rows``.
        """
        self._require(self.validation, "to judge by")

    def _windows(self, example: Example | None, index: int, shares: tuple[float, ...] | None = None) -> list[Row]:
        """The rows of an example; windows share its answer (or the shares instead) and its weight.

        The mean of their losses is no less than the loss of their pooled log-probabilities (the geometric means of the
        candidates add up to 1 at most), so what is minimised bounds what is used, and no window waits for another.
        """
        if example is None:
            return []
        parts = self.lesson.builder.windows(example)
        rows = [replace(one, weight=example.weight / len(parts)) for one in parts]
        return [self._row(one, index) if shares is None else self._shared(one, shares) for one in rows]

    def _require(self, rows: Sequence[Row | None], purpose: str) -> None:
        if not any(row is not None for row in rows):
            raise TrainingError("training.no_rows", f"{self.lesson.name}: no row {purpose}", cure="give more rows")

    def _shared(self, example: Example, shares: tuple[float, ...]) -> Row:
        return replace(self.lesson.builder.row(example, target=False), target={0: shares})

    def _row(self, example: Example, index: int) -> Row:
        row = self.lesson.builder.row(example)
        if not row.target:
            where = example.source or example.id or f"row {index}"
            raise DataError("data.no_target", f"{self.lesson.name}: the row has no answer", cure="label it").at(where)
        return row

    @property
    def objective(self) -> str:
        """Name of what is minimised."""
        return self.task.objective

    def train_of(self, seed: int) -> Sequence[Row | None]:
        """What the prompt of a seed learns from: all rows, or with ``start.hold_out`` those that it does not show.

        Raises:
            TrainingError: ``training.no_rows``: it shows all of them.
        """
        if not self.lesson.start.hold_out:
            return self.train
        template, shown = self.lesson.builder.template, self._shown()
        held = frozenset[int]().union(
            *(
                shown.shown(spec.length, generator(seed, f"slot {name}"))
                for name, spec in template.slots.items()
                if spec.start_text is None and self._deeper(name) is None
            )
        )
        rows = [None if i in held else row for i, row in zip(self._learnt_from, self.train, strict=True)]
        self._require(rows, "to learn from besides those that are shown")
        return rows

    def _shown(self) -> Demonstrations:
        return Demonstrations(self.lesson.builder, self.lesson.train, special=self.vocabulary.special)

    def start(self, seed: int) -> Start:
        """Where the prompt of a seed starts."""
        one, builder = self.lesson, self.lesson.builder
        shown = self._shown()
        slots = {
            name: (
                spec.length,
                initialiser(
                    one.start if self._deeper(name) is None else StartSettings(),
                    self.vocabulary,
                    slot=name,
                    text=spec.start_text,
                    says=self.task.says,
                    saved=one.saved,
                    demonstrate=shown,
                ),
            )
            for name, spec in builder.template.slots.items()
        }
        earlier = one.saved if one.start.kind == "in_front" else None
        kept = {name: kept_of(earlier, name) for name in slots} if earlier is not None else {}
        head, scale = None, 1.0
        if builder.answers == "vectors":
            example = next(example for example in one.train if example is not None)
            lead = builder.lead(example)
            answers = [self.backbone.tokenizer.encode(f"{lead}{say}") for say in self.task.says]
            saved = one.saved.head if one.saved is not None and one.start.kind == "prompt" else None
            head = saved or head_from_answers(self.backbone.output_vectors, answers)
            if saved is None and self.task.independent:
                head = centred(head, self.task.usual([example for example in one.train if example is not None]))
            if len(head.bias) != len(answers):
                came = f"the saved prompt has {len(head.bias)} label vectors, the task {len(answers)} labels"
                raise ConfigError("config.invalid", came, cure="continue a prompt of the same labels")
            scale = (
                TableStatistics.measure(
                    lambda ids: self.backbone.output_vectors(ids)[0], size=self.backbone.spec.vocab_size
                ).rms
                or self.backbone.spec.head_dim**-0.5
            )  # no output layer: states of RMS 1 then give logits of about 1
        return start_prompt(
            slots,
            scale=self.vocabulary.statistics.rms,
            seed=seed,
            head=head,
            head_scale=scale,
            words=self.vocabulary,
            kept=kept,
            layers={name: self._layers(name) for name in slots},
        )

    def _layers(self, slot: str) -> Layers:
        """What the model makes of a slot's tokens in its layers, read behind the words that stand before all fields."""
        backbone, (ids, decoder) = self.backbone, _words_before(self.train, slot)
        return Layers(
            len(backbone.slot_shapes(decoder=decoder)),
            lambda vectors, layer: backbone.prefill(vectors, before=ids, layer=layer, decoder=decoder),
            self._deeper(slot),
        )

    def _deeper(self, slot: str) -> SlotTensors | None:
        """The slot of the prompt to continue, where its tokens enter the layers."""
        one = self.lesson
        if one.saved is None or one.start.kind != "prompt":
            return None
        found = slot_of(one.saved, slot)
        return found if found is not None and found.embed is None else None

    def judge(self, scores: Scores, indices: Sequence[int]) -> float:
        """Validation score, higher is better; for free text the negative loss a token.

        What the task leaves to be chosen is chosen on these rows, as it will be in the end.
        """
        if self.objective == "likelihood":
            return -float((-scores.values[:, 0]).sum() / scores.lengths[:, 0].sum())
        metric = self._metric()
        values = scores.values.double()
        if self.lesson.offsets:
            values = values + torch.tensor(self.lesson.offsets, dtype=values.dtype, device=values.device)
        said: dict[int, list[Tensor]] = {}
        for row, place in zip(values, indices, strict=True):
            said.setdefault(self._owners[place], []).append(row)
        judged = [(self._probabilities(rows), one) for i, rows in said.items() if (one := self.lesson.validation[i])]
        probabilities, examples = [p for p, _ in judged], [example for _, example in judged]
        task = self.task.settled(probabilities, examples)
        answers = [task.decode(p, example) for p, example in judged]
        items = items_of(metric, answers, [task.reference(example) for example in examples])
        total = float(metric.total(items.sum(axis=0)))
        return total if metric.higher_is_better else -total

    def doubt(self, one: float, other: float, *, judged: Sequence[Row | None]) -> float:
        """Standard error, at most, of the difference of two of its scores; 0 where none is known.

        Args:
            one: What :meth:`judge` gave.
            other: Likewise.
            judged: The rows of :attr:`validation` that were looked at, at their places; the windows of one example are
                one look.
        """
        if self.objective == "likelihood":
            return 0.0
        metric = self._metric()
        sign = 1 if metric.higher_is_better else -1
        examples = {self._owners[place] for place, row in enumerate(judged) if row is not None}
        return difference_error(sign * one, sign * other, bounds=metric.bounds, rows=len(examples))

    def _metric(self) -> Metric:
        """What its scores are."""
        return make_metric(self.lesson.metric or self.task.metrics[0], labels=self.task.names)

    def _probabilities(self, windows: Sequence[Tensor]) -> list[float]:
        """One probability a candidate [C] from the scores of the windows that were looked at."""
        settings, independent = self.lesson.builder.template.windows, self.task.independent
        each = [answer_probabilities(one.cpu().numpy(), independent=independent) for one in windows]
        how = "mean" if settings is None else settings.pool
        found: list[float] = pooled(each, how=how, independent=independent).tolist()
        return found


def _laid_out(parts: Sequence[Sequence[Row]], widths: Sequence[int]) -> list[Row | None]:
    return [rows[n] if n < len(rows) else None for rows, width in zip(parts, widths, strict=True) for n in range(width)]


def _words_before(rows: Sequence[Row | None], slot: str) -> tuple[tuple[int, ...], bool]:
    """Ids of the template's own words at the beginning of a slot's side, up to a slot or the first field; and whether
    the side is a decoder's."""
    row = next(row for row in rows if row is not None)
    at = next(i for i, node in enumerate(row.nodes) if isinstance(node.segment, Soft) and node.segment.slot == slot)
    decoder = row.nodes[at].side == "decoder"
    ids: list[int] = []
    for index in row.path(at):
        node = row.nodes[index]
        if (node.side == "decoder") is not decoder:
            continue
        if not isinstance(node.segment, Text) or node.segment.field is not None:
            break
        ids.extend(node.segment.ids)
    return tuple(ids), decoder


def vocabulary_of(backbone: Backbone) -> Vocabulary:
    """The model's words, for start values."""
    special: frozenset[int] = getattr(backbone.tokenizer, "special_ids", frozenset())
    size = min(backbone.spec.vocab_size, backbone.tokenizer.vocab_size)
    return Vocabulary(backbone.embed, backbone.tokenizer.encode, size, special)
