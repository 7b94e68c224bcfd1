"""What every backbone offers, whatever its architecture: the frozen model as softprompt sees it.

A backbone knows rows and prompt tensors. It knows no methods, no templates and no tasks.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softprompt.core.records import Batch, Node, Row, Soft, Text
from softprompt.core.tensors import PromptTensors, SlotTensors, State
from softprompt.core.tokens import Tokenizer
from softprompt.model.backbones.splicing.lines import Trunk
from softprompt.model.backbones.splicing.lowering import Frozen

__all__ = ["AnswerScores", "Backbone", "Hidden", "Kind", "Output", "Plan", "Spec", "Want"]

#: Reads from left to right; reads a text whole and then writes; fills in what is masked.
Kind = Literal["causal", "seq2seq", "masked"]


@dataclass(frozen=True)
class Spec:
    """What is to be known of a model without asking it.

    Attributes:
        name: As the user named it.
        family: Architecture, e.g. ``llama``.
        revision: Resolved hub revision, if from a hub.
        num_parameters: Count of the frozen parameters.
        embed_dim: E, the width of the embedding module's output.
        head_dim: Width of what the output layer gets (H; E where the model projects back).
        vocab_size: V, rows of the output layer.
        kv_shapes: (G, Dk, Dv) by layer of a text's states.
        max_positions: Longest sequence in tokens.
        tree: Whether a tree mask is taken, so that branches share a line.
        dtype: Of the weights.
        device: Where they are.
        fingerprint: Hash over every tensor, independent of the dtype it was loaded in.
        tokenizer_hash: Hash of the tokenizer's whole definition.
        kind: What kind of model it is.
        words: Whether answers in words can be scored; an encoder without a trained mask head has label vectors only.
        wide_shapes: As ``kv_shapes``, of a larger form of the same states that saves work where there is room for it;
            empty where there is none.
        quantised: Scheme of its weights, by the name in ``quantised.SCHEMES``; None for a plain model.
    """

    name: str
    family: str
    revision: str | None
    num_parameters: int
    embed_dim: int
    head_dim: int
    vocab_size: int
    kv_shapes: tuple[tuple[int, int, int], ...]
    max_positions: int
    tree: bool
    dtype: torch.dtype
    device: torch.device
    fingerprint: str
    tokenizer_hash: str
    kind: Kind = "causal"
    words: bool = True
    wide_shapes: tuple[tuple[int, int, int], ...] = ()
    quantised: str | None = None

    @property
    def kv_bytes(self) -> int:
        """Bytes of cached state a token."""
        return sum(g * (dk + dv) for g, dk, dv in self.kv_shapes) * self.dtype.itemsize


@dataclass(frozen=True)
class Want:
    """What a forward shall return beside the scores of answers and the states under readouts."""

    last: bool = False  # logits after the last token of each branch
    hidden: bool = False  # state after the last token of each branch
    state: bool = False  # keys and values of each branch, ready to go on


@dataclass(frozen=True)
class AnswerScores:
    """Log-probabilities of the candidates of one prompt, one entry an answer; a (row, candidate) pair's add up."""

    rows: Int[Tensor, " N"]
    candidates: Int[Tensor, " N"]
    lengths: Int[Tensor, " N"]
    scores: Float[Tensor, " N"]


@dataclass(frozen=True)
class Hidden:
    """States that the output layer would get, by row."""

    rows: Int[Tensor, " N"]
    values: Float[Tensor, "N H"]


@dataclass(frozen=True)
class Output:
    """What a forward computed.

    Attributes:
        answers: Scores by prompt index.
        readouts: States under the heads, by prompt index.
        last: [S, V] logits after the last token of each branch, with ``Want(last=True)``.
        hidden: States after the last token of each branch, with ``Want(hidden=True)``.
        state: Keys and values of each branch, in the order of ``last``, with ``Want(state=True)``.
    """

    answers: Mapping[int, AnswerScores] = field(default_factory=dict)
    readouts: Mapping[int, Hidden] = field(default_factory=dict)
    last: Float[Tensor, "S V"] | None = None
    hidden: Hidden | None = None
    state: State | None = None


@dataclass(frozen=True)
class Plan:
    """What a batch costs, before it is run.

    Attributes:
        lines: Sequences that go through the model.
        live_tokens: Tokens computed in every step.
        frozen_tokens: Tokens whose states are computed once.
        readers: Positions at which logits are needed.
        state_bytes: Size of the cached states.
        live_flops: Floating-point operations of one forward over the live tokens (2 a parameter and token).
        frozen_flops: Operations of reading the frozen tokens once.
    """

    lines: int
    live_tokens: int
    frozen_tokens: int
    readers: int
    state_bytes: int
    live_flops: int
    frozen_flops: int

    @property
    def frozen_share(self) -> float:
        """Share of the tokens that is read once instead of in every step."""
        return self.frozen_tokens / max(1, self.frozen_tokens + self.live_tokens)


class Backbone(ABC):
    """A frozen pretrained language model."""

    spec: Spec
    tokenizer: Tokenizer

    @abstractmethod
    def embed(self, ids: Int[Tensor, "*n"]) -> Float[Tensor, "*n E"]:
        """Output of the embedding module: what soft tokens stand beside (splice rule 7)."""

    @abstractmethod
    def output_vectors(self, ids: Int[Tensor, " n"]) -> tuple[Float[Tensor, "n H"], Float[Tensor, " n"]]:
        """Rows of the output layer and their biases (zeros where it has none): start values of label vectors."""

    def slot_shapes(self, *, decoder: bool = False) -> Sequence[tuple[int, int, int]]:
        """(G, Dk, Dv) of the keys and values that soft tokens may be, by layer.

        Args:
            decoder: Of those on the decoder's side; other models have one side.
        """
        return self.spec.kv_shapes

    @abstractmethod
    def prefill(
        self,
        vectors: Float[Tensor, "P E"],
        *,
        before: Sequence[int] = (),
        layer: int | None = None,
        decoder: bool = False,
    ) -> SlotTensors:
        """What soft tokens that stand at the beginning of a text become in the layers: where deeper ones may start.

        Args:
            vectors: As among the embeddings.
            before: Ids of what stands before them, on their side.
            layer: Vectors that go into this layer; keys and values of all layers if None.
            decoder: Whether they stand on the decoder's side.
        """

    @abstractmethod
    def plan(self, batch: Batch, *, frozen: Frozen | None = "soft") -> Plan:
        """What the batch costs."""

    @abstractmethod
    def trunks(self, batch: Batch, *, frozen: Frozen = "soft") -> Sequence[Trunk]:
        """The frozen beginnings of a batch; the rows of a state handed to :meth:`forward` stand in this order."""

    @abstractmethod
    def read(self, batch: Batch, prompts: Sequence[PromptTensors] = (), *, frozen: Frozen = "soft") -> State:
        """States of the batch's trunks, in the order of :meth:`trunks`; no gradient."""

    def reread(self, texts: Sequence[tuple[int, ...]], *, wide: bool = False) -> State:
        """States of frozen texts by their tokens alone (``Trunk.ids``), a row each; no gradient.

        Args:
            texts: Tokens of each text.
            wide: In the form of ``spec.wide_shapes``.
        """
        assert not wide, "this kind of model has one form of states"
        return self.read(Batch(tuple(Row((Node(Text(ids)), Node(Soft("end", 1), 0))) for ids in texts)))

    @abstractmethod
    def forward(
        self,
        batch: Batch,
        prompts: Sequence[PromptTensors] = (),
        state: State | None = None,
        *,
        want: Want = Want(),
        frozen: Frozen = "soft",
        checkpoint: bool = False,
    ) -> Output:
        """Run the live part.

        Args:
            batch: The rows.
            prompts: By prompt index.
            state: States of the trunks, or None to compute everything.
            want: What to return.
            frozen: What ``state`` covers.
            checkpoint: Recompute layers in the backward pass instead of keeping their activations; has no effect where
                a state is given or wanted.

        Raises:
            ModelError: ``model.too_long``, ``model.unsupported_prompt``.
        """

    @abstractmethod
    def step(self, state: State, ids: Int[Tensor, "B N"]) -> tuple[Float[Tensor, "B V"], State]:
        """Feed N more tokens to every row of a state: logits after the last, and the longer state. No gradient."""
