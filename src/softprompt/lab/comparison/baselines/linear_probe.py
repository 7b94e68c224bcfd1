"""The linear probe: logistic regression on states of the frozen model, without a prompt.

After Alain & Bengio 2016 (https://arxiv.org/abs/1610.01644), on the states that the output layer gets. It sees the
fields that the prompt's template reads, learns from the same training rows, and chooses its variants on the same
validation rows. Knows templates and models, no soft tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from softprompt.core.records import Batch, Example, Node, Readout, Row, Text
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison.baselines.classifier import describe, fit_classifier
from softprompt.lab.comparison.baselines.logistic import NUMBER_BYTES, Logistic
from softprompt.lab.comparison.baselines.one_vs_rest import OneVsRest
from softprompt.lab.comparison.contenders import Fitted, label_predictions
from softprompt.model.backbones.base import Backbone
from softprompt.model.prediction import Prediction
from softprompt.model.prompted import token_batches
from softprompt.model.templates import RowBuilder, Template

__all__ = ["LinearProbe"]

_MEAN_OVER = 64  # tokens of a text whose states are averaged, evenly spaced


@dataclass(frozen=True)
class LinearProbe:
    """Logistic regression on states of the frozen model: what a prompt could at most pick up linearly.

    The states are those that the output layer gets: after the last token before the answer, the mean over the tokens of
    the fields, or both, whichever does best, with C, on rows that were not learnt from. Standardised. Of a text that
    the template reads in windows they are the mean of the windows' states.

    Attributes:
        backbone: The frozen model.
        template: Soft slots are left out of it.
        max_tokens: Longest row; None: the model's context.
        strengths: Values of C.
        offsets: As in :class:`~softprompt.lab.comparison.baselines.tfidf.TfidfLogistic`.
        batch_tokens: Padded tokens a batch at most.
    """

    backbone: Backbone
    template: Template
    max_tokens: int | None = None
    strengths: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    offsets: tuple[float, ...] = ()
    batch_tokens: int = 4096
    name: str = "linear probe"

    def supports(self, task: Task) -> bool:
        return task.fixed_candidates

    def fit(self, train: Dataset, validation: Dataset | None, task: Task, *, seed: int = 0) -> Fitted:
        """Raises ``extra.missing``, ``data.one_label`` and what building a row raises."""
        train.require_two_labels()
        raw = self.states(train, task)
        scales = {variant: (x.mean(0), np.maximum(x.std(0), 1e-6)) for variant, x in raw.items()}
        held_out = (_scaled(self.states(validation, task), scales), validation) if validation else None
        classifier, settled = fit_classifier(
            _scaled(raw, scales),
            train,
            held_out,
            task,
            strengths=self.strengths,
            offsets=self.offsets,
            seed=seed,
        )
        return _FittedProbe(self, settled, scales, classifier)

    def states(self, examples: Sequence[Example], task: Task) -> dict[str, Float[np.ndarray, "n d"]]:
        """The frozen model's states by variant: ``last`` and ``mean`` [n, H], ``both`` [n, 2 H]."""
        longest = self.max_tokens or self.backbone.spec.max_positions
        template = self.template.without_slots()
        builder = RowBuilder(template, task, self.backbone.tokenizer, max_tokens=longest, answers="vectors")
        parts = [builder.windows(example) for example in examples]
        rows = [_read_out(builder.row(part, target=False)) for windows in parts for part in windows]
        last, mean = self._read(rows)
        owners = np.array([n for n, windows in enumerate(parts) for _ in windows], dtype=np.int64)
        last, mean = (_averaged(values, owners) for values in (last, mean))
        return {"last": last, "mean": mean, "both": np.hstack([last, mean])}

    def _read(self, rows: Sequence[Row]) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n d"]]:
        """The states at the end of each row, and their mean over the tokens of its fields."""
        last = np.zeros((len(rows), self.backbone.spec.head_dim))
        mean = np.zeros_like(last)
        with torch.no_grad():
            for indices in token_batches(rows, self.batch_tokens):
                found = self.backbone.forward(Batch(tuple(rows[i] for i in indices))).readouts
                for prompt, out in ((0, last), (1, mean)):
                    if prompt in found:
                        at = np.array(indices)[found[prompt].rows.cpu().numpy()]
                        np.add.at(out, at, found[prompt].values.double().cpu().numpy())
        counts = np.array([sum(isinstance(n.segment, Readout) for n in row.nodes) - 1 for row in rows])
        return last, np.where(counts[:, None] > 0, mean / np.maximum(counts, 1)[:, None], last)


@dataclass(frozen=True)
class _FittedProbe:
    contender: LinearProbe
    task: Task
    scales: dict[str, tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]]
    classifier: Logistic | OneVsRest

    @property
    def num_trained(self) -> int:
        return self.classifier.num_trained

    @property
    def num_bytes(self) -> int:
        """Weights; the scaling can be folded into them."""
        return NUMBER_BYTES * self.num_trained

    @property
    def note(self) -> str:
        return f"states: {self.classifier.variant}, {describe(self.classifier, self.contender.offsets)}"

    def predict(self, examples: Sequence[Example]) -> list[Prediction]:
        features = _scaled(self.contender.states(examples, self.task), self.scales)[self.classifier.variant]
        return label_predictions(self.classifier.probabilities(features), examples, self.task)


def _scaled(
    states: dict[str, Float[np.ndarray, "n d"]],
    scales: dict[str, tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]],
) -> dict[str, Float[np.ndarray, "n d"]]:
    return {variant: (x - scales[variant][0]) / scales[variant][1] for variant, x in states.items()}


def _averaged(values: Float[np.ndarray, "m d"], owners: Int[np.ndarray, " m"]) -> Float[np.ndarray, "n d"]:
    """The mean of the lines of each owner."""
    counts = np.bincount(owners)
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, owners, values)
    return sums / counts[:, None]


def _read_out(row: Row) -> Row:
    """The chain with readouts of prompt 1 after evenly spaced tokens of the fields; prompt 0 reads at the end."""
    chain = [node.segment for node in row.nodes if isinstance(node.segment, Text)]
    total = sum(len(segment) for segment in chain if segment.field is not None)
    wanted = {round((k + 1) * total / min(total, _MEAN_OVER)) for k in range(min(total, _MEAN_OVER))}
    nodes: list[Node] = []
    last: int | None = None
    seen = 0
    for segment in chain:
        start = 0
        for at in range(1, len(segment) + 1):
            seen += segment.field is not None
            reads = segment.field is not None and seen in wanted
            if reads or at == len(segment):
                nodes.append(Node(Text(segment.ids[start:at], segment.field), last))
                last, start = len(nodes) - 1, at
            if reads:
                nodes.append(Node(Readout(1), last))
    nodes.append(Node(Readout(0), last))
    return Row(tuple(nodes))
