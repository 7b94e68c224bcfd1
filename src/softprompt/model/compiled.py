"""A prompted model that reads the common beginning of its rows once: demonstrations, or a soft slot before the text.

What stands before the first field of a template is the same for every example, so its states are computed once and
every row goes on from there, scored or written. Knows rows and the model; no templates, no tasks.
"""

from collections.abc import Callable, Iterator, Sequence

from softprompt.core.records import Batch, Row
from softprompt.core.tensors import PromptTensors, State
from softprompt.model.backbones.base import Backbone
from softprompt.model.decoding import Constraint, Decoded, Decoding, Piece, decode
from softprompt.model.prompted import PromptedModel, num_tokens, token_batches

__all__ = ["CompiledModel"]


class CompiledModel(PromptedModel):
    """Scores rows from the states of what stands before their first field.

    >>> from softprompt.core.records import Answer, Node, Text
    >>> from softprompt.testing import tiny
    >>> nodes = Node(Text((5, 6, 7))), Node(Text((8,), "text"), 0), Node(Answer((9, 257)), 1)
    >>> model = CompiledModel(tiny())
    >>> model.pays([Row(nodes)]), model.shared_state(Batch((Row(nodes),) * 2)).lengths
    (True, (3, 3))
    """

    frozen = "field"

    def __init__(self, backbone: Backbone, prompts: Sequence[PromptTensors] = ()) -> None:
        super().__init__(backbone, prompts)
        self._prefixes: dict[tuple[object, ...], State] = {}

    def pays(self, rows: Sequence[Row]) -> bool:
        """Whether at least half of what the first row reads is common to all; only where branches share a line."""
        if not rows or not self.backbone.spec.tree:
            return False
        common = sum(trunk.length for trunk in self.backbone.trunks(Batch((rows[0],)), frozen=self.frozen))
        return 2 * common >= num_tokens(rows[0])

    def shared_state(self, batch: Batch) -> State | None:
        """States of what stands before the first field of every row, each distinct beginning computed once."""
        parts: list[State] = []
        for row in batch:
            trunks = self.backbone.trunks(Batch((row,)), frozen=self.frozen)
            if any(trunk.key not in self._prefixes for trunk in trunks):
                state = self.backbone.read(Batch((row,)), self.prompts, frozen=self.frozen)
                self._prefixes |= {trunk.key: state.row(n) for n, trunk in enumerate(trunks)}
            parts.extend(self._prefixes[trunk.key] for trunk in trunks)
        return State.stack(parts) if parts else None

    def write(
        self,
        rows: Sequence[Row],
        settings: Decoding,
        *,
        within: Sequence[Constraint | None],
        batch_tokens: int = 4096,
        on_token: Callable[[Piece], None] | None = None,
    ) -> Iterator[tuple[int, Decoded]]:
        """Answers to any number of rows, each with the index of its row, batch by batch of similar length.

        Args:
            rows: Chains or trees that end where an answer begins; a row of several branches gets an answer for each.
            settings: How tokens are chosen and when an answer ends.
            within: What may be written, by row.
            batch_tokens: Padded tokens a batch at most.
            on_token: As in :func:`~softprompt.model.decoding.decode`.

        Raises:
            ModelError: As :func:`~softprompt.model.decoding.decode`.
        """
        pays = self.pays(rows)
        for indices in token_batches(rows, batch_tokens):
            batch = Batch(tuple(rows[i] for i in indices))
            prefix = self.shared_state(batch) if pays else None
            allowed = [within[i] for i in indices]
            for one in decode(
                self.backbone, batch.rows, self.prompts, settings, constraint=allowed, prefix=prefix, on_token=on_token
            ):
                yield indices[one.row], one
