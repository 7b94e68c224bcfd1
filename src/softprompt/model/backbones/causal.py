"""Causal language models of transformers, driven through their own forward.

Rows are lowered to lines, lines to tensors, prompts are spliced in, one call of the model computes what is live, and
readers make scores of it. Each step is a module of its own; this one joins them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from softprompt.core.errors import ModelError
from softprompt.core.records import Batch, Node, Row, Soft, Text
from softprompt.core.tensors import PromptTensors, SlotTensors, State
from softprompt.core.tokens import Tokenizer
from softprompt.model.backbones.base import Backbone, Hidden, Output, Plan, Spec, Want
from softprompt.model.backbones.calls import cache_of, call, checkpointed, layers_of, mask_for, tensors_of
from softprompt.model.backbones.entering import entering, going_into, layered_cache
from softprompt.model.backbones.families import Family
from softprompt.model.backbones.readers import Readers
from softprompt.model.backbones.splicing.asides import require_states, set_aside
from softprompt.model.backbones.splicing.lines import Line, Lowered, Trunk
from softprompt.model.backbones.splicing.lowering import Frozen, chain, lower, trunks
from softprompt.model.backbones.splicing.slots import Layered, enters_layers, layered
from softprompt.model.backbones.splicing.splice import Inputs, by_line, insert, lay_out, roll
from softprompt.model.backbones.weights.spread import at_hand

__all__ = ["CausalBackbone"]


class CausalBackbone(Backbone):
    """A frozen causal language model.

    Args:
        model: On its device, in its dtype; it is frozen and set to evaluation mode here.
        tokenizer: The model's.
        spec: What is known of it.
        family: What has to be known of its architecture.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: Tokenizer, *, spec: Spec, family: Family) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.spec = spec
        self.family = family

    def embed(self, ids: Int[Tensor, "*n"]) -> Float[Tensor, "*n E"]:
        with torch.no_grad():
            vectors: Tensor = self.model.get_input_embeddings()(ids.to(self.spec.device))
        return vectors

    def output_vectors(self, ids: Int[Tensor, " n"]) -> tuple[Float[Tensor, "n H"], Float[Tensor, " n"]]:
        with at_hand(self.model.get_output_embeddings()) as layer:
            index = ids.to(layer.weight.device)
            weight = layer.weight.detach().index_select(0, index).float().to(self.spec.device)
            bias = getattr(layer, "bias", None)
            return weight, weight.new_zeros(len(ids)) if bias is None else bias.detach()[index].float().to(weight)

    def prefill(
        self,
        vectors: Float[Tensor, "P E"],
        *,
        before: Sequence[int] = (),
        layer: int | None = None,
        decoder: bool = False,
    ) -> SlotTensors:
        row = Row((Node(Text(tuple(before))), Node(Soft("start", len(vectors)), 0), Node(Text((0,), "end"), 1)))
        prompt = PromptTensors({"start": SlotTensors(embed=vectors)})
        first = len(before)
        with going_into(layers_of(self.model)[layer or 0]) as gone:
            state = self.read(Batch((row,)), [prompt], frozen="field")
        if layer is not None:
            return SlotTensors(hidden={layer: gone[0][0, first:].float()})
        pairs = zip(state.keys, state.values, strict=True)
        return SlotTensors(kv={n: (k[0, :, first:].float(), v[0, :, first:].float()) for n, (k, v) in enumerate(pairs)})

    def plan(self, batch: Batch, *, frozen: Frozen | None = "soft") -> Plan:
        lowered = lower(batch, tree=self.spec.tree, frozen=frozen)
        tokens = sum(trunk.length for trunk in lowered.trunks)
        readers = len(Readers.of(lowered, Want(), self.spec.device).index)
        output = self.spec.vocab_size * self.spec.head_dim
        body = 2 * max(0, self.spec.num_parameters - output)
        return Plan(
            lines=len(lowered.lines),
            live_tokens=lowered.num_live,
            frozen_tokens=tokens,
            readers=readers,
            state_bytes=tokens * self.spec.kv_bytes,
            live_flops=body * lowered.num_live + 2 * output * readers,
            frozen_flops=body * tokens,
        )

    def trunks(self, batch: Batch, *, frozen: Frozen = "soft") -> list[Trunk]:
        return trunks(batch, frozen=frozen)

    @torch.no_grad()
    def read(self, batch: Batch, prompts: Sequence[PromptTensors] = (), *, frozen: Frozen = "soft") -> State:
        lines = [chain(batch.rows[trunk.row], trunk) for trunk in trunks(batch, frozen=frozen)]
        assert lines, "nothing to read: the batch has no frozen beginning"
        nobody = Readers.of(self._placed(Lowered(lines), prompts, Want()), Want(), self.spec.device)
        run = self._compute(nobody, prompts, None, project=False, keep=True)
        assert run.state is not None
        return run.state

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
        lowered = lower(batch, tree=self.spec.tree and not want.state, frozen=frozen if state is not None else None)
        lowered = self._placed(lowered, prompts, want)
        readers = Readers.of(lowered, want, self.spec.device)
        if state is not None:
            assert len(state) == len(lowered.trunks), "one row of state a trunk"
            state = by_line(state, lowered.lines)
        project = bool(lowered.answers) or want.last
        with checkpointed(layers_of(self.model), enabled=checkpoint and state is None and not want.state):
            run = self._compute(readers, prompts, state, project=project, keep=want.state)
        hidden, logits = run.hidden, run.logits
        rows, ends = readers.ends() if want.last or want.hidden else (None, None)
        return Output(
            answers=readers.answers(logits) if logits is not None else {},
            readouts=readers.readouts(hidden),
            last=logits[ends] if want.last and logits is not None else None,
            hidden=Hidden(rows, hidden[ends]) if want.hidden and rows is not None else None,
            state=_by_end(run.state, lowered) if run.state is not None else None,
        )

    @torch.no_grad()
    def step(self, state: State, ids: Int[Tensor, "B N"]) -> tuple[Float[Tensor, "B V"], State]:
        rows, columns = ids.shape
        device = self.spec.device
        lengths = tuple(length + columns for length in state.lengths)
        self._check_length(max(lengths))
        starts = torch.tensor(state.lengths).to(device)[:, None]
        cache = cache_of(state)
        since = None if state.since is None else torch.nn.functional.pad(state.since, (0, columns))
        with entering(layers_of(self.model), Layered(since=since)):
            _, logits = call(
                self.model,
                self.embed(ids),
                torch.arange(state.width + columns, device=device) >= state.width - starts,
                starts + torch.arange(columns, device=device),
                takes_positions=self.family.takes_positions,
                cache=cache,
                keep=(torch.arange(rows, device=device) + 1) * columns - 1,
                project=True,
            )
        assert logits is not None
        return logits, State(*tensors_of(cache, device=self.spec.device), lengths, since=since)

    def _lay_out(self, lines: Sequence[Line], state_width: int) -> Inputs:
        self._check_length(max(line.length for line in lines))
        return lay_out(lines, state_width, self.spec.device)

    def _placed(self, lowered: Lowered, prompts: Sequence[PromptTensors], want: Want) -> Lowered:
        """The batch with keys and values where they stand; as it is for prompts of vectors among the embeddings."""
        if not enters_layers(prompts):
            return lowered
        require_states(lowered, prompts, ends=want.last or want.hidden or want.state)
        return set_aside(lowered, prompts) if self.spec.tree else lowered

    def _compute(
        self, readers: Readers, prompts: Sequence[PromptTensors], state: State | None, *, project: bool, keep: bool
    ) -> "_Run":
        """One call of the model.

        Args:
            readers: The batch, and what is read of it.
            prompts: By prompt index.
            state: By line.
            project: Whether logits are wanted.
            keep: Whether the states of the lines are.
        """
        lines = readers.lowered.lines
        inputs = self._lay_out(lines, state.width if state is not None else 0)
        embeds = insert(self.embed(inputs.ids), lines, prompts)
        shapes, width = self.spec.kv_shapes, self.model.config.get_text_config(decoder=True).hidden_size
        deep = layered(lines, prompts, inputs, state, shapes=shapes, width=width, like=embeds)
        cache: DynamicCache | None = None
        if deep is not None and (deep.beside or deep.written):
            cache = layered_cache(state, deep, len(shapes), keep=keep)
        elif state is not None or keep:
            cache = cache_of(state)
        with entering(layers_of(self.model), deep):
            hidden, logits = call(
                self.model,
                embeds,
                mask_for(inputs, self.family, self.model.config, embeds.dtype),
                inputs.positions,
                takes_positions=self.family.takes_positions,
                cache=cache,
                keep=readers.flat(inputs.ids.shape[1]),
                project=project,
            )
        if not keep or cache is None:
            return _Run(hidden, logits)
        return _Run(
            hidden,
            logits,
            roll(*tensors_of(cache, device=self.spec.device), inputs, None if deep is None else deep.since),
        )

    def _check_length(self, length: int) -> None:
        if length > self.spec.max_positions:
            raise ModelError(
                "model.too_long",
                f"a row needs {length} tokens, {self.spec.name} takes {self.spec.max_positions}",
                cure="shorten the text or lower max_tokens",
            )


class _Run(NamedTuple):
    """What one call gave: states under the readers, their logits, and the states of the lines."""

    hidden: Float[Tensor, "N H"]
    logits: Float[Tensor, "N V"] | None
    state: State | None = None


def _by_end(state: State, lowered: Lowered) -> State:
    """One row of state a branch, beside its last logits; from one row a line."""
    ends = [(end.line, lowered.lines[end.line].positions[end.at] + 1) for end in lowered.ends]
    if ends == list(enumerate(state.lengths)):
        return state
    return State.stack([state.row(line, length) for line, length in ends])
