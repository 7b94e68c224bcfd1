"""The grammar: round trips, escapes, and errors that point."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.errors import TemplateError
from softprompt.model.templates.grammar import parse
from softprompt.model.templates.parts import (
    AnswerPlace,
    Bos,
    Decoder,
    Field,
    OptionalPart,
    Part,
    Slot,
    Special,
    Words,
    escape,
    unparse,
)

# texts made of what the grammar cares about find more than random letters do
TEXT = st.text(st.sampled_from('{}<>?"aé \n日'), min_size=1, max_size=12) | st.lists(
    st.sampled_from(
        ["{", "}", "<soft", "<<soft 2>", "<decoder>", "?", "?}", "{?", "soft 3>", "{answer}", " ", "\n", '"', "x"]
    ),
    min_size=1,
).map("".join)
NAME = st.from_regex(r"\A[a-zé][a-z0-9_.\-]{0,5}[a-z]\Z").filter(lambda name: name not in ("bos", "answer", "eos"))
FIELD = NAME.map(Field)
WORDS = TEXT.map(Words)
SLOT = st.builds(
    Slot,
    st.integers(1, 99),
    st.none(),
    st.none() | TEXT,
) | st.builds(Slot, st.just(7), st.from_regex(r"\A[a-z_][a-z0-9_-]{0,5}\Z"), st.just(None) | st.just('say "it"'))


# drawn as plain lists and built in the test: the executed type annotations of a tuple use random numbers
OPTIONAL = st.lists(FIELD | WORDS, min_size=1, max_size=4).filter(
    lambda inner: any(isinstance(p, Field) for p in inner)
)
DRAWN = st.lists(WORDS | FIELD | SLOT | TEXT.map(Special) | OPTIONAL, max_size=6)


def build(drawn: list[Part | list[Part]]) -> tuple[Part, ...]:
    """Parts as a parser gives them: words next to words are one part."""
    result: list[Part] = []
    for item in drawn:
        part = OptionalPart(build(item)) if isinstance(item, list) else item
        if isinstance(part, Words) and result and isinstance(last := result[-1], Words):
            result[-1] = Words(last.text + part.text)
        else:
            result.append(part)
    return tuple(result)


@given(st.booleans(), DRAWN, st.none() | DRAWN)
def test_parts_survive_being_written_and_parsed(
    bos: bool, drawn: list[Part | list[Part]], written: list[Part | list[Part]] | None
) -> None:
    decoder = () if written is None or not drawn else (Decoder(), *build(written))
    parts = (*([Bos()] if bos else []), *build(drawn), *decoder, AnswerPlace())
    assert parse(unparse(parts)) == parts


@given(DRAWN)
def test_canonical_text_is_a_fixed_point(drawn: list[Part | list[Part]]) -> None:
    text = unparse((*build(drawn), AnswerPlace()))
    assert unparse(parse(text)) == text


@given(st.text() | TEXT)
def test_escaped_text_is_only_words(text: str) -> None:
    assert parse(escape(text), answer=False) == ((Words(text),) if text else ())


@given(st.text() | TEXT)
def test_any_text_parses_or_is_refused_in_our_words(text: str) -> None:
    error: TemplateError | None = None
    try:
        parse(text)
    except TemplateError as raised:
        error = raised
    assert error is None or (error.cure and error.message.endswith("^"))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("{{x}}{answer}", (Words("{x}"), AnswerPlace())),
        ("{{{x}}}{answer}", (Words("{"), Field("x"), Words("}"), AnswerPlace())),
        ("<<soft 3>{answer}", (Words("<soft 3>"), AnswerPlace())),
        ("<<<soft 3>{answer}", (Words("<"), Slot(3), AnswerPlace())),
        ("{x}<decoder><soft 3>{answer}", (Field("x"), Decoder(), Slot(3), AnswerPlace())),
        ("{x}<<<decoder>{answer}", (Field("x"), Words("<"), Decoder(), AnswerPlace())),
        ("<<decoder> <decode> <decoder 3>{answer}", (Words("<decoder> <decode> <decoder 3>"), AnswerPlace())),
        ("<software> a <b {answer}", (Words("<software> a <b "), AnswerPlace())),
        ("{? a {x}??}{answer}", (OptionalPart((Words(" a "), Field("x"), Words("?"))), AnswerPlace())),
        ("{?{x}?}}}{answer}", (OptionalPart((Field("x"),)), Words("}"), AnswerPlace())),
        ("{?{x}?}}?}{answer}", (OptionalPart((Field("x"), Words("?}"))), AnswerPlace())),
        ('<soft 5\n tone "a > \'b\' ""c""">{answer}', (Slot(5, "tone", "a > 'b' \"c\""), AnswerPlace())),
        ('{special "<|im_start|>\n{x}"}{answer}', (Special("<|im_start|>\n{x}"), AnswerPlace())),
        ("{special}{answer}", (Field("special"), AnswerPlace())),
        ("{bos}{review text}\n{answer} \n", (Bos(), Field("review text"), Words("\n"), AnswerPlace())),
    ],
)
def test_one_rule_of_escaping(text: str, parts: tuple[Part, ...]) -> None:
    assert parse(text) == parts


@pytest.mark.parametrize(
    ("text", "code", "under", "says"),
    [
        ("It was {text", "unclosed", "{text", "never closed"),
        ("a } b {answer}", "unclosed", "} b", "closes nothing"),
        ("{?{text} {answer}", "unclosed|optional", "{", ""),
        ("{text!r}{answer}", "syntax", "{text!r}", "nothing is evaluated"),
        ("{text.__class__}{answer}{answer}", "answer_not_last", "{answer}", "a second time"),
        ("{__import__('os')}{answer}", "syntax", "{__import__", "names no field"),
        ("{}{answer}", "syntax", "{}", "names no field"),
        ("{text}{eos}{answer}", "syntax", "{eos}", "terminator"),
        ("{text}<soft>{answer}", "slot", "<soft>", "<soft> is no soft slot"),
        ("{text}<soft20>{answer}", "slot", "<soft20>", "<soft20> is no soft slot"),
        ("{text}<soft 20 my topic>{answer}", "slot", "<soft 20 my", "is no soft slot"),
        ("{text}<soft 0>{answer}", "slot", "<soft 0>", "1 to 10000 tokens, got 0"),
        ("{text}<soft 99999999999999999>{answer}", "slot", "<soft 9", "1 to 10000"),
        ("{text}<soft 20 {answer}", "unclosed", "<soft", "never closed"),
        ("<soft 5 a>{text}<soft 6 a>{answer}", "slot", "<soft 6", "has 5 tokens above and 6 here"),
        ('<soft 5 a "x">{text}<soft 5 a "y">{answer}', "slot", '<soft 5 a "y"', "starts from 'x' above"),
        ("{text}{bos}{answer}", "bos_not_first", "{bos}", "at the very start"),
        ("{text} It was {anser}", "no_answer", "", "no {answer}"),
        ("{answer} {text}", "answer_not_last", " {text}", "after {answer}"),
        ("{text}{answer}.", "answer_not_last", ".", "after {answer}"),
        ("{? words ?}{answer}", "optional", "{?", "no field"),
        ("{?{text}<soft 3>?}{answer}", "optional", "<soft 3>", "words and fields only"),
        ("{?{text}{?{b}?}?}{answer}", "optional", "{?{b}", "words and fields only"),
        ("{?{text}{answer}?}", "optional", "{answer}", "words and fields only"),
        ("{text}<decoder> a <decoder>{answer}", "decoder", "<decoder>{answer}", "a second time"),
        ("{bos}<decoder>{text}{answer}", "decoder", "<decoder>", "nothing stands before"),
        ("{?{text}<decoder>?}{answer}", "optional", "<decoder>", "words and fields only"),
        ("", "no_answer", "", "no {answer}"),
    ],
)
def test_errors_point(text: str, code: str, under: str, says: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parse(text)
    assert caught.value.code in {f"template.{each}" for each in code.split("|")}
    assert says in caught.value.message
    assert caught.value.cure
    *_, line, caret = caught.value.message.splitlines()
    assert line[caret.index("^") :].startswith(under)


def test_the_message_of_a_fault_reads_like_this() -> None:
    with pytest.raises(TemplateError) as caught:
        parse("first line\n  日本 {text and more\n{answer}")
    assert str(caught.value) == (
        "a { is never closed\n"
        "  line 2, column 6:\n"
        "      日本 {text and more\n"
        "           ^ [template.unclosed]; close it with } or write {{ for a plain brace"
    )


def test_a_misspelt_answer_is_recognised() -> None:
    with pytest.raises(TemplateError, match=r"did you mean it by \{anwser\}"):
        parse("{text} It was {anwser}")


def test_a_long_line_is_shown_around_the_fault() -> None:
    with pytest.raises(TemplateError) as caught:
        parse("x" * 5000 + "{oops" + "y" * 5000)
    *_, line, caret = caught.value.message.splitlines()
    assert len(line) < 90
    assert re.match(r"\{oops", line[caret.index("^") :])
