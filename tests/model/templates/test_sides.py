"""Templates of two sides: what the encoder reads, what the decoder gets, and models that have no such sides."""

import pytest

from softprompt.core.errors import TemplateError
from softprompt.core.records import Answer, Example, Readout, Soft, Text
from softprompt.core.tasks import Task
from softprompt.model.templates import RowBuilder, Template, TemplateSettings, show
from softprompt.model.templates.presets import CUES
from tests.model.templates.tokenizers import Toy

TASK = Task.classify({"B": "billing", "D": "delivery"})


class Blank(Toy):
    """As the tokenizers of T5: a text begins with a blank."""

    first_blank = " "


def builder(text: str, *, blank: bool = False, max_tokens: int = 64) -> RowBuilder:
    return RowBuilder(Template.parse(text), TASK, Blank() if blank else Toy(), max_tokens=max_tokens)


def test_nodes_say_their_side_and_answers_stay_below_the_decoder() -> None:
    row = builder("{bos}{text} It was <decoder><soft 3> It{answer}").row(Example({"text": "the text"}))
    kinds = [(type(node.segment), node.side) for node in row.nodes]
    assert kinds[:5] == [(Text, "encoder")] * 3 + [(Soft, "decoder"), (Text, "decoder")]
    assert {kind for kind, _ in kinds[5:]} == {Answer}
    assert [node.parent for node in row.nodes] == [None, 0, 1, 2, 3, 4, 4]


def test_no_blank_crosses_to_the_decoder_and_each_side_begins_as_the_tokenizer_writes() -> None:
    example = Example({"text": "the text"})
    assert builder("{text} It was <decoder>{answer}").lead(example) == ""
    written = builder("{text} It was <decoder>{answer}", blank=True)
    assert written.lead(example) == " "
    tokens = [written.tokenizer.decode(ids) for _, ids in written.reading(example).pieces]
    assert tokens == [" the text", " It was", ""]
    plain = builder("{text} It was {answer}", blank=True)
    assert plain.tokenizer.decode(plain.reading(example).pieces[0][1]) == "the text"  # one side: as ever


@pytest.mark.parametrize(
    ("text", "placement", "frozen"),
    [
        ("{text} It was<decoder><soft 3>{answer}", "after", 4),
        ("{text}<soft 3> It was<decoder>{answer}", "before", 0),
        ("<soft 3>{text}<decoder><soft 2>{answer}", "before", 0),
        ("{text}<decoder> It<soft 3>{answer}", "after", 2),
        ("{text} It was<decoder>{answer}", "none", 4),
    ],
)
def test_a_slot_anywhere_on_the_encoders_side_makes_all_of_it_live(text: str, placement: str, frozen: int) -> None:
    example = Example({"text": "the text"})
    made = builder(text)
    assert made.template.placement == placement
    assert made.lengths(example).frozen == show(made, example).frozen == frozen


def test_the_page_shows_where_the_decoder_begins() -> None:
    lines = show(builder("{text}<decoder><soft 3>{answer}"), Example({"text": "the text"})).lines()
    assert lines[1].split() == ["2", "frozen", "field", "text", "the|·text"]
    assert lines[2] == "       0  live    decoder       here the model begins to write"
    assert lines[-1].startswith("placement: after. 2 tokens are read once")


@pytest.mark.parametrize("kind", CUES)
@pytest.mark.parametrize("place", ["before", "after"])
def test_presets_put_all_text_on_the_encoders_side(kind: str, place: str) -> None:
    template = TemplateSettings.parse({"place": place, "length": 5}).build(kind, model="seq2seq")
    assert template.placement == place
    assert Template.from_dict(template.to_dict()) == template
    told = str(template).partition("<decoder>")
    assert "{text}" in told[0]
    assert told[2] == ("{answer}" if place == "before" else "<soft 5>{answer}")


def test_an_unmarked_template_keeps_its_placement_and_a_marked_one_needs_a_decoder() -> None:
    settings = TemplateSettings.parse("{text}<soft 5> It was {answer}")
    assert str(settings.build("classify", model="seq2seq")) == "{text} It was <decoder><soft 5>{answer}"
    for written in ("<soft 5>{text}<soft 3> It was {answer}", "{a}<soft 5>{b} It was {answer}", "{text} It {answer}"):
        made = TemplateSettings.parse(written).build("classify", model="seq2seq")
        assert str(made) == written.replace("{answer}", "<decoder>{answer}")
    assert str(settings.build("classify", model="causal")) == "{text}<soft 5> It was {answer}"
    marked = TemplateSettings.parse("{text}<decoder><soft 5>{answer}")
    assert marked.build("classify").sided
    for kind in ("causal", "masked"):
        with pytest.raises(TemplateError, match=f"a {kind} model has no such side") as caught:
            marked.build("classify", model=kind)
        assert caught.value.code == "template.decoder"
        assert "remove <decoder>" in str(caught.value.cure)


def test_as_text_the_sides_are_words_in_a_row() -> None:
    template = Template.parse("{text} It was<decoder><soft 3>{answer}")
    assert template.render({"text": "the text"}, answer="billing") == "the text It was billing"
    assert str(template.without_slots()) == "{text} It was<decoder>{answer}"


def test_label_vectors_read_the_decoder() -> None:
    made = RowBuilder(Template.parse("{text}<decoder>{answer}"), TASK, Toy(), max_tokens=64, answers="vectors")
    row = made.row(Example({"text": "It was"}))
    assert [type(node.segment) for node in row.nodes] == [Text, Readout]


def test_a_chat_has_no_decoder() -> None:
    settings = TemplateSettings.parse({"chat": {"user": "{text}<decoder>"}})
    with pytest.raises(TemplateError, match="stands in a part of a chat") as caught:
        settings.build("classify", tokenizer=Toy())
    assert caught.value.code == "template.decoder"
