"""Causal language models of transformers, driven through their own forward.

The model is used as it is: its embeddings, attention, caches, output layer and soft caps. Nothing is patched but one
pre-hook on the output layer, so that logits are computed only where an answer stands, and, when checkpointing is asked for,
the layers' forwards during one call.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute
from transformers import DynamicCache, PreTrainedModel

from softprompt.core.errors import ModelError
from softprompt.core.records import Batch
from softprompt.core.tensors import PromptTensors, State
from softprompt.core.tokens import Tokenizer
from softprompt.model.backbones.base import AnswerScores, Backbone, Hidden, Output, Plan, Spec, Want
from softprompt.model.backbones.families import Family
from softprompt.model.backbones.lowering import Frozen, Lowered, Trunk, lower, trunks
from softprompt.model.backbones.splice import Inputs, insert, lay_out, roll, tree_mask

__all__ = ["CausalBackbone"]


class CausalBackbone(Backbone):
    """A frozen causal language model.

    Args:
        model: In evaluation mode, on its device, in its dtype; its parameters are frozen here.
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
            return self.model.get_input_embeddings()(ids.to(self.spec.device))

    def output_vectors(self, ids: Int[Tensor, " n"]) -> tuple[Float[Tensor, "n H"], Float[Tensor, " n"]]:
        layer = self.model.get_output_embeddings()
        index = ids.to(layer.weight.device)
        weight = layer.weight.detach().index_select(0, index).float()
        bias = getattr(layer, "bias", None)
        return weight, weight.new_zeros(len(ids)) if bias is None else bias.detach()[index].float()

    def plan(self, batch: Batch, *, frozen: Frozen | None = "soft") -> Plan:
        lowered = lower(batch, tree=self.spec.tree, frozen=frozen)
        tokens = sum(trunk.length for trunk in lowered.trunks)
        readers = len(self._readers(lowered)[1])
        embedding = self.spec.vocab_size * self.spec.head_dim
        body = 2 * max(0, self.spec.num_parameters - embedding)
        return Plan(
            lines=len(lowered.lines),
            live_tokens=lowered.num_live,
            frozen_tokens=tokens,
            readers=readers,
            state_bytes=tokens * self.spec.kv_bytes,
            live_flops=body * lowered.num_live + 2 * embedding * readers,
            frozen_flops=body * tokens,
        )

    def trunks(self, batch: Batch, *, frozen: Frozen = "soft") -> list[Trunk]:
        return trunks(batch, frozen=frozen)

    @torch.no_grad()
    def read(self, batch: Batch, prompts: Sequence[PromptTensors] = (), *, frozen: Frozen = "soft") -> State:
        """Trunks are padded on the right here: nothing real ever attends to what follows it, so no mask is needed."""
        lowered = lower([_only(batch.rows[t.row], t) for t in trunks(batch, frozen=frozen)], tree=False, frozen=None)
        found = trunks(batch, frozen=frozen)
        assert found, "nothing to read: the batch has no frozen beginning"
        for line, trunk in zip(lowered.lines, found, strict=True):
            del line.ids[trunk.length :], line.parents[trunk.length :], line.positions[trunk.length :]
            line.soft = [soft for soft in line.soft if soft[0] < trunk.length]
        inputs = lay_out(lowered.lines, None, self.spec.device)
        cache = DynamicCache()
        self._run(lowered, inputs, prompts, cache, keep=torch.zeros(1, dtype=torch.long, device=self.spec.device))
        return roll(*_tensors(cache), inputs, [0] * len(found))

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
        cache = None
        starts = [0] * len(lowered.lines)
        if state is not None:
            assert len(state) == len(lowered.trunks), "one row of state a trunk"
            starts = [line.start for line in lowered.lines]
            state = _by_line(state, lowered)
            cache = DynamicCache(list(zip(state.keys, state.values, strict=True)))
        elif want.state:
            cache = DynamicCache()
        inputs = lay_out(lowered.lines, state, self.spec.device)
        index, where = self._readers(lowered, want)
        columns = inputs.ids.shape[1]
        keep = torch.tensor([line * columns + at for line, at in where] or [0], device=self.spec.device)
        with self._checkpointed(enabled=checkpoint and cache is None):
            hidden, logits = self._run(
                lowered, inputs, prompts, cache, keep=keep, project=self._projects(lowered, want)
            )
        return Output(
            answers=self._answers(lowered, index, logits),
            readouts=self._readouts(lowered, index, hidden),
            last=logits[self._tensor([index[end[1:]] for end in lowered.ends])] if want.last else None,
            hidden=Hidden(
                self._tensor([row for row, _, _ in lowered.ends]),
                hidden[self._tensor([index[end[1:]] for end in lowered.ends])],
            )
            if want.hidden
            else None,
            state=roll(*_tensors(cache), inputs, starts) if want.state and cache is not None else None,
        )

    @torch.no_grad()
    def step(self, state: State, ids: Int[Tensor, "B N"]) -> tuple[Float[Tensor, "B V"], State]:
        rows, columns = ids.shape
        device = self.spec.device
        starts = torch.tensor(state.lengths, device=device)[:, None]
        positions = starts + torch.arange(columns, device=device)
        self._check_length(int(positions.max()) + 1)
        physical = torch.arange(state.width + columns, device=device)
        mask = physical >= state.width - starts
        cache = DynamicCache(list(zip(state.keys, state.values, strict=True)))
        last = (torch.arange(rows, device=device) + 1) * columns - 1
        _, logits = self._call(self.embed(ids), mask, positions, cache, keep=last, project=True)
        keys, values = _tensors(cache)
        return logits, State(keys, values, tuple(length + columns for length in state.lengths))

    # --- readers: which positions need the output layer

    def _readers(
        self,
        lowered: Lowered,
        want: Want = Want(),  # noqa: B008 - immutable
    ) -> tuple[dict[tuple[int, int], int], list[tuple[int, int]]]:
        """Positions (line, token) at which something reads, each once, and their index."""
        index: dict[tuple[int, int], int] = {}
        for _, _, _, reads in lowered.answers:
            for line, at, _ in reads:
                index.setdefault((line, at), len(index))
        for _, _, line, at in lowered.readouts:
            index.setdefault((line, at), len(index))
        if want.last or want.hidden:
            for _, line, at in lowered.ends:
                assert at >= 0, "a branch without live tokens has no last output"
                index.setdefault((line, at), len(index))
        return index, list(index)

    @staticmethod
    def _projects(lowered: Lowered, want: Want) -> bool:
        return bool(lowered.answers) or want.last

    def _answers(
        self, lowered: Lowered, index: dict[tuple[int, int], int], logits: Float[Tensor, "N V"] | None
    ) -> dict[int, AnswerScores]:
        """Log-probability of each candidate: the sum over its tokens, terminator included (law 9)."""
        if not lowered.answers or logits is None:
            return {}
        places = [index[line, at] for _, _, _, reads in lowered.answers for line, at, _ in reads]
        tokens = [token for _, _, _, reads in lowered.answers for _, _, token in reads]
        owners = [n for n, (_, _, _, reads) in enumerate(lowered.answers) for _ in reads]
        rows = self._tensor(places)
        picked = logits.float()
        chosen = picked[rows, self._tensor(tokens)] - picked.logsumexp(-1)[rows]
        totals = chosen.new_zeros(len(lowered.answers)).index_add(0, self._tensor(owners), chosen)
        result = {}
        for prompt in sorted({answer[0] for answer in lowered.answers}):
            mine = [n for n, answer in enumerate(lowered.answers) if answer[0] == prompt]
            result[prompt] = AnswerScores(
                self._tensor([lowered.answers[n][1] for n in mine]),
                self._tensor([lowered.answers[n][2] for n in mine]),
                self._tensor([len(lowered.answers[n][3]) for n in mine]),
                totals[self._tensor(mine)],
            )
        return result

    def _readouts(
        self, lowered: Lowered, index: dict[tuple[int, int], int], hidden: Float[Tensor, "N H"]
    ) -> dict[int, Hidden]:
        result = {}
        for prompt in sorted({readout[0] for readout in lowered.readouts}):
            mine = [readout for readout in lowered.readouts if readout[0] == prompt]
            places = self._tensor([index[line, at] for _, _, line, at in mine])
            result[prompt] = Hidden(self._tensor([row for _, row, _, _ in mine]), hidden[places])
        return result

    # --- the model's own forward

    def _run(
        self,
        lowered: Lowered,
        inputs: Inputs,
        prompts: Sequence[PromptTensors],
        cache: DynamicCache | None,
        *,
        keep: Int[Tensor, " N"],
        project: bool = False,
    ) -> tuple[Float[Tensor, "N H"], Float[Tensor, "N V"] | None]:
        self._check_length(int(inputs.positions.max()) + 1)
        embeds = insert(self.embed(inputs.ids), lowered.lines, prompts)
        mask = self._tree(inputs, embeds.dtype) if inputs.branches else inputs.mask
        return self._call(embeds, mask, inputs.positions, cache, keep=keep, project=project)

    def _tree(self, inputs: Inputs, dtype: torch.dtype) -> Tensor | dict[str, Tensor]:
        """The mask in the form the model's attention takes: boolean for sdpa, additive for eager; by kind of layer."""

        def form(window: int | None) -> Tensor:
            seen = tree_mask(inputs, window=window)
            if self.model.config._attn_implementation != "eager":
                return seen
            return torch.zeros_like(seen, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)

        windows = self.family.windows(self.model.config)
        if isinstance(windows, dict):
            return {kind: form(window) for kind, window in windows.items()}
        return form(windows)

    def _call(
        self,
        embeds: Float[Tensor, "S L E"],
        mask: Tensor | dict[str, Tensor],
        positions: Int[Tensor, "S L"],
        cache: DynamicCache | None,
        *,
        keep: Int[Tensor, " N"],
        project: bool,
    ) -> tuple[Float[Tensor, "N H"], Float[Tensor, "N V"] | None]:
        """One forward; states and logits at the flat positions ``keep`` only."""
        caught: list[Tensor] = []

        def catch(_module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
            kept = args[0].reshape(-1, args[0].shape[-1]).index_select(0, keep.to(args[0].device))
            caught.append(kept)
            # Without a reader of logits one row goes through, because the model insists on its output layer.
            return (kept if project else kept[:1].detach(),)

        arguments: dict[str, Any] = {"inputs_embeds": embeds, "attention_mask": mask, "use_cache": cache is not None}
        if cache is not None:
            arguments["past_key_values"] = cache
        if self.family.takes_positions:
            arguments["position_ids"] = positions
        handle = self.model.get_output_embeddings().register_forward_pre_hook(catch)
        try:
            logits = self.model(**arguments).logits
        finally:
            handle.remove()
        return caught[0], logits.reshape(-1, logits.shape[-1]) if project else None

    @contextmanager
    def _checkpointed(self, *, enabled: bool) -> Iterator[None]:
        """Layers forget their activations and recompute them backwards.

        transformers' own checkpointing does nothing in evaluation mode and drops the cache in training mode.
        """
        if not enabled:
            yield
            return
        layers = self.family.layers(self.model)
        originals = [layer.forward for layer in layers]
        try:
            for layer, original in zip(layers, originals, strict=True):
                layer.forward = partial(recompute, original, use_reentrant=False)
            yield
        finally:
            for layer in layers:
                del layer.forward

    def _check_length(self, length: int) -> None:
        if length > self.spec.max_positions:
            raise ModelError(
                "model.too_long",
                f"a row needs {length} tokens, {self.spec.name} takes {self.spec.max_positions}",
                cure="shorten the text or lower max_tokens",
            )

    def _tensor(self, values: Sequence[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=self.spec.device)


def _only(row: Any, trunk: Trunk) -> Any:
    """The row cut down to one trunk, as a chain."""
    from softprompt.core.records import Node, Row

    nodes = [row.nodes[i] for i in trunk.nodes]
    return Row(tuple(Node(node.segment, i - 1 if i else None) for i, node in enumerate(nodes)))


def _by_line(state: State, lowered: Lowered) -> State:
    """One row of state a line; lines without a trunk get an empty one."""
    order = [line.trunk for line in lowered.lines]
    if all(trunk is not None for trunk in order):
        return state.take([trunk for trunk in order if trunk is not None])
    empty = State(
        tuple(keys.new_zeros(1, keys.shape[1], 0, keys.shape[3]) for keys in state.keys),
        tuple(values.new_zeros(1, values.shape[1], 0, values.shape[3]) for values in state.values),
        (0,),
    )
    return State.stack([empty if trunk is None else state.row(trunk) for trunk in order])


def _tensors(cache: DynamicCache) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    return tuple(layer.keys for layer in cache.layers), tuple(layer.values for layer in cache.layers)
