"""Answers written token by token: greedy, sampled, by beams, and within a constraint.

Our own loop over :class:`~softprompt.core.tensors.State`, so that compiled prompts, texts that were read once and rows
of different length need no special case. docs/generation.md has the overview.
"""

from softprompt.core.decoding import Decoding
from softprompt.model.decoding.constraints import Choices, Constraint
from softprompt.model.decoding.endings import Finish
from softprompt.model.decoding.loop import Decoded, Piece, decode
from softprompt.model.decoding.objects import ObjectConstraint, constraint_of

__all__ = [
    "Choices",
    "Constraint",
    "Decoded",
    "Decoding",
    "Finish",
    "ObjectConstraint",
    "Piece",
    "constraint_of",
    "decode",
]
