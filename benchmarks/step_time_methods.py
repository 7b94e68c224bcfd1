"""Step time of plain, deep and late: on a causal model, an encoder-decoder and an encoder, before and after the text.

    python benchmarks/step_time_methods.py                            some minutes
    python benchmarks/step_time_methods.py --tokens 16 --print        to try the script; nothing is written

Random weights, one thread, 16 texts of random ids, 20 soft tokens, two answers of a token and its terminator. A step
scores the answers and takes the gradient of their sum; states of texts are kept in RAM (of the encoder-decoder cross
keys and values) where the soft tokens stand after the text. Every repeat runs each method once, after a warm-up.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import transformers as hf

from benchmarks.rig.machine import load_average, sentence
from benchmarks.rig.results import parser_of, publish
from benchmarks.rig.setting import Setting, backbone_of
from softprompt.core.records import Answer, Batch, Node, Row, Soft, Text
from softprompt.core.tensors import PromptTensors, SlotTensors, State
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.loading import wrap
from softprompt.testing import tiny_tokenizer

__all__ = ["METHODS", "MODELS", "main", "page"]

BATCH, LENGTH, END, MARK = 16, 20, 257, 258
METHODS = ("plain", "deep", "late")

#: Model, place -> method -> processor seconds of its steps.
Found = Mapping[tuple[str, str], Mapping[str, Sequence[float]]]


def causal() -> Backbone:
    """12 layers of 768 in bf16."""
    return backbone_of(Setting())


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


MODELS: Mapping[str, Callable[[], Backbone]] = {
    "Llama shape, 12 layers of 768, bf16": causal,
    "T5 shape, 6 + 6 layers of 512, fp32": seq2seq,
    "BERT shape, 6 layers of 384, fp32": masked,
}


def batch_of(backbone: Backbone, tokens: int, *, after: bool) -> Batch:
    """The rows; where the answer is not a decoder's, two words stand before it."""
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
    return {name: PromptTensors({"soft": slots[name]}) for name in METHODS}


def seconds(backbone: Backbone, batch: Batch, prompt: PromptTensors, state: State | None) -> float:
    """Processor seconds of a step."""
    begun = time.process_time()
    scores = backbone.forward(batch, [prompt], state).answers[0].scores
    torch.autograd.grad(scores.sum(), [tensor for _, tensor in prompt.tensors()])
    return time.process_time() - begun


def measured(backbone: Backbone, tokens: int, *, after: bool, repeats: int) -> dict[str, list[float]]:
    """Seconds of every repeat by method; the warm-up is thrown away."""
    batch, sided = batch_of(backbone, tokens, after=after), backbone.spec.kind == "seq2seq"
    state = backbone.reread([trunk.ids for trunk in backbone.trunks(batch)], wide=sided) if after else None
    prompts = prompts_of(backbone, decoder=sided and after)
    taken: dict[str, list[float]] = {name: [] for name in prompts}
    for repeat in range(-1, repeats):
        for name, prompt in prompts.items():
            spent = seconds(backbone, batch, prompt, state)
            if repeat >= 0:
                taken[name].append(spent)
    return taken


def page(found: Found, *, tokens: int, load: float) -> str:
    """The table: medians of the repeats."""
    lines = [f"| | | {' | '.join(METHODS)} |", f"| --- | --- |{' ---: |' * len(METHODS)}"]
    for (model, place), taken in found.items():
        cells = [f"{median(taken[name]):.2f} s" for name in METHODS]
        lines.append(f"| {model} | {place} | {' | '.join(cells)} |")
    repeats = min(len(each) for taken in found.values() for each in taken.values())
    about = f"Processor seconds of a step of {BATCH} texts of {tokens} tokens with {LENGTH} soft tokens, one thread, "
    return "\n".join([*lines, "", f"{about}median of {repeats}. {sentence(load)}"]) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    parser = parser_of(__doc__)
    parser.add_argument("--tokens", type=int, default=256, help="of a text (256)")
    parser.add_argument("--repeats", type=int, default=3, help="after one warm-up (3)")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS), metavar="NAME")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    found = {}
    for name in options.models:
        torch.manual_seed(0)
        backbone = MODELS[name]()
        for after in (False, True):
            place = "after the text" if after else "before the text"
            found[name, place] = measured(backbone, options.tokens, after=after, repeats=options.repeats)
    text = page(found, tokens=options.tokens, load=load_average())
    publish("step_time_methods", "A training step by method", text, only_print=options.print)


if __name__ == "__main__":
    main()
