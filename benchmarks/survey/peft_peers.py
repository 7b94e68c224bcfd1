"""PEFT's prompt tuning as its users write it: a classifier over an encoder, or label words on an encoder-decoder.

``get_peft_model`` with ``PromptTuningConfig``, in training mode, AdamW with a linear schedule, and the vectors of the
last step are kept, as ours are with so few rows. Steps run under autocast to bfloat16, in which ours has its frozen
model; what is learnt is float32 on both sides. The rate is the best of a grid by the validation rows, tried with the
first seed at full length.

Source: https://huggingface.co/docs/peft (prompt-based methods); Lester et al., EMNLP 2021, 3045-3059.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from peft import PromptTuningConfig, get_peft_model
from torch import Tensor
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    get_linear_schedule_with_warmup,
)
from transformers.utils import logging as hf_logging

from benchmarks.contest.outcomes import Clock, Cost, Outcome, Work
from benchmarks.contest.problems import Problem
from softprompt.core.records import Example

from .page import PEER
from .ways import LENGTH

__all__ = ["PEERS", "PeftClassifier", "PeftPeer", "PeftWords"]

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


class PeftPeer:
    """PEFT on one problem.

    Args:
        folder: Of the model.
        problem: The rows.
        steps: Of each training.
        work: Keeps the result.
        batch_size: Rows a step.
    """

    #: Of the grid.
    rates: ClassVar[tuple[float, ...]]

    def __init__(self, folder: Path, problem: Problem, *, steps: int, work: Work, batch_size: int = 16) -> None:
        self.folder, self.problem, self.steps, self.work, self.batch_size = folder, problem, steps, work, batch_size
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.index = {name: n for n, name in enumerate(problem.task.names)}

    def model(self) -> Any:
        """A new one, with vectors of its own."""
        raise NotImplementedError

    def loss(self, model: Any, rows: Sequence[Example]) -> Tensor:
        """Of a step."""
        raise NotImplementedError

    def scores(self, model: Any, rows: Sequence[Example]) -> Tensor:
        """Of the labels, [n, C]: the largest is the answer, their softmax says how likely each is."""
        raise NotImplementedError

    def outcome(self, seeds: Sequence[int]) -> Outcome:
        """The best rate by the first seed, then all seeds; every training is kept."""
        tried = {rate: self.run(rate, seeds[0]) for rate in self.rates}
        chosen = max(self.rates, key=lambda rate: (tried[rate].validation, -tried[rate].loss))
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
        model = self.model()
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
                loss = self.loss(model, [rows[n] for n in batch])
            loss.backward()
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
        cost = clock.lap()
        looked, labels = self._looked(model, self.problem.validation.rows)
        judged, targets = self._looked(model, self.problem.judged.rows)
        return Trained(
            "".join("1" if right else "0" for right in (judged.argmax(1) == targets).tolist()),
            float((looked.argmax(1) == labels).double().mean()),
            float(torch.nn.functional.cross_entropy(looked, labels)),
            cost,
            sum(parameter.numel() for parameter in learnt),
        )

    @torch.no_grad()
    def _looked(self, model: Any, rows: Sequence[Example]) -> tuple[Tensor, Tensor]:
        """Scores of the labels [n, C], and the right ones [n]."""
        model.eval()
        batches = [rows[start : start + self.batch_size] for start in range(0, len(rows), self.batch_size)]
        return torch.cat([self.scores(model, batch) for batch in batches]), self.labels(rows)

    def labels(self, rows: Sequence[Example]) -> Tensor:
        """The right ones, [n]."""
        return torch.tensor([self.index[str(row.target)] for row in rows])

    def texts(self, rows: Sequence[Example]) -> dict[str, Tensor]:
        """Ids and mask, padded to the longest."""
        texts = [" ".join(str(row.fields[name]) for name in self.problem.fields) for row in rows]
        found = self.tokenizer(texts, padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt")
        return {name: found[name] for name in ("input_ids", "attention_mask")}


class PeftClassifier(PeftPeer):
    """``SEQ_CLS``: 20 vectors before ``[CLS]``, and the classifier is trained whole beside them."""

    #: In a first run on example topic 1e-3 was worst and 3e-2 best, so the grid goes on upwards.
    rates = (1e-2, 3e-2, 1e-1)

    def model(self) -> Any:
        hf_logging.set_verbosity_error()  # it reports the new classifier, which is trained
        model = AutoModelForSequenceClassification.from_pretrained(
            self.folder, num_labels=len(self.index), dtype=torch.float32, local_files_only=True
        )
        return get_peft_model(model, PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=LENGTH))

    def loss(self, model: Any, rows: Sequence[Example]) -> Tensor:
        loss: Tensor = model(**self.texts(rows), labels=self.labels(rows)).loss
        return loss

    def scores(self, model: Any, rows: Sequence[Example]) -> Tensor:
        scores: Tensor = model(**self.texts(rows)).logits
        return scores


class PeftWords(PeftPeer):
    """``SEQ_2_SEQ_LM``: 20 vectors before the encoder's text and 20 before the decoder's, PEFT's default.

    They start from sampled words of the vocabulary; the answer is the label whose words, with their terminator, are
    likeliest.
    """

    rates = (1e-2, 1e-1, 1.0)

    def model(self) -> Any:
        model = AutoModelForSeq2SeqLM.from_pretrained(self.folder, dtype=torch.float32, local_files_only=True)
        config = PromptTuningConfig(
            task_type="SEQ_2_SEQ_LM", num_virtual_tokens=LENGTH, prompt_tuning_init="SAMPLE_VOCAB"
        )
        return get_peft_model(model, config)

    def loss(self, model: Any, rows: Sequence[Example]) -> Tensor:
        loss: Tensor = model(**self.texts(rows), labels=self._words()[self.labels(rows)]).loss
        return loss

    def scores(self, model: Any, rows: Sequence[Example]) -> Tensor:
        texts, words = self.texts(rows), self._words()
        found = []
        for word in words:
            labels = word.repeat(len(rows), 1)
            logits = model(**texts, labels=labels).logits[:, -labels.shape[1] :]  # behind the decoder's own vectors
            chosen = logits.float().log_softmax(-1).gather(2, labels.clamp(min=0)[..., None])[..., 0]
            found.append(chosen.masked_fill(labels < 0, 0.0).sum(1))
        return torch.stack(found, dim=1)

    def _words(self) -> Tensor:
        """Ids of the labels' words with their terminator, [C, longest], -100 where there are none."""
        words = [self.tokenizer(word, add_special_tokens=False)["input_ids"] for word in self.problem.task.says]
        ended = [torch.tensor([*ids, self.tokenizer.eos_token_id or self.tokenizer.sep_token_id]) for ids in words]
        return torch.nn.utils.rnn.pad_sequence(ended, batch_first=True, padding_value=-100)


#: Kind of model -> PEFT on it.
PEERS: Mapping[str, type[PeftPeer]] = {"masked": PeftClassifier, "seq2seq": PeftWords}
