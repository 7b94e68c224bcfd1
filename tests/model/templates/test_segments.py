"""Where blanks go when a row is split into segments."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.model.templates.grammar import parse
from softprompt.model.templates.segments import TextPiece, assemble, name_slots, resolve

BLANKS = st.text(st.sampled_from(" \n\tx日\u00a0"), max_size=6)


def split(text: str, **fields: str) -> tuple[list[str], str]:
    """Segments of a row as texts, a slot as its name in angle brackets, and the answer's blank."""
    parts = resolve(parse(text), fields)
    pieces, lead = assemble(parts, fields, name_slots(parts))
    return [piece.text if isinstance(piece, TextPiece) else f"<{piece.name}>" for piece in pieces], lead


@pytest.mark.parametrize(
    ("text", "segments", "lead"),
    [
        ("{a} It was {answer}", ["hi", " It was"], " "),
        ("{a} {answer}", ["hi"], " "),
        ("{a}<soft 1> {answer}", ["hi", "<soft>"], " "),
        ("say: {a}<soft 1>It was {answer}", ["say:", " hi", "<soft>", "It was"], " "),
        ("{a} <soft 1> It was{answer}", ["hi", "<soft>", " It was"], ""),
        ("{a} <soft 1>It was{answer}", ["hi", "<soft>", " It was"], ""),
        ("{a}\n<soft 1>\nIt:\n{answer}", ["hi", "\n", "<soft>", "\nIt:\n"], ""),
        ("{a}: \t{e}{answer}", ["hi", ":"], " \t"),
        ("{a}:\n  {a}{answer}", ["hi", ":\n", "  hi"], ""),
        ("  {a}{answer}", ["  hi"], ""),
        ("{e}{answer}", [], ""),
    ],
)
def test_blanks_move_to_the_next_text_and_line_ends_stay(text: str, segments: list[str], lead: str) -> None:
    assert split(text, a="hi", e="") == (segments, lead)


@given(BLANKS, BLANKS, BLANKS)
def test_nothing_but_doubled_blanks_is_lost(a: str, b: str, c: str) -> None:
    segments, lead = split("{a}<soft 1>{b}{c}{answer}", a=a, b=b, c=c)
    texts = [segment for segment in segments if segment != "<soft>"]
    joined = "".join(texts) + lead
    assert "".join(joined.split()) == "".join((a + b + c).split())
    assert len(joined) <= len(a + b + c)
    assert joined.count("\n") == (a + b + c).count("\n")
    for segment in texts:
        assert segment[-1] in "\n" or not segment[-1].isspace()
