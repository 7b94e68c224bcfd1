"""A training step on an encoder-decoder: soft tokens on the decoder's side over an encoder that is read once.

    python benchmarks/seq2seq.py                                     64, 256 and 448 tokens: some minutes
    python benchmarks/seq2seq.py --tokens 64 --repeats 1 --print     to see that it works; nothing is written

A T5-shaped model with random weights (6 + 6 layers of 512, 8 heads, vocabulary 32,128), 16 texts of random ids, 20
vectors, an answer of two tokens and its terminator, the loss of the answer. PEFT is `get_peft_model` with
`PromptTuningConfig(task_type="SEQ_2_SEQ_LM")`, which puts its vectors before the encoder's text. Ours is a real
`Trainer` of one step: *before* computes what PEFT computes, and their losses and gradients agree; *after* reads the
text once and computes 20 soft tokens and the answer. It keeps cross keys and values where there is room, else the
encoder's output alone, else nothing. All share one process and one model; every repeat runs each once, in rotating
order; ratios are those of medians.

What it does not show: whether *after* learns a task as well.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import transformers as hf
from peft import PromptTuningConfig, get_peft_model
from torch import Tensor

from benchmarks.rig.contenders import Contender, Ours, Step
from benchmarks.rig.lengths import lengths_parser, measured, page
from benchmarks.rig.results import publish
from softprompt.core.records import Answer, Node, Row, Segment, Soft, Text
from softprompt.lab.training.problem import Problem
from softprompt.lab.training.settings import TrainingSettings
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.loading import DTYPES, wrap
from softprompt.model.methods.plain import Plain, PlainSettings
from softprompt.model.methods.starts import Start
from softprompt.model.prompted import PromptedModel, Scores
from softprompt.model.states import Budget, StateStore
from softprompt.testing import tiny_tokenizer

__all__ = ["Peft", "TwoSides", "contenders", "main"]

BATCH, VECTORS, END, START = 16, 20, 257, 258
ANSWERS = ((300, 301, END), (302, 303, END))

SHAPE = {"d_model": 512, "d_kv": 64, "num_heads": 8, "d_ff": 2048, "num_layers": 6, "vocab_size": 32_128}

#: Contender -> what it is.
NAMES = {
    "peft": "PEFT, training mode",
    "peft_best": "PEFT, evaluation mode",
    "before": "before the text",
    "after": "decoder's side, cross keys and values in RAM",
    "after_output": "decoder's side, the encoder's output in RAM",
    "after_no_cache": "decoder's side, texts read again",
}


def model_of(dtype: torch.dtype, **shape: int) -> hf.T5ForConditionalGeneration:
    """The measured model, or one of another shape to try the script."""
    torch.manual_seed(0)
    marks = {"eos_token_id": END, "pad_token_id": START, "decoder_start_token_id": START}
    return hf.T5ForConditionalGeneration(hf.T5Config(**{**SHAPE, **shape}, **marks)).to(dtype)


def texts_of(tokens: int, vocabulary: int) -> list[list[int]]:
    """Texts of random ids."""
    generator = torch.Generator().manual_seed(1)
    texts: list[list[int]] = torch.randint(304, vocabulary, (BATCH, tokens), generator=generator).tolist()
    return texts


class Peft(Contender):
    """PEFT's prompt tuning: its vectors before ``text </s>``, the answers as labels."""

    def __init__(self, backbone: Backbone, tokens: int, *, best: bool) -> None:
        self.name, self.best = "peft_best" if best else "peft", best
        config = PromptTuningConfig(task_type="SEQ_2_SEQ_LM", num_virtual_tokens=VECTORS, num_transformer_submodules=1)
        base: Any = backbone.model  # type: ignore[attr-defined]
        self.model: Any = get_peft_model(base, config)
        (self.vectors,) = (parameter for parameter in self.model.parameters() if parameter.requires_grad)
        with torch.no_grad():
            self.vectors.copy_(vectors_of(backbone))
        self.ids = torch.tensor([[*text, END] for text in texts_of(tokens, backbone.spec.vocab_size)])
        self.labels = torch.tensor([ANSWERS[i % len(ANSWERS)] for i in range(BATCH)])
        self.optimiser = torch.optim.AdamW([self.vectors], lr=1e-3)

    def step(self) -> Step:
        self.model.train(not self.best)
        wall, cpu = time.perf_counter(), time.process_time()
        loss = self._loss()
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        spent = Step(time.perf_counter() - wall, time.process_time() - cpu, float(loss.detach()))
        self.model.eval()
        return spent

    def gradient(self) -> tuple[float, Tensor]:
        loss = self._loss()
        (gradient,) = torch.autograd.grad(loss, [self.vectors])
        return float(loss.detach()), gradient.float()

    def _loss(self) -> Tensor:
        loss: Tensor = self.model(input_ids=self.ids, attention_mask=torch.ones_like(self.ids), labels=self.labels).loss
        return loss


class TwoSides(Ours):
    """Plain vectors through Trainer, PromptedModel and, with a budget, StateStore."""

    def __init__(self, name: str, backbone: Backbone, tokens: int, *, budget: Budget | None) -> None:
        self.name, self.cold, self.device = name, False, backbone.spec.device
        texts = texts_of(tokens, backbone.spec.vocab_size)
        self.rows = [self._row(text, i % len(ANSWERS)) for i, text in enumerate(texts)]
        self.judged = self._row([304], 0)
        self.model = PromptedModel(backbone)
        vectors = vectors_of(backbone)
        start = Start({"soft": vectors}, float(vectors.square().mean().sqrt()), 0)
        self.method = Plain.start(PlainSettings(), [start])
        self.problem = Problem([self.rows], [[self.judged]], ["likelihood"], _no_judge)
        settings = TrainingSettings(steps=1, evaluations=1, batch_size=BATCH, recompute="never", warmup=0.0)
        self.settings = settings.resolved()
        self.store: StateStore | None = None
        if budget is not None:
            self.store = StateStore(backbone, budget)
            self.read_seconds = self.store.fill([*self.rows, self.judged]).seconds

    def _row(self, text: Sequence[int], answer: int) -> Row:
        soft, body = Soft("soft", VECTORS), Text(tuple(text), "text")
        chain: list[Segment] = [soft, body] if self.name == "before" else [body, soft]
        nodes = [Node(part, i - 1 if i else None, "encoder") for i, part in enumerate(chain)]
        if self.name != "before":
            nodes[1] = replace(nodes[1], side="decoder")
        return Row((*nodes, Node(Answer(ANSWERS[answer]), 1)), target={0: 0})


def vectors_of(backbone: Backbone) -> Tensor:
    """The same start for all."""
    return backbone.embed(torch.arange(310, 310 + VECTORS)).float()


def _no_judge(prompt: int, scores: Scores, indices: Sequence[int]) -> float:
    return 0.0


def contenders(model: hf.T5ForConditionalGeneration, tokens: int) -> list[Contender]:
    """All of them, over one model."""
    backbone = wrap(model, tiny_tokenizer("$A <eos>"), name="t5")
    narrow = ((tokens + 1) * BATCH + 2) * backbone.spec.kv_bytes  # the rows, and the short one that judges
    return [
        Peft(backbone, tokens, best=False),
        Peft(backbone, tokens, best=True),
        TwoSides("before", backbone, tokens, budget=None),
        TwoSides("after", backbone, tokens, budget=Budget(memory=1 << 40)),
        TwoSides("after_output", backbone, tokens, budget=Budget(memory=narrow)),
        TwoSides("after_no_cache", backbone, tokens, budget=Budget(memory=0)),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    parser = lengths_parser(__doc__)
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="fp32")
    parser.add_argument("--width", type=int, default=SHAPE["d_model"], help="of the model, to try the script")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    model = model_of(DTYPES[options.dtype], d_model=options.width)
    found = measured(lambda tokens: contenders(model, tokens), options.tokens, repeats=options.repeats)
    text = page(found, NAMES, rows=BATCH, dtype=options.dtype)
    publish("seq2seq", "A training step on an encoder-decoder", text, only_print=options.print)


if __name__ == "__main__":
    main()
