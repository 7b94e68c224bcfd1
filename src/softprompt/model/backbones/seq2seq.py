"""Encoder-decoder models of transformers (T5, mT5, BART, ...), driven through their own forward.

An encoder reads a text as a whole, so a soft slot anywhere in it makes all of it live. Slots on the decoder's side
leave the encoder frozen: its output is computed once per text and kept, alone or as the cross keys and values that are
made of it (splice rule 10). Rows are taken apart by :mod:`~softprompt.model.backbones.splicing.sides`; lines, splice
and readers are those of causal models.

Keys and values, and vectors of later layers, stand on either side: in the encoder among its tokens; at the decoder's
beginning before its opening, as what it has read already, and further on among its tokens.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from softprompt.core.errors import ModelError
from softprompt.core.records import Batch, Node, Row, Soft, Text
from softprompt.core.tensors import PromptTensors, SlotTensors, State
from softprompt.core.tokens import Tokenizer
from softprompt.model.backbones.base import Backbone, Hidden, Output, Plan, Spec, Want
from softprompt.model.backbones.calls import cache_of, tensors_of
from softprompt.model.backbones.encdec import cross_states, decode, encode, encoder_shapes, keys_values, layers_of
from softprompt.model.backbones.entering import entering, going_into, layered_cache
from softprompt.model.backbones.readers import Readers
from softprompt.model.backbones.splicing.asides import require_states
from softprompt.model.backbones.splicing.leading import lead
from softprompt.model.backbones.splicing.lines import Line, Lowered, Trunk
from softprompt.model.backbones.splicing.lowering import Frozen
from softprompt.model.backbones.splicing.sides import Frame, Reading, Sides, split
from softprompt.model.backbones.splicing.slots import Layered, Shapes, enters_layers, layered
from softprompt.model.backbones.splicing.splice import Inputs, insert, lay_out, roll
from softprompt.model.backbones.weights.spread import at_hand

__all__ = ["Seq2SeqBackbone"]


class Seq2SeqBackbone(Backbone):
    """A frozen encoder-decoder.

    Args:
        model: On its device, in its dtype; it is frozen and set to evaluation mode here.
        tokenizer: The model's.
        spec: What is known of it.
        frame: The marks that the model expects around what it reads and writes.
        max_columns: Longest sequence of either side in tokens, marks included.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: Tokenizer, *, spec: Spec, frame: Frame, max_columns: int
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.spec = spec
        self.frame = frame
        self.max_columns = max_columns

    def embed(self, ids: Int[Tensor, "*n"]) -> Float[Tensor, "*n E"]:
        with torch.no_grad():
            vectors: Tensor = self.model.get_input_embeddings()(ids.to(self.spec.device))
        return vectors

    def output_vectors(self, ids: Int[Tensor, " n"]) -> tuple[Float[Tensor, "n H"], Float[Tensor, " n"]]:
        with at_hand(self.model.get_output_embeddings()) as layer:
            index = ids.to(layer.weight.device)
            weight = layer.weight.detach().index_select(0, index).float()
        bias = getattr(self.model, "final_logits_bias", None)
        return weight, weight.new_zeros(len(ids)) if bias is None else bias.detach()[0, index].float()

    def slot_shapes(self, *, decoder: bool = False) -> Shapes:
        # a decoder's layers attend to the encoder with as many heads as to themselves
        return self.spec.wide_shapes if decoder else encoder_shapes(self.model)

    @torch.no_grad()
    def prefill(
        self,
        vectors: Float[Tensor, "P E"],
        *,
        before: Sequence[int] = (),
        layer: int | None = None,
        decoder: bool = False,
    ) -> SlotTensors:
        """On the decoder's side they are written while the encoder has read the same, as in pre-training."""
        slot, prompts = Soft("start", len(vectors)), [PromptTensors({"start": SlotTensors(embed=vectors)})]
        words = [Node(Text(tuple(before)), side="decoder" if decoder else "encoder")] if before else []
        if decoder:
            chain = [Node(slot), *words, Node(slot, side="decoder")]
        else:
            chain = [*words, Node(slot)]
        row = Row(tuple(replace(node, parent=n - 1 if n else None) for n, node in enumerate(chain)))
        sides = split(Batch((row,)), self.frame, frozen=None, opens=lambda _: not before)
        layers = layers_of(self.model.get_decoder() if decoder else self.model.get_encoder())
        memory = self._memory(sides, prompts, None) if decoder else None
        lowered = sides.lower(tree=False) if decoder else Lowered([sides.readings[0].line])
        with keys_values(layers) as made, going_into(layers[layer or 0]) as gone:
            if memory is None:
                self._encode(sides.readings, prompts)
            else:
                self._decode(lowered, prompts, memory, Want())
        run, shapes = lowered.lines[0].soft[0], self.slot_shapes(decoder=decoder)

        def own(found: Tensor) -> Tensor:
            return found[0, run.at : run.at + run.num].float()

        if layer is not None:
            return SlotTensors(hidden={layer: own(gone[0])})
        keys, values = (
            [own(one).view(run.num, g, -1).transpose(0, 1) for one, (g, _, _) in zip(part, shapes, strict=True)]
            for part in made
        )
        return SlotTensors(kv=dict(enumerate(zip(keys, values, strict=True))))

    def plan(self, batch: Batch, *, frozen: Frozen | None = "soft") -> Plan:
        sides = split(batch, self.frame, frozen=frozen)
        lowered = sides.lower(tree=self.spec.tree)
        tokens = sum(trunk.length for trunk in sides.trunks)
        live = sum(len(reading.line.ids) for reading in sides.readings if reading.trunk is None)
        readers = len(Readers.of(lowered, Want(), self.spec.device).index)
        encoder, cross, decoder = self._sizes()
        output = self.spec.vocab_size * self.spec.head_dim
        steps = 2 * (encoder + cross) * live + 2 * cross * tokens + 2 * decoder * lowered.num_live
        return Plan(
            lines=len(lowered.lines),
            live_tokens=live + lowered.num_live,
            frozen_tokens=tokens,
            readers=readers,
            state_bytes=tokens * self.spec.kv_bytes,
            live_flops=steps + 2 * output * readers,
            frozen_flops=2 * encoder * tokens,
        )

    def _sizes(self) -> tuple[int, int, int]:
        """Parameters that a token meets in the encoder, that make its cross keys and values, and in the decoder."""
        sides = self.model.get_encoder(), self.model.get_decoder()
        table = self.model.get_input_embeddings().weight
        encoder, decoder = (sum(p.numel() for p in side.parameters() if p is not table) for side in sides)
        cross = self.spec.embed_dim * sum(g * (dk + dv) for g, dk, dv in self.spec.wide_shapes)
        return encoder, cross, decoder - cross

    def trunks(self, batch: Batch, *, frozen: Frozen = "soft") -> list[Trunk]:
        return split(batch, self.frame, frozen=frozen).trunks

    @torch.no_grad()
    def read(self, batch: Batch, prompts: Sequence[PromptTensors] = (), *, frozen: Frozen = "soft") -> State:
        readings = split(batch, self.frame, frozen=frozen).readings
        return self._encode([reading for reading in readings if reading.trunk is not None], prompts)

    def reread(self, texts: Sequence[tuple[int, ...]], *, wide: bool = False) -> State:
        closing = len(self.frame.closing)
        rows = [Row((Node(Text(ids[: len(ids) - closing])), Node(Soft("end", 1), 0, "decoder"))) for ids in texts]
        state = self.read(Batch(tuple(rows)))
        return self._cross(state) if wide else state

    def forward(
        self,
        batch: Batch,
        prompts: Sequence[PromptTensors] = (),
        state: State | None = None,
        *,
        want: Want = Want(),  # noqa: B008 - immutable
        frozen: Frozen = "soft",
        checkpoint: bool = False,
    ) -> Output:
        sides = split(
            batch, self.frame, frozen=frozen if state is not None else None, opens=partial(_are_keys, prompts)
        )
        lowered = sides.lower(tree=self.spec.tree and not want.state)
        if enters_layers(prompts):
            require_states(lowered, prompts, ends=want.last or want.hidden or want.state)
        memory = self._memory(sides, prompts, state, checkpoint=checkpoint)
        memory = memory.take([sides.memories[line.row] for line in lowered.lines])
        readers, run = self._decode(lowered, prompts, memory, want)
        hidden, logits = run.hidden, run.logits
        rows, ends = readers.ends() if want.last or want.hidden else (None, None)
        return Output(
            answers=readers.answers(logits) if logits is not None else {},
            readouts=readers.readouts(hidden),
            last=logits[ends] if want.last and logits is not None else None,
            hidden=Hidden(rows, hidden[ends]) if want.hidden and rows is not None else None,
            state=None if run.state is None else _by_end(run.state, memory, lowered),
        )

    def _decode(
        self, lowered: Lowered, prompts: Sequence[PromptTensors], memory: State, want: Want
    ) -> tuple[Readers, "_Run"]:
        """One call of the decoder, and who reads what of it."""
        shapes, like = self.slot_shapes(decoder=True), memory.keys[0]
        width = self.model.config.d_model
        lowered, past = lead(lowered, prompts, None, shapes=shapes, width=width, like=like)
        readers = Readers.of(lowered, want, self.spec.device)
        inputs = self._lay_out(lowered.lines, past)
        embeds = insert(self.embed(inputs.ids), lowered.lines, prompts)
        deep = layered(lowered.lines, prompts, inputs, past, shapes=shapes, width=width, like=embeds)
        cache = cache_of(past)
        if deep is not None and deep.written:
            cache = layered_cache(past, deep, len(shapes), keep=want.state)
        with entering(layers_of(self.model.get_decoder()), deep):
            hidden, logits = decode(
                self.model,
                embeds,
                inputs.mask,
                inputs.positions,
                memory=memory,
                cache=cache,
                keep=readers.flat(inputs.ids.shape[1]),
                project=bool(lowered.answers) or want.last,
            )
        if not want.state:
            return readers, _Run(hidden, logits)
        states = tensors_of(cache, device=self.spec.device)
        return readers, _Run(hidden, logits, roll(*states, inputs, None if deep is None else deep.since))

    @torch.no_grad()
    def step(self, state: State, ids: Int[Tensor, "B N"]) -> tuple[Float[Tensor, "B V"], State]:
        assert state.memory is not None, "a decoder reads the encoder's states"
        rows, columns = ids.shape
        device = self.spec.device
        lengths = tuple(length + columns for length in state.lengths)
        self._check_length(max(lengths))
        starts = torch.tensor(state.lengths).to(device)[:, None]
        cache = cache_of(state)
        since = None if state.since is None else torch.nn.functional.pad(state.since, (0, columns))
        with entering(layers_of(self.model.get_decoder()), Layered(since=since)):
            _, logits = decode(
                self.model,
                self.embed(ids),
                torch.arange(state.width + columns, device=device) >= state.width - starts,
                starts + torch.arange(columns, device=device),
                memory=state.memory,
                cache=cache,
                keep=(torch.arange(rows, device=device) + 1) * columns - 1,
                project=True,
            )
        assert logits is not None
        return logits, State(*tensors_of(cache, device=device), lengths, state.memory, since)

    def _memory(
        self, sides: Sides, prompts: Sequence[PromptTensors], state: State | None, *, checkpoint: bool = False
    ) -> State:
        """Cross keys and values of all readings, in their order: from the states of frozen ones, else computed."""
        live = [reading for reading in sides.readings if reading.trunk is None]
        parts: list[State] = []
        if state is not None:
            assert len(state) == len(sides.trunks), "one row of state a trunk"
            parts.append(self._cross(state))
        if live:
            parts.append(self._cross(self._encode(live, prompts, checkpoint=checkpoint)))
        known, fresh = iter(range(len(sides.trunks))), iter(range(len(sides.trunks), len(sides.readings)))
        return State.stack(parts).take([next(known if one.trunk is not None else fresh) for one in sides.readings])

    def _encode(
        self, readings: Sequence[Reading], prompts: Sequence[PromptTensors], *, checkpoint: bool = False
    ) -> State:
        assert readings, "nothing to read: the batch has no frozen text"
        lines = [reading.line for reading in readings]
        inputs = self._lay_out(lines)
        embeds = insert(self.embed(inputs.ids), lines, prompts)
        deep: Layered | None = None
        if enters_layers(prompts):
            width = self.model.config.d_model
            deep = layered(lines, prompts, inputs, None, shapes=self.slot_shapes(), width=width, like=embeds)
        return encode(self.model, embeds, inputs, deep, checkpoint=checkpoint)

    def _cross(self, state: State) -> State:
        return cross_states(self.model, state, self.embed(torch.tensor([[self.frame.opening[0]]])))

    def _lay_out(self, lines: Sequence[Line], past: State | None = None) -> Inputs:
        self._check_length(max(line.length for line in lines))
        return lay_out(lines, past.width if past is not None else 0, self.spec.device)

    def _check_length(self, length: int) -> None:
        if length > self.max_columns:
            raise ModelError(
                "model.too_long",
                f"a row needs {length} tokens on one side, {self.spec.name} takes {self.max_columns}",
                cure="shorten the text or lower max_tokens",
            )


class _Run(NamedTuple):
    """What one call of the decoder gave: states under the readers, their logits, and the states of the lines."""

    hidden: Float[Tensor, "N H"]
    logits: Float[Tensor, "N V"] | None
    state: State | None = None


def _are_keys(prompts: Sequence[PromptTensors], soft: Soft) -> bool:
    """Whether a slot is keys and values."""
    slots = prompts[soft.prompt_index].slots if soft.prompt_index < len(prompts) else {}
    return soft.slot in slots and bool(slots[soft.slot].kv)


def _by_end(state: State, memory: State, lowered: Lowered) -> State:
    """One row of state a branch, beside its last logits; from one row a line."""
    whole = replace(state, memory=memory)
    ends = [(end.line, lowered.lines[end.line].positions[end.at] + 1) for end in lowered.ends]
    if ends == list(enumerate(state.lengths)):
        return whole
    return State.stack([whole.row(line, length) for line, length in ends])
