"""Step time of plain, deep and late on an encoder-decoder and on an encoder, before and after the text.

    python benchmarks/step_time_kinds.py                       T5 of 6 + 6 layers of 512, BERT of 6 layers of 384
    python benchmarks/step_time_kinds.py --tokens 16           to try the script

Random weights in fp32, one thread, 16 texts of random ids, 20 soft tokens, two answers of a token and its terminator.
A step scores the answers and takes the gradient of their sum; states of texts are kept in RAM (of the encoder-decoder
cross keys and values) where the soft tokens stand after the text. Every repeat runs each method once, after a warm-up.
Prints processor seconds and writes nothing.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from statistics import median

import torch
import transformers as hf

from softprompt.core.records import Answer, Batch, Node, Row, Soft, Text
from softprompt.core.tensors import PromptTensors, SlotTensors, State
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.loading import wrap
from softprompt.testing import tiny_tokenizer

BATCH, LENGTH, END, MARK = 16, 20, 257, 258


def seq2seq() -> Backbone:
    """A T5 shape."""
    marks = {"eos_token_id": END, "pad_token_id": MARK, "decoder_start_token_id": MARK}
    config = hf.T5Config(d_model=512, d_kv=64, num_heads=8, d_ff=2048, num_layers=6, vocab_size=32_128, **marks)
    return wrap(hf.T5ForConditionalGeneration(config), tiny_tokenizer("$A <eos>"), name="T5 shape")


def masked() -> Backbone:
    """MiniLM's shape."""
    config = hf.BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"mask_token": "<mask>"})
    return wrap(hf.BertForMaskedLM(config), tokenizer, name="BERT shape")


def batch_of(backbone: Backbone, tokens: int, *, after: bool) -> Batch:
    """The rows; behind a slot of an encoder stand two words."""
    generator = torch.Generator().manual_seed(0)
    sided = backbone.spec.kind == "seq2seq"
    rows = []
    for _ in range(BATCH):
        text = Node(Text(tuple(torch.randint(5, 250, (tokens,), generator=generator).tolist()), "text"))
        soft = Node(Soft("soft", LENGTH), side="decoder" if sided and after else "main")
        chain = [text, soft] if after else [soft, text]
        chain += [] if sided else [Node(Text((7, 8)))]
        nodes = [Node(one.segment, n - 1 if n else None, one.side) for n, one in enumerate(chain)]
        answers = [Node(Answer((9 + n, END), n), len(nodes) - 1) for n in range(2)]
        rows.append(Row((*nodes, *answers)))
    return Batch(tuple(rows))


def prompts_of(backbone: Backbone, *, decoder: bool) -> dict[str, PromptTensors]:
    """Random numbers by method."""
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> torch.Tensor:
        return (0.1 * torch.randn(*shape, generator=generator)).requires_grad_()

    shapes = backbone.slot_shapes(decoder=decoder)
    pairs = {n: (drawn(g, LENGTH, dk), drawn(g, LENGTH, dv)) for n, (g, dk, dv) in enumerate(shapes)}
    width = backbone.spec.embed_dim
    slots = {
        "plain": SlotTensors(embed=drawn(LENGTH, width)),
        "deep": SlotTensors(kv=pairs),
        "late": SlotTensors(hidden={round(2 / 3 * len(shapes)): drawn(LENGTH, width)}),
    }
    return {name: PromptTensors({"soft": slot}) for name, slot in slots.items()}


def seconds(backbone: Backbone, batch: Batch, prompt: PromptTensors, state: State | None) -> float:
    """Processor seconds of a step."""
    begun = time.process_time()
    scores = backbone.forward(batch, [prompt], state).answers[0].scores
    torch.autograd.grad(scores.sum(), [tensor for _, tensor in prompt.tensors()])
    return time.process_time() - begun


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=256, help="tokens a text (256)")
    parser.add_argument("--repeats", type=int, default=3, help="after one warm-up (3)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for make in (seq2seq, masked):
        torch.manual_seed(0)
        backbone = make()
        for after in (False, True):
            batch = batch_of(backbone, options.tokens, after=after)
            state = None
            if after:
                state = backbone.reread([trunk.ids for trunk in backbone.trunks(batch)], wide=make is seq2seq)
            prompts = prompts_of(backbone, decoder=make is seq2seq and after)
            taken: dict[str, list[float]] = {name: [] for name in prompts}
            for _ in range(options.repeats + 1):
                for name, prompt in prompts.items():
                    taken[name].append(seconds(backbone, batch, prompt, state))
            place = "after the text" if after else "before the text"
            said = ", ".join(f"{name} {median(each[1:]):.2f}" for name, each in taken.items())
            print(f"{backbone.spec.name}, {place}: {said}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
