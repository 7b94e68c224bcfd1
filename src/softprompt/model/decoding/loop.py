"""The decoding loop: rows go through the model once, then token by token until every answer has ended.

Finished lines leave the batch, beams are rows of the state that are taken several times, and nothing that a row gets
depends on its batch mates. Knows no method of choosing tokens (see ``searches``) and no template.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from softprompt.core.decoding import Decoding
from softprompt.core.records import Row
from softprompt.core.tensors import PromptTensors, State
from softprompt.model.backbones.base import Backbone
from softprompt.model.decoding.constraints import Constraint
from softprompt.model.decoding.endings import Finish, Line, Rules, Teller
from softprompt.model.decoding.prefill import Branch, Prefilled, prefill
from softprompt.model.decoding.sampling import row_random
from softprompt.model.decoding.searches import METHODS, Proposals, Search
from softprompt.model.finite import require_numbers

__all__ = ["Decoded", "Piece", "decode"]


@dataclass(frozen=True, slots=True)
class Decoded:
    """The answer to one branch of a row.

    Attributes:
        row: Index of the row.
        prompt: Prompt index of the branch.
        ids: Its tokens, terminator included where it has one.
        text: Its text, without terminator and stop text.
        logprob: Log-probability of ``ids`` under the model itself: before temperature, filters and constraint.
        finished: Why it ended.
    """

    row: int
    prompt: int
    ids: tuple[int, ...]
    text: str
    logprob: float
    finished: Finish


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of an answer that is being written.

    Attributes:
        index: Index of the answer in the result.
        row: Index of the row.
        prompt: Prompt index of the branch.
        token: The token.
        text: The text that became certain by it, possibly empty; joined, the pieces are the answer's text.
    """

    index: int
    row: int
    prompt: int
    token: int
    text: str


@torch.no_grad()
def decode(
    backbone: Backbone,
    rows: Sequence[Row],
    prompts: Sequence[PromptTensors] = (),
    settings: Decoding | None = None,
    *,
    constraint: Constraint | Sequence[Constraint | None] | None = None,
    prefix: State | None = None,
    on_token: Callable[[Piece], None] | None = None,
) -> list[Decoded]:
    """Write the answers to a batch of rows.

    Args:
        backbone: The frozen model.
        rows: Chains that end where the answer begins; a row with several branches gets an answer for each, and what
            branches (or rows) share at their beginning is read once.
        prompts: By prompt index.
        settings: How tokens are chosen and when an answer ends.
        constraint: What may be written: one for all rows, or one a row.
        prefix: A compiled prompt: what ``backbone.read(Batch((row,)), prompts, frozen="field")`` gave for any of the
            rows, one row of state for all, or one for each of ``backbone.trunks(batch, frozen="field")``.
        on_token: Told each token as it becomes certain, step by step and in the order of the result; with beams only
            when an answer has ended. An exception it raises ends the decoding.

    Returns:
        One answer a branch, in the order of rows and of branches in a row.

    Raises:
        ModelError: ``model.too_long`` for a row that does not fit into the context, ``model.empty_row`` for one without
            a token, ``model.unsupported_prompt``. A context that fills up while writing is no error: see ``finished``.

    >>> from softprompt.core.records import Node, Text
    >>> from softprompt.testing import tiny
    >>> row = Row((Node(Text((72, 105), "text")),))
    >>> answer, = decode(tiny(), [row], settings=Decoding(max_new_tokens=3))
    >>> len(answer.ids), answer.finished
    (3, 'length')
    """
    if not rows:
        return []
    settings = settings or Decoding()
    begun = prefill(backbone, rows, prompts, prefix)
    searches = [
        _search(backbone, branch, settings, _of_row(constraint, branch.row), tokens_read=length)
        for branch, length in zip(begun.branches, begun.state.lengths, strict=True)
    ]
    tell = _told_to(on_token, begun.branches, searches) if on_token else None
    _run(backbone, searches, begun, METHODS[settings.method][1], tell)
    return [_result(branch, search) for branch, search in zip(begun.branches, searches, strict=True)]


def _search(
    backbone: Backbone, branch: Branch, settings: Decoding, constraint: Constraint | None, *, tokens_read: int
) -> Search:
    # The last token of an answer is not fed back, so it needs no place in the context.
    room = backbone.spec.max_positions - tokens_read + 1
    tokenizer = backbone.tokenizer
    rules = Rules.of(settings, terminator=tokenizer.eos_id, room=room, constraint=constraint, decode=tokenizer.decode)
    return METHODS[settings.method][0](rules, settings, row_random(branch.path, settings.seed))


def _of_row(constraint: Constraint | Sequence[Constraint | None] | None, row: int) -> Constraint | None:
    return constraint[row] if isinstance(constraint, Sequence) else constraint


def _run(
    backbone: Backbone,
    searches: Sequence[Search],
    begun: Prefilled,
    propose: Callable[[Float[Tensor, "S V"], Sequence[Search]], Proposals],
    tell: Callable[[], None] | None,
) -> None:
    """Step all searches to their end; the rows of the state are the lines of the searches, in order."""
    parents = [i for i, search in enumerate(searches) if search.lines]
    if not parents:
        return
    logits, state = begun.logits[parents], begun.state.take(parents)
    while True:
        running = [search for search in searches if search.lines]
        lines = [line for search in running for line in search.lines]
        proposals = propose(_permitted(logits, lines, backbone.spec.dtype), running)
        parents, first = [], 0
        for search in running:
            share = slice(first, first + len(search.lines))
            parents.extend(first + parent for parent in search.advance(proposals[share]))
            first = share.stop
        if tell:
            tell()
        if not parents:
            return
        last = [line.ids[-1] for search in running for line in search.lines]
        tokens = torch.tensor(last, dtype=torch.long, device=backbone.spec.device)
        logits, state = backbone.step(state.take(parents), tokens[:, None])


def _permitted(logits: Float[Tensor, "S V"], lines: Sequence[Line], dtype: torch.dtype) -> Float[Tensor, "S V"]:
    """The model's log-probabilities in at least fp32, -inf where a line may not go on.

    Raises:
        ModelError: ``model.not_finite``.
    """
    scores = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
    require_numbers(scores, dtype)
    for row, line in enumerate(lines):
        if line.allowed is not None:
            index = torch.tensor(list(line.allowed), dtype=torch.long, device=scores.device)
            scores[row] = torch.full_like(scores[row], -torch.inf).index_copy(0, index, scores[row, index])
        elif line.banned:
            scores[row, list(line.banned)] = -torch.inf
    return scores


def _told_to(
    on_token: Callable[[Piece], None], branches: Sequence[Branch], searches: Sequence[Search]
) -> Callable[[], None]:
    """A function that passes on what has become certain since its last call."""
    tellers = [Teller(search.rules) for search in searches]

    def tell() -> None:
        for index, (branch, search, teller) in enumerate(zip(branches, searches, tellers, strict=True)):
            for token, text in teller.tell(search.certain, search.outcome[1] if search.outcome else None):
                on_token(Piece(index, branch.row, branch.prompt, token, text))

    return tell


def _result(branch: Branch, search: Search) -> Decoded:
    assert search.outcome is not None, "the search has ended"
    line, finished = search.outcome
    text = search.rules.text(line.ids, finished)
    return Decoded(branch.row, branch.prompt, line.ids, text, line.logprob, finished)
