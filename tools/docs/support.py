"""The support table, found out by trying: tiny models of every family, every method, every format.

A cell says yes where the thing was done just now with the real transformers class at toy size and random weights; where
it was refused, the page has the message that a user gets. Whether numbers are right is what tests/laws hold; this says
what can be asked for at all.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import compress
from typing import Any, cast

import torch
import transformers as hf
from torch import Tensor

from softprompt import testing
from softprompt.app.recipes.formats import fresh_manifest
from softprompt.core.answers import AnswerSettings
from softprompt.core.errors import SoftpromptError
from softprompt.core.records import Batch, Example
from softprompt.core.tasks import parse_task
from softprompt.core.tensors import Head, PromptTensors, SlotTensors
from softprompt.model.backbones import encoders, families
from softprompt.model.backbones.finding import kinds
from softprompt.model.backbones.base import Backbone, Want
from softprompt.model.backbones.weights.quantised import EXACT, SCHEMES
from softprompt.model.methods.starts import Layers, Start, from_vocabulary, start_prompt
from softprompt.model.methods.table import METHODS, REFUSED, parse_method, start_method
from softprompt.model.methods.vocabulary import Vocabulary
from softprompt.model.prompts.manifest import Origin
from softprompt.model.prompts.prompt import Prompt
from softprompt.model.templates import Described, RowBuilder, Template
from softprompt.model.templates.presets import Place, preset_text
from softprompt.ops.formats.table import FORMATS, export

__all__ = ["one_thread", "support_page"]

Table = Callable[[tuple[str, ...], list[tuple[str, ...]]], str]

PLACES: tuple[Place, ...] = ("before", "after")
TASK = parse_task({"kind": "classify", "labels": ["good", "bad"]})

#: Kind of model -> its families, what its placements are called, and the one on which methods are tried.
KINDS = {
    "causal": ((*testing.FAMILIES, *testing.MORE), ("before the text", "after the text"), "llama"),
    "seq2seq": (tuple(testing.SEQ2SEQ), ("on the encoder's side", "on the decoder's side"), "t5"),
    "masked": (tuple(testing.ENCODERS), ("before the text", "after: observers"), "bert"),
}
#: Causal models whose layers are not all attention.
HYBRIDS = "Qwen3Next Qwen3_5Text Bamba Jamba FalconH1 GraniteMoeHybrid NemotronH Zamba2 MiniMax RecurrentGemma Mamba2"


@dataclass
class Reasons:
    """Messages of refusals, numbered in the order in which they come."""

    texts: list[str] = field(default_factory=list)

    def of(self, error: SoftpromptError, name: str) -> str:
        """The mark of a message, less the names that were made up here."""
        message = error.message.replace(name, "the model").replace("'prompt'", "the prompt")
        text = f"{message} (`{error.code}`)"
        if text not in self.texts:
            self.texts.append(text)
        return f"[{self.texts.index(text) + 1}]"

    def tried(self, backbone: Backbone, do: Callable[[], Any]) -> str:
        """``yes``, or the mark of the reason."""
        try:
            assert do() is not False
        except SoftpromptError as error:
            return f"no {self.of(error, backbone.spec.name)}"
        return "yes"

    def exported(self, backbone: Backbone, prompt: Prompt) -> str:
        """The formats that a prompt can be written as, and the reasons against the others."""
        made, marks = [], []
        for name in FORMATS:
            if (found := self.tried(backbone, partial(export, prompt, name, backbone=lambda: backbone))) == "yes":
                made.append(name)
            else:
                marks.append(found.removeprefix("no "))
        return " ".join([", ".join(made) or "no", *dict.fromkeys(marks)])

    def listed(self) -> str:
        """All of them."""
        return "\n".join(f"{number}. {text}" for number, text in enumerate(self.texts, 1))


@dataclass(frozen=True)
class Stage:
    """A tiny model with a row of each form, and soft tokens at one place."""

    backbone: Backbone
    place: Place

    @property
    def template(self) -> Template:
        return Template.parse(preset_text("classify", place=self.place, length=3, model=self.backbone.spec.kind))

    def batch(self, form: str) -> Batch:
        """One row that asks for answers in words, or at label vectors."""
        limit = self.backbone.spec.max_positions
        builder = RowBuilder(self.template, TASK, self.backbone.tokenizer, max_tokens=limit, answers=cast(Any, form))
        return Batch((builder.row(Example({"text": "Nice one"}, target="good")),))

    def scores(self, form: str, tensors: PromptTensors) -> Tensor:
        """What an answer is chosen by."""
        output = self.backbone.forward(self.batch(form), [tensors])
        found = output.answers[0].scores if form == "words" else output.readouts[0].values
        assert bool(found.isfinite().all())
        return found

    def writes(self, tensors: PromptTensors) -> None:
        """Reads the row and goes on by one token."""
        builder = RowBuilder(self.template, parse_task({"kind": "generate"}), self.backbone.tokenizer, max_tokens=99)
        row = builder.row(Example({"text": "Nice one"}), target=False)
        state = self.backbone.forward(Batch((row,)), [tensors], want=Want(last=True, state=True)).state
        assert state is not None
        logits, _ = self.backbone.step(state, torch.tensor([[5]]))
        assert bool(logits.isfinite().all())

    def prompt(self, tensors: PromptTensors) -> Prompt:
        """The tensors as a saved prompt."""
        answers = AnswerSettings(form="words" if tensors.head is None else "vectors")
        origin, described = Origin(kind="imported"), Described(self.template)
        manifest = fresh_manifest(
            self.backbone, name="prompt", task=TASK, described=described, answers=answers, origin=origin
        )
        return Prompt(tensors.detach(), manifest)


@contextmanager
def one_thread() -> Iterator[None]:
    """Tiny models are slower on several: threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def support_page(table: Table) -> str:
    """The whole page.

    Args:
        table: Makes a Markdown table of a head and rows.
    """
    reasons = Reasons()
    parts = ["## Families"]
    for kind, (names, _, _) in KINDS.items():
        rows = list(_families(kind, names, reasons))
        head = ("families", "soft tokens", "a text is read", "words", "label vectors", "train", "write", "export")
        parts += [f"### {kind}", table(head, rows)]
    methods = table(("method", "what is kept", *KINDS, "export (causal, before)"), list(_methods(reasons)))
    return "\n\n".join(
        [
            "# What is supported",
            "Every cell was tried with a tiny model of the family when this page was made; numbers in brackets are "
            "[reasons](#reasons). That the results are right is held by [the laws](../CONTRIBUTING.md#the-laws). "
            "[Models](models.md), [methods](methods.md) and [formats](formats.md) say how each works.",
            *parts,
            _beyond(),
            "## Quantised models",
            "Weights in few bits, by `quantise`; [how](models.md#quantised-models). What stands here is held by the "
            "same laws in `tests/laws/test_quantised.py`, which runs where the extra `quantised` is installed (`make "
            "test-quantised`), on a processor; nobody has run it on an accelerator yet.",
            table(("scheme", "library", "what it is", "score", "train"), list(_schemes())),
            "## Methods",
            f"Placements at which a method trains. Exports are of prompts that answer in words; with label vectors: {_headed(reasons)}.",
            methods,
            "## Reasons",
            reasons.listed(),
            "## Refused",
            table(("what", "why"), [(", ".join(names), reason) for reason, names in _refused().items()]),
        ]
    )


def _schemes() -> Iterator[tuple[str, ...]]:
    """What each way to quantise is good for, as it is declared."""
    for name, scheme in SCHEMES.items():
        near = "yes" if scheme.tolerance == EXACT else f"within {scheme.tolerance:g}, by the text's company"
        yield f"`{name}`", scheme.library, scheme.what, near, "yes" if scheme.train else f"no: {scheme.reason}"


def _families(kind: str, names: Sequence[str], reasons: Reasons) -> Iterator[tuple[str, ...]]:
    """A row for all families that can do the same."""
    _, labels, _ = KINDS[kind]
    for place, label in zip(PLACES, labels, strict=True):
        same: dict[tuple[str, ...], list[str]] = {}
        for name in names:
            same.setdefault(_cells(Stage(_tiny(name), place), reasons), []).append(f"`{name}`")
        for cells, alike in same.items():
            yield ", ".join(alike), label, *cells


def _cells(stage: Stage, reasons: Reasons) -> tuple[str, ...]:
    backbone = stage.backbone
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(3, backbone.spec.embed_dim, generator=generator).requires_grad_()
    tensors = PromptTensors({"soft": SlotTensors(embed=vectors)})

    def trains() -> bool:
        loss = stage.scores("words" if backbone.spec.words else "vectors", tensors).square().sum()
        return bool(torch.autograd.grad(loss, vectors)[0].any())

    with torch.no_grad():
        words = reasons.tried(backbone, lambda: stage.scores("words", tensors))
        label_vectors = reasons.tried(backbone, lambda: stage.scores("vectors", tensors))
        written = reasons.tried(backbone, lambda: stage.writes(tensors))
    if not backbone.spec.words:
        width = backbone.spec.head_dim
        tensors = PromptTensors(tensors.slots, Head(torch.ones(2, width), torch.zeros(2)))
    trained, exported = reasons.tried(backbone, trains), reasons.exported(backbone, stage.prompt(tensors))
    texts = [trunk for trunk in backbone.trunks(stage.batch("vectors")) if trunk.length > 2]  # {bos} alone is no text
    return "once" if texts else "in every step", words, label_vectors, trained, written, exported


def _methods(reasons: Reasons) -> Iterator[tuple[str, ...]]:
    """A row for every method of ours."""
    for name in METHODS.own:
        kept, cells = "", []
        exported = ""
        for _, labels, family in KINDS.values():
            backbone = _tiny(family)
            found = {}
            for place, label in zip(PLACES, labels, strict=True):
                stage = Stage(backbone, place)
                found[label] = reasons.tried(backbone, partial(_learns, stage, name))
                if backbone.spec.kind == "causal" and place == "before":
                    tensors = _begun(stage, name).materialise()[0]
                    slot = tensors.slots["soft"]
                    held = [slot.embed is not None, bool(slot.hidden), bool(slot.kv)]
                    kept = ", ".join(compress(KEPT, held))
                    exported = reasons.exported(backbone, stage.prompt(tensors))
            able = [label for label, cell in found.items() if cell == "yes"]
            marks = dict.fromkeys(cell for cell in found.values() if cell != "yes")
            cells.append(", ".join([*able, *marks]))
        yield f"`{name}`", kept, *cells, exported
    for name, (reason, cure) in REFUSED.items():
        yield f"`{name}`", "", *["no"] * len(KINDS), f"not offered: {reason}; {cure}"


def _headed(reasons: Reasons) -> str:
    """Where a prompt with label vectors can go."""
    stage = Stage(_tiny("llama"), "before")
    tensors = _begun(stage, "plain").materialise()[0]
    head = Head(torch.ones(2, stage.backbone.spec.head_dim), torch.zeros(2))
    return reasons.exported(stage.backbone, stage.prompt(PromptTensors(tensors.slots, head)))


#: What the tensors of a slot are to people: embed, hidden, kv.
KEPT = ("vectors among the embeddings", "vectors at a layer", "keys and values")


def _begun(stage: Stage, name: str) -> Any:
    """One prompt of a method at its start."""
    return start_method(parse_method(name), [_start(stage)])


def _start(stage: Stage) -> Start:
    backbone, decoder = stage.backbone, stage.place == "after"
    words = Vocabulary(backbone.embed, backbone.tokenizer.encode, backbone.spec.vocab_size, frozenset({256, 257, 258}))
    prefill = partial(backbone.prefill, decoder=decoder)
    layers = Layers(len(backbone.slot_shapes(decoder=decoder)), lambda vectors, layer: prefill(vectors, layer=layer))
    slots = {"soft": (3, from_vocabulary(words))}
    return start_prompt(
        slots, scale=words.statistics.rms, seed=0, words=words, kept={"soft": 1}, layers={"soft": layers}
    )


def _learns(stage: Stage, name: str) -> bool:
    """Whether a gradient arrives at a method's parameters."""
    method = _begun(stage, name)
    loss = stage.scores("words", method()[0]).square().sum()
    gradients: Sequence[Tensor | None] = torch.autograd.grad(loss, list(method.parameters()), allow_unused=True)
    return any(gradient is not None and bool(gradient.any()) for gradient in gradients)


def _beyond() -> str:
    """Causal families that no tiny model stands for."""
    tried = {_tiny(name).spec.family for name in (*testing.FAMILIES, *testing.MORE)}
    rest = ", ".join(f"`{name}`" for name in sorted(set(families.FAMILIES) - tried))
    full = ", ".join(f"`{name}`" for name in testing.FAMILIES)
    return (
        f"Of the causal families {full} are held to every law, the others to those of scores, cached states, trees and "
        f"decoding. Not tried here, but known to take tree masks, so that branches share a line: {rest}. Any other "
        "causal model with keys and values in every layer is driven with one line a branch."
    )


def _refused() -> dict[str, list[str]]:
    """What is refused by its config: names by message."""
    found: dict[str, list[str]] = {}
    for name in HYBRIDS.split():
        config = getattr(hf, f"{name}Config")()
        reason = _reason(families.family_of, torch.nn.Identity(), config)
        found.setdefault(reason.removeprefix(f"{config.model_type} "), []).append(f"`{config.model_type}`")
    few = {"encoder_layers": 1, "decoder_layers": 1}
    for config in (hf.LongT5Config(num_layers=1), hf.LEDConfig(**few), hf.M2M100Config(**few)):
        with torch.device("meta"):  # no weights are asked for
            model = hf.AutoModelForSeq2SeqLM.from_config(config)
        reason = _reason(kinds.frame_of, model, testing.tiny_tokenizer())
        found.setdefault(reason.removeprefix(f"{config.model_type} "), []).append(f"`{config.model_type}`")
    for name, reason in encoders.REFUSED.items():
        found.setdefault(reason, []).append(f"`{name}`")
    return found


def _reason(refuse: Callable[..., Any], *given: Any) -> str:
    try:
        refuse(*given)
    except SoftpromptError as error:
        return error.message
    raise AssertionError("it is driven now: take it from the list")


@cache
def _tiny(family: str) -> Backbone:
    return testing.tiny(family)
