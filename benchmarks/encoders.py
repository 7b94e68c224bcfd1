"""A training step on an encoder: observers over texts that are read once, against PEFT prompt tuning.

    python benchmarks/encoders.py                              64, 256 and 448 tokens: some minutes
    python benchmarks/encoders.py --tokens 64 --repeats 1 --print    to see that it works; nothing is written

A BERT-shaped model with random weights in the shape of MiniLM (6 layers of 384, 12 heads, vocabulary 30,522), 16 texts
of random ids, 20 vectors, five labels. PEFT is `get_peft_model` with `PromptTuningConfig(task_type="SEQ_CLS")`, its
classifier trained beside the vectors as it does. Ours is a real `Trainer` of one step with label vectors: *before*
computes the whole row in every step, *after* reads the text once and computes 20 observers, two words, the mask and the
closing token. All share one process; every repeat runs each once, in rotating order; ratios are those of medians.

What it does not show: whether *after* learns a task as well.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import transformers as hf
from peft import PromptTuningConfig, get_peft_model
from torch import Tensor

from benchmarks.rig.contenders import Contender, Step
from benchmarks.rig.lengths import lengths_parser, measured, page
from benchmarks.rig.results import publish
from softprompt.core.records import Batch, Node, Readout, Row, Segment, Soft, Text
from softprompt.core.tensors import Head
from softprompt.lab.training.outcome import Event
from softprompt.lab.training.problem import Problem
from softprompt.lab.training.settings import TrainingSettings
from softprompt.lab.training.trainer import Trainer
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.loading import DTYPES, wrap
from softprompt.model.methods.plain import Plain, PlainSettings
from softprompt.model.methods.starts import Start
from softprompt.model.prompted import PromptedModel, Scores
from softprompt.model.states import Budget, StateStore
from softprompt.testing import tiny_tokenizer

__all__ = ["Ours", "Peft", "contenders", "main"]

BATCH, VECTORS, LABELS, CLS, WORDS = 16, 20, 5, 256, (300, 301)

SHAPE = {"num_hidden_layers": 6, "hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536}

#: Contender -> what it is.
NAMES = {
    "peft": "PEFT, training mode",
    "peft_best": "PEFT, evaluation mode",
    "before": "before the text",
    "after": "after the text, states in RAM",
    "after_no_cache": "after, texts read again",
}


def config_of(**shape: int) -> hf.BertConfig:
    """Of the measured model, or of another shape to try the script."""
    return hf.BertConfig(vocab_size=30_522, **{**SHAPE, **shape}, num_labels=LABELS)


def texts_of(tokens: int) -> list[list[int]]:
    """Texts of random ids."""
    generator = torch.Generator().manual_seed(1)
    texts: list[list[int]] = torch.randint(304, 30_522, (BATCH, tokens), generator=generator).tolist()
    return texts


class Peft(Contender):
    """PEFT's prompt tuning of a classifier: ``[CLS] text [SEP]`` behind the vectors."""

    def __init__(self, config: hf.BertConfig, tokens: int, dtype: torch.dtype, *, best: bool) -> None:
        self.name, self.best = "peft_best" if best else "peft", best
        torch.manual_seed(0)
        model = hf.BertForSequenceClassification(config).to(dtype)
        settings = PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=VECTORS)
        self.model: Any = get_peft_model(model, settings)
        self.ids = torch.tensor([[CLS, *text, 257] for text in texts_of(tokens)])
        self.labels = torch.arange(BATCH) % LABELS
        self.learnt = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(self.learnt, lr=1e-3)

    def step(self) -> Step:
        self.model.train(not self.best)
        wall, cpu = time.perf_counter(), time.process_time()
        loss = self._loss()
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        return Step(time.perf_counter() - wall, time.process_time() - cpu, float(loss.detach()))

    def gradient(self) -> tuple[float, Tensor]:
        loss = self._loss()
        return float(loss.detach()), torch.autograd.grad(loss, self.learnt[:1])[0]

    def _loss(self) -> Tensor:
        loss: Tensor = self.model(input_ids=self.ids, attention_mask=torch.ones_like(self.ids), labels=self.labels).loss
        return loss


class Ours(Contender):
    """Plain vectors and label vectors through Trainer, PromptedModel and, with a budget, StateStore."""

    def __init__(self, name: str, backbone: Backbone, tokens: int, *, budget: Budget | None) -> None:
        self.name = name
        rows = [self._row(text, i % LABELS, after=name != "before") for i, text in enumerate(texts_of(tokens))]
        self.rows, short = rows, self._row([304], 0, after=name != "before")
        self.model = PromptedModel(backbone)
        vectors = backbone.embed(torch.arange(1000, 1000 + VECTORS)).float()
        head = Head(torch.zeros(LABELS, backbone.spec.head_dim), torch.zeros(LABELS))
        start = Start({"soft": vectors}, float(vectors.square().mean().sqrt()), 0, head, 0.05)
        self.method = Plain.start(PlainSettings(), [start])
        self.problem = Problem([rows], [[short]], ["choice"], _no_judge)
        self.store = None if budget is None else StateStore(backbone, budget)
        if self.store is not None:
            self.read_seconds = self.store.fill([*rows, short]).seconds

    def _row(self, text: Sequence[int], label: int, *, after: bool) -> Row:
        body: list[Segment] = [Text((CLS,)), Text(tuple(text), "text")]
        soft: list[Segment] = [Soft("soft", VECTORS)]
        parts = [*body, *soft] if after else [body[0], *soft, body[1]]
        chain = [*parts, Text(WORDS), Readout()]
        return Row(tuple(Node(part, i - 1 if i else None) for i, part in enumerate(chain)), target={0: label})

    def step(self) -> Step:
        events: list[Event] = []
        cpu: list[float] = []

        def listen(event: Event) -> None:
            cpu.append(time.process_time())
            events.append(event)

        settings = TrainingSettings(steps=1, evaluations=1, batch_size=BATCH, recompute="never", warmup=0.0).resolved()
        Trainer(
            self.model, self.method, self.problem, settings=settings, rates=[0.01], store=self.store, on_event=listen
        ).run()
        at = next(i for i, event in enumerate(events) if event.kind == "step")
        return Step(events[at].seconds, cpu[at] - cpu[at - 1], events[at].losses[0])

    def gradient(self) -> tuple[float, Tensor]:
        batch, tensors = Batch(tuple(self.rows)), self.method()
        state = self.store.get(batch) if self.store is not None else None
        total, weight = self.problem.losses(
            self.model.scores(batch, state, prompts=tensors), batch.rows, smoothing=0.0
        )[0]
        weight_of = tensors[0].head
        assert weight_of is not None
        loss = total / weight
        return float(loss.detach()), torch.autograd.grad(loss, [weight_of.weight])[0]


def _no_judge(prompt: int, scores: Scores, indices: Sequence[int]) -> float:
    return 0.0


def contenders(config: hf.BertConfig, tokens: int, dtype: torch.dtype) -> list[Contender]:
    """All of them, over models of one shape."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"mask_token": "<mask>"})
    backbone = wrap(hf.BertForMaskedLM(config).to(dtype), tokenizer, name="bert")
    plenty = Budget(memory=1 << 40)
    return [
        Peft(config, tokens, dtype, best=False),
        Peft(config, tokens, dtype, best=True),
        Ours("before", backbone, tokens, budget=None),
        Ours("after", backbone, tokens, budget=plenty),
        Ours("after_no_cache", backbone, tokens, budget=Budget(memory=0)),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    parser = lengths_parser(__doc__)
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="fp32")
    parser.add_argument("--hidden", type=int, default=SHAPE["hidden_size"], help="width, to try the script")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    config = config_of(hidden_size=options.hidden)
    found = measured(
        lambda tokens: contenders(config, tokens, DTYPES[options.dtype]), options.tokens, repeats=options.repeats
    )
    text = page(found, NAMES, rows=BATCH, dtype=options.dtype)
    publish("encoders", "A training step on an encoder", text, only_print=options.print)


if __name__ == "__main__":
    main()
