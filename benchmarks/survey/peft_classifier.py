"""PEFT's prompt tuning of a classifier over an encoder, as its users write it: 20 vectors before ``[CLS]``.

``get_peft_model`` with ``PromptTuningConfig(task_type="SEQ_CLS")``: the classifier is trained whole beside the vectors,
in training mode, AdamW with a linear schedule, and the vectors of the last step are kept, as ours are with so few rows.
Steps run under autocast to bfloat16, in which ours has its frozen model; what is learnt is float32 on both sides.
The rate is the best of a grid by the validation rows, tried with the first seed at full length.

Source: https://huggingface.co/docs/peft (prompt-based methods); Lester et al., EMNLP 2021, 3045-3059.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PromptTuningConfig, get_peft_model
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup
from transformers.utils import logging as hf_logging

from benchmarks.contest.outcomes import Clock, Cost, Outcome, Work
from benchmarks.contest.problems import Problem
from softprompt.core.records import Example

from .page import PEER
from .ways import LENGTH

__all__ = ["RATES", "PeftClassifier"]

#: Of the grid. In a first run on example topic 1e-3 was worst and 3e-2 best, so the grid goes on upwards.
RATES = (1e-2, 3e-2, 1e-1)

#: Longest text in tokens, closing ones counted.
MOST_TOKENS = 256


@dataclass(frozen=True)
class Trained:
    """One training: which judged rows are right, and the scores by which the rate is chosen."""

    right: str
    validation: float
    loss: float
    cost: Cost
    num_trained: int


class PeftClassifier:
    """PEFT on one problem.

    Args:
        folder: Of the encoder.
        problem: The rows.
        steps: Of each training.
        work: Keeps the result.
        batch_size: Rows a step.
    """

    def __init__(self, folder: Path, problem: Problem, *, steps: int, work: Work, batch_size: int = 16) -> None:
        self.folder, self.problem, self.steps, self.work, self.batch_size = folder, problem, steps, work, batch_size
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.index = {name: n for n, name in enumerate(problem.task.names)}

    def outcome(self, seeds: Sequence[int], *, rates: Sequence[float] = RATES) -> Outcome:
        """The best rate by the first seed, then all seeds; every training is kept."""
        tried = {rate: self.run(rate, seeds[0]) for rate in rates}
        chosen = max(rates, key=lambda rate: (tried[rate].validation, -tried[rate].loss))
        runs = [tried[chosen], *(self.run(chosen, seed) for seed in seeds[1:])]
        found = Outcome(
            contender=PEER,
            seeds=tuple(seeds),
            right=tuple(run.right for run in runs),
            validation=tuple(run.validation for run in runs),
            search=sum((one.cost for rate, one in tried.items() if rate != chosen), Cost()),
            train=sum((run.cost for run in runs), Cost()),
            num_trained=runs[0].num_trained,
            details={
                "rate": chosen,
                "grid": {f"{rate:g}": one.validation for rate, one in tried.items()},
                "bytes": 4 * runs[0].num_trained,
            },
        )
        self.work.keep(self.problem.name, PEER, setting=self._setting(), result=found.to_dict())
        return found

    def run(self, rate: float, seed: int) -> Trained:
        """One training; what was kept is not trained again."""
        kept = self.work.once(
            self.problem.name,
            f"{PEER}-{rate:g}-seed{seed}",
            setting=self._setting(),
            make=lambda: asdict(self.train(rate, seed)),
        )
        return Trained(**{**kept, "cost": Cost(**kept["cost"])})

    def _setting(self) -> dict[str, Any]:
        problem = self.problem
        rows = [problem.train.hash, problem.validation.hash, problem.judged.hash]
        return {"rows": rows, "steps": self.steps, "batch_size": self.batch_size}

    def train(self, rate: float, seed: int) -> Trained:
        """One training, judged."""
        torch.manual_seed(seed)
        clock = Clock()
        model = self._model()
        learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimiser = torch.optim.AdamW(learnt, lr=rate)
        schedule = get_linear_schedule_with_warmup(optimiser, 0, self.steps)
        rows, generator = self.problem.train.rows, torch.Generator().manual_seed(seed)
        order: list[int] = []
        model.train()
        for _ in range(self.steps):
            if len(order) < self.batch_size:
                order = torch.randperm(len(rows), generator=generator).tolist()
            batch, order = order[: self.batch_size], order[self.batch_size :]
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = model(**self._batch([rows[n] for n in batch])).loss
            loss.backward()
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
        cost = clock.lap()
        looked, labels = self._logits(model, self.problem.validation.rows)
        judged, targets = self._logits(model, self.problem.judged.rows)
        return Trained(
            "".join("1" if right else "0" for right in (judged.argmax(1) == targets).tolist()),
            float((looked.argmax(1) == labels).double().mean()),
            float(torch.nn.functional.cross_entropy(looked, labels)),
            cost,
            sum(parameter.numel() for parameter in learnt),
        )

    def _model(self) -> Any:
        hf_logging.set_verbosity_error()  # it reports the new classifier, which is trained
        model = AutoModelForSequenceClassification.from_pretrained(
            self.folder, num_labels=len(self.index), dtype=torch.float32, local_files_only=True
        )
        return get_peft_model(model, PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=LENGTH))

    def _batch(self, rows: Sequence[Example]) -> dict[str, Tensor]:
        texts = [" ".join(str(row.fields[name]) for name in self.problem.fields) for row in rows]
        found = self.tokenizer(texts, padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt")
        labels = torch.tensor([self.index[str(row.target)] for row in rows])
        return {"input_ids": found["input_ids"], "attention_mask": found["attention_mask"], "labels": labels}

    @torch.no_grad()
    def _logits(self, model: Any, rows: Sequence[Example]) -> tuple[Tensor, Tensor]:
        """Scores of the labels [n, C], and the right ones [n]."""
        model.eval()
        scores, labels = [], []
        for start in range(0, len(rows), self.batch_size):
            batch = self._batch(rows[start : start + self.batch_size])
            scores.append(model(**batch).logits)
            labels.append(batch["labels"])
        return torch.cat(scores), torch.cat(labels)
