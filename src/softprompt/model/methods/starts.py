"""Where the soft tokens start: small functions that compose, each ``(length, rng) -> vectors [P, E]``.

Start values decide much of prompt tuning: standard normal numbers, the usual default, reached 5.7 % where the model's
own vectors reached 34.3 % on one public 3B benchmark. So everything here stands at the scale of the model's own table
(Lester et al. 2021, section 3.2: sampled vocabulary, class labels).

Knows no model: vectors come from a :class:`~softprompt.model.methods.vocabulary.Vocabulary`.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from softprompt.core.config import Settings
from softprompt.core.errors import ConfigError, PromptError, nearest
from softprompt.core.tensors import Head, PromptTensors, SlotTensors
from softprompt.model.methods.vocabulary import OutputVectors, Vocabulary

__all__ = [
    "FROM_SAVED",
    "Demonstrate",
    "Initialiser",
    "Layers",
    "Start",
    "StartKind",
    "StartSettings",
    "from_demonstrations",
    "from_gaussian",
    "from_labels",
    "from_prompt",
    "from_text",
    "from_vocabulary",
    "generator",
    "head_from_answers",
    "in_front",
    "initialiser",
    "kept_of",
    "slot_of",
    "start_prompt",
]

#: Number of soft tokens and the prompt's own generator -> vectors [P, E] in fp32 at the model's scale.
Initialiser = Callable[[int, torch.Generator], Tensor]
#: Number of soft tokens and the prompt's own generator -> ids of worked examples, as many.
Demonstrate = Callable[[int, torch.Generator], Sequence[int]]

StartKind = Literal["vocabulary", "text", "labels", "random", "prompt", "demonstrations", "in_front"]
#: Kinds that need a saved prompt.
FROM_SAVED: tuple[StartKind, ...] = ("prompt", "in_front")


@dataclass(frozen=True)
class Layers:
    """What a model makes of soft tokens in its layers; for methods whose tokens enter there.

    Attributes:
        count: Number of layers.
        prefill: Vectors [P, E], read where the slot stands -> keys [G, P, Dk] and values [G, P, Dv] of every layer, or
            if a layer is given what goes into it [P, H].
        saved: The slot of a saved prompt to continue, where it has no vectors among the embeddings.
    """

    count: int
    prefill: Callable[[Tensor, int | None], SlotTensors]
    saved: SlotTensors | None = None


@dataclass(frozen=True)
class Start:
    """Where one prompt starts.

    Attributes:
        slots: Vectors by slot, at the model's own scale.
        scale: RMS of the model's embedding table: the unit in which the vectors are trained.
        seed: Everything random about this prompt comes from it, so that no prompt depends on its neighbours.
        head: Label vectors, None for a prompt without.
        head_scale: RMS of the model's output vectors: the unit in which the label vectors are trained.
        words: The model's words, for methods that are made of more of them than the slots hold.
        kept: By slot, how many of its last vectors are an earlier prompt's; none if empty.
        layers: By slot, what the model makes of its tokens, for methods whose tokens enter the layers.
        group: Prompts of one group may share parameters, where the method does so; empty: it is alone.
    """

    slots: Mapping[str, Float[Tensor, "P E"]]
    scale: float
    seed: int = 0
    head: Head | None = None
    head_scale: float = 1.0
    words: Vocabulary | None = None
    kept: Mapping[str, int] = field(default_factory=dict)
    layers: Mapping[str, Layers] = field(default_factory=dict)
    group: str = ""


class StartSettings(Settings):
    """How soft tokens start; a slot with a text of its own in the template starts from that text instead."""

    kind: StartKind = Field(
        "vocabulary",
        description="sampled frequent tokens, a text, the answers' words, random at the table's scale, a saved prompt, "
        "worked examples (training rows), new tokens in front of a saved prompt; left out, it is the method's own",
    )
    text: str | None = Field(None, description="the text, for kind: text")
    num_frequent: int = Field(5000, ge=1, description="sample from this many of the most frequent tokens")
    adapt_length: bool = Field(False, description="kind: prompt may cut or fill slots of another length")
    hold_out: bool = Field(
        False, description="kind: demonstrations: a prompt does not learn from the rows that it shows"
    )

    @model_validator(mode="after")
    def _text_where_needed(self) -> "StartSettings":
        if (self.kind == "text") != (self.text is not None):
            raise ValueError("'text' belongs to kind: text, and kind: text needs it")
        return self

    def or_else(self, kind: StartKind | None) -> "StartSettings":
        """The same, with the kind that a method starts from where none was chosen.

        >>> StartSettings().or_else("demonstrations").kind, StartSettings(kind="random").or_else("demonstrations").kind
        ('demonstrations', 'random')
        """
        return self if kind is None or "kind" in self.model_fields_set else self.model_copy(update={"kind": kind})


def generator(seed: int, purpose: str) -> torch.Generator:
    """A generator on the CPU for one purpose of one seed: adding a purpose does not move the others.

    >>> draw = lambda purpose: torch.rand(1, generator=generator(0, purpose)).item()
    >>> draw("slot soft") == draw("slot soft") != draw("method")
    True
    """
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))


def from_vocabulary(vocabulary: Vocabulary, *, num_frequent: int = 5000) -> Initialiser:
    """Vectors of tokens drawn from the most frequent ones, each at most once where there are enough."""
    ids = vocabulary.frequent(num_frequent)
    if not ids:
        raise ConfigError("config.invalid", "the vocabulary has no token that is not special, so none can be sampled")

    def draw(length: int, rng: torch.Generator) -> Tensor:
        rounds = [torch.randperm(len(ids), generator=rng) for _ in range(-(-length // len(ids)))]
        return vocabulary.vectors([ids[i] for i in torch.cat(rounds)[:length].tolist()] if rounds else [])

    return draw


def from_text(vocabulary: Vocabulary, text: str) -> Initialiser:
    """Vectors of the text's tokens, repeated or cut to the slot's length.

    >>> words = Vocabulary(torch.nn.Embedding.from_pretrained(torch.arange(9.0)[:, None]), lambda text: (4, 7), 9)
    >>> from_text(words, "the topic")(5, generator(0, "slot soft")).squeeze(1).tolist()
    [4.0, 7.0, 4.0, 7.0, 4.0]

    Raises:
        ConfigError: ``config.invalid`` for a text without tokens.
    """
    ids = tuple(vocabulary.tokenize(text))
    if not ids:
        raise ConfigError("config.invalid", f"the start text {text!r} has no tokens", cure="give at least one word")

    def repeat(length: int, rng: torch.Generator) -> Tensor:
        return vocabulary.vectors([ids[i % len(ids)] for i in range(length)])

    return repeat


def from_labels(vocabulary: Vocabulary, says: Sequence[str], *, then: Initialiser) -> Initialiser:
    """Vectors of the answers' words in order, cut to the slot's length; what is left starts as ``then`` says."""
    ids = [token for say in says for token in vocabulary.tokenize(say)]

    def label_words(length: int, rng: torch.Generator) -> Tensor:
        words = vocabulary.vectors(ids[:length])
        return words if len(words) == length else torch.cat([words, then(length - len(words), rng)])

    return label_words


def from_gaussian(vocabulary: Vocabulary) -> Initialiser:
    """Normal numbers with the embedding table's mean and standard deviation in every dimension."""

    def draw(length: int, rng: torch.Generator) -> Tensor:
        table = vocabulary.statistics
        noise = torch.randn(length, len(table.mean), generator=rng).to(table.mean.device)
        return table.mean + noise * table.std

    return draw


def slot_of(saved: PromptTensors, slot: str) -> SlotTensors | None:
    """A slot of a saved prompt by name; any name will do where it has one slot only."""
    name = slot if slot in saved.slots or len(saved.slots) != 1 else next(iter(saved.slots))
    return saved.slots.get(name)


def from_prompt(saved: PromptTensors, slot: str, *, width: int, fill: Initialiser | None = None) -> Initialiser:
    """Vectors of a slot of a saved prompt.

    Args:
        saved: The prompt to continue.
        slot: Its slot; any name will do where it has one slot only.
        width: Width E of this model's embeddings.
        fill: Allows another length: a longer prompt is cut, a shorter one filled up by this.

    Raises:
        PromptError: ``prompt.other_slots`` for a missing slot, another width, or another length without ``fill``.
    """
    content = slot_of(saved, slot)
    if content is None or (vectors := content.embed) is None:
        known = nearest(slot, [name for name, content in saved.slots.items() if content.embed is not None])
        raise PromptError("prompt.other_slots", f"the saved prompt has no vectors for slot {slot!r}; {known}")
    own = vectors.detach().float()
    if own.shape[1] != width:
        widths = f"the saved prompt's vectors are {own.shape[1]} wide, this model's are {width}"
        raise PromptError("prompt.other_slots", widths, cure="start from a prompt of the same model")

    def continue_from(length: int, rng: torch.Generator) -> Tensor:
        if length <= len(own) and (fill is not None or length == len(own)):
            return own[:length]
        if fill is None:
            raise PromptError(
                "prompt.other_slots",
                f"slot {slot!r} has {length} soft tokens, the saved prompt has {len(own)}",
                cure="use the same length, or allow adapting (start.adapt_length)",
            )
        rest = fill(length - len(own), rng)
        return torch.cat([own.to(rest.device), rest])

    return continue_from


def from_demonstrations(vocabulary: Vocabulary, demonstrate: Demonstrate) -> Initialiser:
    """Vectors of worked examples, as long as the slot.

    >>> words = Vocabulary(torch.nn.Embedding.from_pretrained(torch.arange(9.0)[:, None]), lambda text: (), 9)
    >>> start = from_demonstrations(words, lambda length, rng: range(length))
    >>> start(3, generator(0, "slot soft")).squeeze(1).tolist()
    [0.0, 1.0, 2.0]
    """
    return lambda length, rng: vocabulary.vectors(demonstrate(length, rng))


def in_front(saved: Initialiser, kept: int, *, slot: str, new: Initialiser) -> Initialiser:
    """New vectors in front of the ``kept`` vectors of a saved prompt.

    Raises:
        PromptError: ``prompt.other_slots`` for a slot that leaves no room for new ones.
    """

    def draw(length: int, rng: torch.Generator) -> Tensor:
        if length <= kept:
            raise PromptError(
                "prompt.other_slots",
                f"slot {slot!r} has {length} soft tokens and the saved prompt {kept}: none is new",
                cure=f"make it longer: <soft {kept + 20}> learns 20 in front of them",
            )
        first = new(length - kept, rng)
        return torch.cat([first, saved(kept, rng).to(first.device)])

    return draw


def initialiser(
    settings: StartSettings,
    vocabulary: Vocabulary,
    *,
    slot: str = "soft",
    text: str | None = None,
    says: Sequence[str] = (),
    saved: PromptTensors | None = None,
    demonstrate: Demonstrate | None = None,
) -> Initialiser:
    """The initialiser of one slot.

    Args:
        settings: The run's choice.
        vocabulary: The model's words.
        slot: Name of the slot.
        text: The slot's own start text in the template; wins over ``settings``.
        says: Texts of the answers, for ``labels``.
        saved: The prompt to continue, for ``prompt``, or to stand in front of, for ``in_front``.
        demonstrate: Worked examples, for ``demonstrations``.

    Raises:
        ConfigError: ``config.invalid`` where ``says``, ``saved`` or ``demonstrate`` is needed and absent.
    """
    if text is not None:
        return from_text(vocabulary, text)
    sampled = from_vocabulary(vocabulary, num_frequent=settings.num_frequent)
    match settings.kind:
        case "text" if settings.text is not None:
            return from_text(vocabulary, settings.text)
        case "labels" if says:
            return from_labels(vocabulary, says, then=sampled)
        case "prompt" if saved is not None:
            width = len(vocabulary.statistics.mean)
            return from_prompt(saved, slot, width=width, fill=sampled if settings.adapt_length else None)
        case "in_front" if saved is not None:
            width = len(vocabulary.statistics.mean)
            earlier = from_prompt(saved, slot, width=width)
            return in_front(earlier, kept_of(saved, slot), slot=slot, new=sampled)
        case "demonstrations" if demonstrate is not None:
            return from_demonstrations(vocabulary, demonstrate)
        case "vocabulary":
            return sampled
        case "random":
            return from_gaussian(vocabulary)
    needs = {
        "labels": "a task with fixed labels",
        "prompt": "a saved prompt to continue",
        "in_front": "a saved prompt to stand in front of",
        "demonstrations": "training rows",
    }[settings.kind]
    raise ConfigError("config.invalid", f"start kind {settings.kind!r} needs {needs}", cure="use kind: vocabulary")


def kept_of(saved: PromptTensors, slot: str) -> int:
    """How many vectors a saved prompt has for a slot; any name will do where it has one slot only."""
    name = slot if slot in saved.slots or len(saved.slots) != 1 else next(iter(saved.slots))
    vectors = saved.slots[name].embed if name in saved.slots else None
    return 0 if vectors is None else len(vectors)


def start_prompt(
    slots: Mapping[str, tuple[int, Initialiser]],
    *,
    scale: float,
    seed: int,
    head: Head | None = None,
    head_scale: float = 1.0,
    words: Vocabulary | None = None,
    kept: Mapping[str, int] | None = None,
    layers: Mapping[str, Layers] | None = None,
) -> Start:
    """The start of one prompt: every slot draws from a generator of its own.

    Args:
        slots: Length and initialiser by slot.
        scale: RMS of the embedding table, ``vocabulary.statistics.rms``.
        seed: Seed of this prompt.
        head: Label vectors to start from, see :func:`head_from_answers`.
        head_scale: RMS of the model's output vectors.
        words: The model's words.
        kept: By slot, how many of its last vectors are an earlier prompt's.
        layers: By slot, what the model makes of its tokens.

    >>> words = Vocabulary(torch.nn.Embedding(50, 4), lambda text: [3], 50)
    >>> start = start_prompt({"soft": (6, from_vocabulary(words))}, scale=words.statistics.rms, seed=1)
    >>> start.slots["soft"].shape
    torch.Size([6, 4])
    """
    vectors = {name: init(length, generator(seed, f"slot {name}")) for name, (length, init) in slots.items()}
    return Start(vectors, scale, seed, head, head_scale, words, kept or {}, layers or {})


def centred(head: Head, shares: Sequence[float]) -> Head:
    """Label vectors less what they have in common, biased to the labels' shares: a start for a yes or no a label.

    What all label words share makes no difference between them, but would make every yes or no lean to one side.

    Args:
        head: From the label words.
        shares: Of the rows that have each label.

    >>> found = centred(Head(torch.tensor([[3.0, 1.0], [1.0, 1.0]]), torch.zeros(2)), [0.5, 0.2])
    >>> found.weight.tolist(), [round(value, 2) for value in found.bias.tolist()]
    ([[1.0, 0.0], [-1.0, 0.0]], [0.0, -1.39])
    """
    bias = torch.tensor([min(max(share, 1e-3), 1 - 1e-3) for share in shares], dtype=head.bias.dtype).logit()
    return Head(head.weight - head.weight.mean(0), bias.to(head.bias.device))


def head_from_answers(output_vectors: OutputVectors, answers: Sequence[Sequence[int]]) -> Head:
    """Label vectors that begin as the model's own output vectors of the label words.

    A label starts as its first token's vector and bias: step 0 then gives exactly the zero-shot model's preference for
    the first token of the answer. Labels that share their first token could not be told apart, so each of those starts
    as the mean over all its tokens: the shared part is common to them, the rest differs.

    Args:
        output_vectors: Ids to output vectors and biases.
        answers: Token ids of each label's text as it stands in the template, without terminator.

    >>> table = torch.eye(5)
    >>> head_from_answers(lambda ids: (table[ids], None), [[0], [1, 2], [1, 3]]).weight.tolist()
    [[1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0, 0.0], [0.0, 0.5, 0.0, 0.5, 0.0]]
    """
    for i, answer in enumerate(answers):
        if not answer:
            raise ConfigError("config.invalid", f"the text of label {i} (from 0) has no tokens", cure="give it a word")
    first = Counter(answer[0] for answer in answers)
    rows: list[Tensor] = []
    biases: list[Tensor] = []
    with torch.no_grad():
        for answer in answers:
            ids = list(answer) if first[answer[0]] > 1 else [answer[0]]
            vectors, bias = output_vectors(torch.tensor(ids, dtype=torch.long))
            rows.append(vectors.float().mean(0))
            biases.append(vectors.new_zeros(()).float() if bias is None else bias.float().mean())
        return Head(torch.stack(rows), torch.stack(biases))
