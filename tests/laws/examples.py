"""One batch that holds everything that has gone wrong before, for checks that need a fixed one."""

from softprompt.core.records import Answer, Node, Readout, Row, Soft, Text
from tests.laws.strategies import EOS

__all__ = ["EMPTY_TEXT", "MIXED", "TEXTS", "ask", "text_of"]


def text_of(length: int, *, start: int = 0) -> tuple[int, ...]:
    """Token ids that do not repeat."""
    return tuple((start + 37 * n) % 256 for n in range(length))


def ask(*before: Node, prompt: int = 0, head: bool = True) -> Row:
    """The chain ``before`` with three candidates below, one of which begins another and one the terminator alone."""
    last = len(before) - 1
    answers = [(5, 6, 7, EOS), (5, 6, EOS), (EOS,)]
    below = [Node(Answer(ids, number, prompt), last) for number, ids in enumerate(answers)]
    return Row((*before, *below, *([Node(Readout(prompt), last)] if head else [])))


#: After a long text; before a text; between; no slot at all, and short; bos alone; two roots; branches below branches.
MIXED = [
    ask(Node(Text(text_of(15), "text")), Node(Soft("a", 3, 0), 0), Node(Text((40, 41)), 1)),
    ask(Node(Soft("a", 2, 1)), Node(Text(text_of(9, start=3), "text"), 0), Node(Text((42,)), 1), prompt=1),
    ask(Node(Text((60, 61))), Node(Soft("b", 1, 2), 0), Node(Text(text_of(11, start=5), "text"), 1), prompt=2),
    ask(Node(Text(text_of(4, start=9), "text"))),
    ask(Node(Text((EOS - 1,))), prompt=1),
    Row((*ask(Node(Text((70, 71, 72)))).nodes, Node(Soft("b", 4, 1)), Node(Answer((9, EOS), 3, 1), 5))),
    Row(
        (
            Node(Text(text_of(12, start=11), "text")),
            Node(Soft("a", 3, 0), 0),
            Node(Answer((5, 6, EOS), 0, 0), 1),
            Node(Text((80, 81)), 1),
            Node(Answer((5, 6, EOS), 1, 0), 3),
            Node(Soft("a", 2, 1), 0),
            Node(Text(()), 5),
            Node(Readout(1), 6),
            Node(Text((82, 83, 84)), 0),
        )
    ),
]

#: Nothing but the beginning and soft tokens: what an empty text leaves.
EMPTY_TEXT = ask(Node(Text((EOS - 1,))), Node(Text((), "text"), 0), Node(Soft("a", 3, 0), 1))

#: To be continued: the sliding windows (6 and 7) are crossed while reading, or only later, while decoding.
TEXTS = [text_of(13), text_of(1, start=50), text_of(4, start=9)]
