"""Masked language models and bare encoders of transformers, driven through their own forward.

Rows become lines with masks (:mod:`~softprompt.model.backbones.splicing.cloze`), texts before soft tokens are read
once and observed (:mod:`~softprompt.model.backbones.observers`), and so are keys and values that lines begin with
(:mod:`~softprompt.model.backbones.splicing.leading`). The mask head works where something is read. An encoder without
a trained mask head has label vectors only.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.core.errors import ModelError
from softprompt.core.records import Batch
from softprompt.core.tensors import PromptTensors, SlotTensors, State
from softprompt.core.tokens import Tokenizer
from softprompt.model.backbones.attention import fast_attention
from softprompt.model.backbones.base import Backbone, Hidden, Output, Plan, Spec, Want
from softprompt.model.backbones.encoders import encoder_of, mask_head_of
from softprompt.model.backbones.observers import View, observing
from softprompt.model.backbones.readers import Readers
from softprompt.model.backbones.splicing.asides import require_states
from softprompt.model.backbones.splicing.cloze import Marks, cannot_write, cloze, cloze_trunks, no_mask_head
from softprompt.model.backbones.splicing.leading import lead
from softprompt.model.backbones.splicing.lines import Line, SoftRun, Trunk
from softprompt.model.backbones.splicing.lowering import Frozen
from softprompt.model.backbones.splicing.slots import Layered, enters_layers, layered
from softprompt.model.backbones.splicing.splice import by_line, insert, lay_out, roll
from softprompt.model.backbones.weights.spread import at_hand

__all__ = ["ROOM", "MaskedBackbone", "encode"]

#: Positions that rows leave free: what closes the text and the line, and the mask where label vectors read.
ROOM = 3


class MaskedBackbone(Backbone):
    """A frozen encoder.

    Args:
        model: A ``...ForMaskedLM`` or a bare encoder, on its device, in its dtype; it is frozen and set to evaluation
            mode here.
        tokenizer: The model's.
        spec: What is known of it.
        mask: Id of the mask token; None for a model without a trained mask head.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: Tokenizer, *, spec: Spec, mask: int | None) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.spec = spec
        self.marks = Marks(tokenizer.eos_id, mask)

    def embed(self, ids: Int[Tensor, "*n"]) -> Float[Tensor, "*n E"]:
        with torch.no_grad():
            vectors: Tensor = self.model.get_input_embeddings()(ids.to(self.spec.device))
        return vectors

    def output_vectors(self, ids: Int[Tensor, " n"]) -> tuple[Float[Tensor, "n H"], Float[Tensor, " n"]]:
        """Without a mask head zeros: label vectors then start without a preference."""
        layer: Any = mask_head_of(self.model)
        if layer is None:
            nothing = torch.zeros(len(ids), self.spec.head_dim + 1, device=self.spec.device)
            return nothing[:, :-1], nothing[:, -1]
        with at_hand(layer):
            index = ids.to(layer.weight.device)
            return layer.weight.detach().index_select(0, index).float(), layer.bias.detach()[index].float()

    @torch.no_grad()
    def prefill(
        self,
        vectors: Float[Tensor, "P E"],
        *,
        before: Sequence[int] = (),
        layer: int | None = None,
        decoder: bool = False,
    ) -> SlotTensors:
        """They are read as a text, both ways, and closed."""
        first, length = len(before), len(vectors)
        line = Line(0, None, 0)
        line.extend((*before, *[0] * length, self.marks.close), -1)
        line.soft.append(SoftRun(first, 0, "start", 0, length, length))
        view = self._view([line], None, keep=True)
        embeds = insert(self.embed(view.inputs.ids), [line], [PromptTensors({"start": SlotTensors(embed=vectors)})])
        encode(self.model, embeds, view)
        own = slice(first, first + length)
        if layer is not None:
            return SlotTensors(hidden={layer: view.entered[layer][0, own].float()})
        pairs = zip(view.keys, view.values, strict=True)
        return SlotTensors(kv={n: (k[0, :, own].float(), v[0, :, own].float()) for n, (k, v) in enumerate(pairs)})

    def plan(self, batch: Batch, *, frozen: Frozen | None = "soft") -> Plan:
        lowered = cloze(batch, self.marks)
        text = sum(trunk.length for trunk in lowered.trunks)
        live = lowered.num_live + (text if frozen is None else 0)
        kept = text if frozen == "soft" else 0
        readers = len(Readers.of(lowered, Want(), self.spec.device).index)
        output = self.spec.vocab_size * self.spec.head_dim if self.marks.mask is not None else 0
        body = 2 * max(0, self.spec.num_parameters - output)
        return Plan(
            lines=len(lowered.lines),
            live_tokens=live,
            frozen_tokens=kept,
            readers=readers,
            state_bytes=kept * self.spec.kv_bytes,
            live_flops=body * live + 2 * output * readers,
            frozen_flops=body * kept,
        )

    def trunks(self, batch: Batch, *, frozen: Frozen = "soft") -> list[Trunk]:
        """Nothing is the same for every request before the first field: what stands there sees the field."""
        return cloze_trunks(batch, self.marks) if frozen == "soft" else []

    @torch.no_grad()
    def read(self, batch: Batch, prompts: Sequence[PromptTensors] = (), *, frozen: Frozen = "soft") -> State:
        return self.reread([trunk.ids for trunk in self.trunks(batch, frozen=frozen)])

    @torch.no_grad()
    def reread(self, texts: Sequence[tuple[int, ...]], *, wide: bool = False) -> State:
        assert texts, "nothing to read: the batch has no frozen beginning"
        assert not wide, "encoders have one form of states"
        lines = [Line(number, None, 0) for number in range(len(texts))]
        for line, ids in zip(lines, texts, strict=True):
            line.extend(ids, -1)
        view = self._view(lines, None, keep=True)
        encode(self.model, self.embed(view.inputs.ids), view)
        return roll(view.keys, view.values, view.inputs)

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
        if want.state:
            raise cannot_write(self.spec.name)
        if want.last and self.marks.mask is None:
            raise no_mask_head(self.spec.name)
        lowered = cloze(batch, self.marks, ends=want.last or want.hidden)
        if not lowered.lines:
            return Output()
        if lowered.trunks:
            state = self.reread([trunk.ids for trunk in lowered.trunks]) if state is None else state
            assert len(state) == len(lowered.trunks), "one row of state a trunk"
        past = by_line(state, lowered.lines) if lowered.trunks and state is not None else None
        shapes, width = self.spec.kv_shapes, self.model.config.hidden_size
        if enters_layers(prompts):
            require_states(lowered, prompts, ends=want.last or want.hidden)
            lowered, past = lead(
                lowered, prompts, past, shapes=shapes, width=width, like=self.embed(torch.zeros(1, dtype=torch.long))
            )
        readers = Readers.of(lowered, want, self.spec.device)
        view = self._view(lowered.lines, past)
        embeds = insert(self.embed(view.inputs.ids), lowered.lines, prompts)
        deep = layered(lowered.lines, prompts, view.inputs, past, shapes=shapes, width=width, like=embeds)
        view = replace(view, layered=deep or Layered())
        project = bool(lowered.answers) or want.last
        keep = readers.flat(view.inputs.ids.shape[1])
        hidden, logits = encode(self.model, embeds, view, keep=keep, project=project, checkpoint=checkpoint)
        rows, ends = readers.ends() if want.last or want.hidden else (None, None)
        return Output(
            answers=readers.answers(logits) if logits is not None else {},
            readouts=readers.readouts(hidden),
            last=logits[ends] if want.last and logits is not None else None,
            hidden=Hidden(rows, hidden[ends]) if want.hidden and rows is not None else None,
        )

    def step(self, state: State, ids: Int[Tensor, "B N"]) -> tuple[Float[Tensor, "B V"], State]:
        raise cannot_write(self.spec.name)

    def _view(self, lines: Sequence[Line], past: State | None, *, keep: bool = False) -> View:
        length, longest = max(line.length for line in lines), self.spec.max_positions + ROOM
        if length > longest:
            raise ModelError(
                "model.too_long",
                f"a row needs {length} tokens, {self.spec.name} takes {longest}",
                cure="shorten the text or lower max_tokens",
            )
        return View(lay_out(lines, past.width if past is not None else 0, self.spec.device), past, keep)


def encode(
    model: PreTrainedModel,
    embeds: Float[Tensor, "S L E"],
    view: View,
    *,
    keep: Int[Tensor, " N"] | None = None,
    project: bool = False,
    checkpoint: bool = False,
) -> tuple[Float[Tensor, "N H"], Float[Tensor, "N V"] | None]:
    """One forward.

    Args:
        model: A ``...ForMaskedLM`` or a bare encoder.
        embeds: Input embeddings.
        view: What the tokens see; states are collected here.
        keep: Flat indices into S * L; the first token alone if None.
        project: Whether logits are wanted.
        checkpoint: As in :func:`observing`.

    Returns:
        What the output layer gets at ``keep`` (of a bare encoder its last states), and its logits.
    """
    head = mask_head_of(model)
    index = torch.zeros(1, dtype=torch.long, device=embeds.device) if keep is None else keep
    caught: list[Tensor] = []

    def pick(_body: nn.Module, _args: object, out: Any) -> Any:
        states = out.last_hidden_state.flatten(0, 1).index_select(0, index)
        out.last_hidden_state = states[None]
        return out

    def catch(_layer: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        caught.append(args[0][0])
        # Without a reader of logits one row goes through, because the model insists on its output layer.
        return (args[0] if project else args[0][:, :1].detach(),)

    offset = encoder_of(model.config).offset(model.config)
    handles = [model.base_model.register_forward_hook(pick)]
    handles += [] if head is None else [head.register_forward_pre_hook(catch)]
    try:
        with fast_attention(embeds), observing(model, view, checkpoint=checkpoint):
            out = model(inputs_embeds=embeds, position_ids=view.inputs.positions + offset)
    finally:
        for handle in handles:
            handle.remove()
    if head is None:
        return out.last_hidden_state[0], None
    return caught[0], out.logits[0] if project else None
