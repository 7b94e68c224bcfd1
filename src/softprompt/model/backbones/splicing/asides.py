"""Keys and values beside the lines: soft tokens that need no query are taken out of what the model computes.

A query sees such a token where it descends from it, which a tree mask says; so this is for models that take one. What
is read has to be a token that computes something.

Knows lines, no tensors but by their names.
"""

from collections.abc import Sequence

from softprompt.core.errors import ModelError
from softprompt.core.tensors import PromptTensors
from softprompt.model.backbones.splicing.lines import Aside, Line, Lowered, Place
from softprompt.model.backbones.splicing.splice import slot_of

__all__ = ["require_states", "set_aside"]


def require_states(lowered: Lowered, prompts: Sequence[PromptTensors], *, ends: bool) -> None:
    """Refuse to read where there is no state: directly behind keys and values.

    Args:
        lowered: The batch.
        prompts: By prompt index.
        ends: Whether the ends of branches are read too.

    Raises:
        ModelError: ``model.unsupported_prompt``.
    """
    blank = {
        (number, run.at + n): run
        for number, line in enumerate(lowered.lines)
        for run in line.soft
        if slot_of(prompts, run).kv
        for n in range(run.num)
    }
    places: list[tuple[int, int]] = [(line, at) for answer in lowered.answers for line, at, _ in answer.reads]
    places += [(place.line, place.at) for place in (*lowered.readouts, *(lowered.ends if ends else ()))]
    for place in places:
        if (run := blank.get(place)) is not None:
            raise ModelError(
                "model.unsupported_prompt",
                f"an answer is read directly behind slot {run.slot!r} of prompt {run.prompt}, which is keys and "
                "values: it has no state to be read",
                cure="put a word between the soft slot and {answer}",
            )


def set_aside(lowered: Lowered, prompts: Sequence[PromptTensors]) -> Lowered:
    """The same batch with keys and values beside its lines; for models that take a tree mask."""
    moved = [_set_aside(line, prompts) for line in lowered.lines]
    if not any(line.asides for line, _ in moved):
        return lowered
    index = [index for _, index in moved]

    def place(one: Place) -> Place:
        return one._replace(at=index[one.line][one.at])

    return Lowered(
        [line for line, _ in moved],
        lowered.trunks,
        [
            one._replace(reads=tuple(read._replace(at=index[read.line][read.at]) for read in one.reads))
            for one in lowered.answers
        ],
        [place(one) for one in lowered.readouts],
        [place(one) for one in lowered.ends],
    )


def _set_aside(line: Line, prompts: Sequence[PromptTensors]) -> tuple[Line, list[int]]:
    """A line without its keys and values, and for every old token the number of the last one kept up to it."""
    asides = [run for run in line.soft if slot_of(prompts, run).kv]
    if not asides:
        return line, list(range(len(line.ids)))
    gone = {run.at + n for run in asides for n in range(run.num)}
    kept = [at for at in range(len(line.ids)) if at not in gone]
    index: list[int] = []
    for at in range(len(line.ids)):
        index.append((index[-1] if index else -1) + (at not in gone))
    parents: list[int] = []
    for at in kept:
        parent = line.parents[at]
        while parent in gone:
            parent = line.parents[parent]
        parents.append(-1 if parent < 0 else index[parent])
    ends = line.ends()
    made = Line(
        line.row,
        line.trunk,
        line.start,
        [line.ids[at] for at in kept],
        parents,
        [line.positions[at] for at in kept],
        [run._replace(at=index[run.at]) for run in line.soft if run.at not in gone],
        branches=line.branches,
        asides=[
            Aside(
                run, line.positions[run.at], index[run.at + run.num - 1] + 1, index[ends[run.at + run.num - 1] - 1] + 1
            )
            for run in asides
        ],
    )
    return made, index
