"""Encoder-decoder models of transformers (T5, mT5, BART, ...), driven through their own forward.

An encoder reads a text as a whole, so a soft slot anywhere in it makes all of it live. Slots on the decoder's side
leave the encoder frozen: its output is computed once per text and kept, alone or as the cross keys and values that are
made of it (splice rule 10). Rows are taken apart by :mod:`~softprompt.model.backbones.sides`; lines, splice and readers
are those of causal models.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from softprompt.core.errors import ModelError
from softprompt.core.records import Batch, Node, Row, Soft, Text
from softprompt.core.tensors import PromptTensors, State
from softprompt.core.tokens import Tokenizer
from softprompt.model.backbones.base import Backbone, Hidden, Output, Plan, Spec, Want
from softprompt.model.backbones.calls import checkpointed
from softprompt.model.backbones.encdec import cross_states, decode, encode, encoder_layers
from softprompt.model.backbones.lines import Line, Lowered, Trunk
from softprompt.model.backbones.lowering import Frozen
from softprompt.model.backbones.readers import Readers
from softprompt.model.backbones.sides import Frame, Reading, Sides, split
from softprompt.model.backbones.splice import Inputs, insert, lay_out, roll
from softprompt.model.backbones.spread import at_hand

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
        sides = split(batch, self.frame, frozen=frozen if state is not None else None)
        lowered = sides.lower(tree=self.spec.tree and not want.state)
        readers = Readers.of(lowered, want, self.spec.device)
        with checkpointed(encoder_layers(self.model), enabled=checkpoint):
            memory = self._memory(sides, prompts, state)
        memory = memory.take([sides.memories[line.row] for line in lowered.lines])
        inputs = self._lay_out(lowered.lines)
        project = bool(lowered.answers) or want.last
        hidden, logits, states = decode(
            self.model,
            self._insert(inputs, lowered.lines, prompts),
            inputs.mask,
            inputs.positions,
            memory=memory,
            past=None,
            keep=readers.flat(inputs.ids.shape[1]),
            project=project,
        )
        rows, ends = readers.ends() if want.last or want.hidden else (None, None)
        return Output(
            answers=readers.answers(logits) if logits is not None else {},
            readouts=readers.readouts(hidden),
            last=logits[ends] if want.last and logits is not None else None,
            hidden=Hidden(rows, hidden[ends]) if want.hidden and rows is not None else None,
            state=_by_end(roll(*states, inputs), memory, lowered) if want.state else None,
        )

    @torch.no_grad()
    def step(self, state: State, ids: Int[Tensor, "B N"]) -> tuple[Float[Tensor, "B V"], State]:
        assert state.memory is not None, "a decoder reads the encoder's states"
        rows, columns = ids.shape
        device = self.spec.device
        lengths = tuple(length + columns for length in state.lengths)
        self._check_length(max(lengths))
        starts = torch.tensor(state.lengths).to(device)[:, None]
        _, logits, states = decode(
            self.model,
            self.embed(ids),
            torch.arange(state.width + columns, device=device) >= state.width - starts,
            starts + torch.arange(columns, device=device),
            memory=state.memory,
            past=State(state.keys, state.values, state.lengths),
            keep=(torch.arange(rows, device=device) + 1) * columns - 1,
            project=True,
        )
        assert logits is not None
        return logits, State(tuple(states[0]), tuple(states[1]), lengths, state.memory)

    def _memory(self, sides: Sides, prompts: Sequence[PromptTensors], state: State | None) -> State:
        """Cross keys and values of all readings, in their order: from the states of frozen ones, else computed."""
        live = [reading for reading in sides.readings if reading.trunk is None]
        parts: list[State] = []
        if state is not None:
            assert len(state) == len(sides.trunks), "one row of state a trunk"
            parts.append(self._cross(state))
        if live:
            parts.append(self._cross(self._encode(live, prompts)))
        known, fresh = iter(range(len(sides.trunks))), iter(range(len(sides.trunks), len(sides.readings)))
        return State.stack(parts).take([next(known if one.trunk is not None else fresh) for one in sides.readings])

    def _encode(self, readings: Sequence[Reading], prompts: Sequence[PromptTensors]) -> State:
        assert readings, "nothing to read: the batch has no frozen text"
        lines = [reading.line for reading in readings]
        inputs = self._lay_out(lines)
        return encode(self.model, self._insert(inputs, lines, prompts), inputs)

    def _cross(self, state: State) -> State:
        return cross_states(self.model, state, self.embed(torch.tensor([[self.frame.opening[0]]])))

    def _insert(
        self, inputs: Inputs, lines: Sequence[Line], prompts: Sequence[PromptTensors]
    ) -> Float[Tensor, "S L E"]:
        for run in (run for line in lines for run in line.soft if run.prompt < len(prompts)):
            tensors = prompts[run.prompt].slots.get(run.slot)
            if tensors is not None and (tensors.hidden or tensors.kv):
                came = "keys and values" if tensors.kv else "vectors inserted at a layer"
                raise ModelError(
                    "model.unsupported_prompt",
                    f"slot {run.slot!r} of prompt {run.prompt} holds {came}; an encoder-decoder takes vectors where "
                    "embeddings stand, because its layers share one position bias or read a memory",
                    cure="choose a method over embeddings, such as plain or residual",
                )
        return insert(self.embed(inputs.ids), lines, prompts)

    def _lay_out(self, lines: Sequence[Line]) -> Inputs:
        self._check_length(max(line.length for line in lines))
        return lay_out(lines, 0, self.spec.device)

    def _check_length(self, length: int) -> None:
        if length > self.max_columns:
            raise ModelError(
                "model.too_long",
                f"a row needs {length} tokens on one side, {self.spec.name} takes {self.max_columns}",
                cure="shorten the text or lower max_tokens",
            )


def _by_end(state: State, memory: State, lowered: Lowered) -> State:
    """One row of state a branch, beside its last logits; from one row a line."""
    whole = State(state.keys, state.values, state.lengths, memory)
    ends = [(end.line, lowered.lines[end.line].positions[end.at] + 1) for end in lowered.ends]
    if ends == list(enumerate(state.lengths)):
        return whole
    return State.stack([whole.row(line, length) for line, length in ends])
