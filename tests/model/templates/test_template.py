"""Templates: what follows from their parts, presets, settings, and the manifest."""

import json

import pytest

from softprompt.core.errors import ConfigError, TemplateError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.model.templates import RowBuilder, SlotSpec, Template, TemplateSettings
from tests.model.templates.tokenizers import Toy


@pytest.mark.parametrize(
    ("text", "placement"),
    [
        ("<soft 2>{a} it {answer}", "before"),
        ("words <soft 2> {?note {a}?} it {answer}", "before"),
        ("{a} words <soft 2> it <soft 3>{answer}", "after"),
        ("{a}<soft 2>{b}{answer}", "between"),
        ("<soft 2>{a}<soft 2>{answer}", "before"),
        ("{a} it {answer}", "none"),
    ],
)
def test_placement_is_where_the_first_slot_stands(text: str, placement: str) -> None:
    assert Template.parse(text).placement == placement


def test_fields_and_slots_by_name() -> None:
    template = Template.parse(
        "{b}<soft 2>{?{a}?}<soft 3 tone>{b}<soft 2>{bos}{answer}".replace("{bos}", '<soft 3 tone "x">')
    )
    assert template.fields == ("b", "a")
    assert template.required_fields == ("b",)
    assert template.slots == {
        "soft": SlotSpec("soft", 2),
        "tone": SlotSpec("tone", 3, "x"),
        "soft_2": SlotSpec("soft_2", 2),
    }


def test_a_slot_without_a_name_leaves_written_names_alone() -> None:
    template = Template.parse("<soft 1>{a}<soft 2 soft><soft 3>{answer}")
    assert {spec.name: spec.length for spec in template.slots_in_place} == {"soft_2": 1, "soft": 2, "soft_3": 3}


def test_missing_field_names_the_nearest() -> None:
    with pytest.raises(TemplateError, match=r"no field 'text'; did you mean 'texts'\?") as caught:
        Template.parse("{text}{answer}").render({"texts": "a"})
    assert caught.value.code == "template.missing_field"


def test_optional_parts_vanish_with_empty_absent_or_blank_fields() -> None:
    template = Template.parse("{?Note: {note} ({by}).\n?}{text} It was {answer}")
    full = template.render({"note": "fragile", "by": "Ann", "text": "hi"}, answer="x")
    assert full == "Note: fragile (Ann).\nhi It was x"
    for missing in ({"note": "fragile"}, {"note": "", "by": "Ann"}, {"note": " \n", "by": "Ann"}):
        assert template.render({**missing, "text": "hi"}, answer="x") == "hi It was x"


def test_cut_settings_are_checked() -> None:
    with pytest.raises(TemplateError, match=r"truncate names 'txt'.*did you mean 'text'") as caught:
        Template.parse("{text}{answer}", truncate=["txt"])
    assert caught.value.code == "template.unknown_field"
    with pytest.raises(TemplateError, match="keep names 'b'"):
        Template.parse("{text}{answer}", keep={"b": "tail"})


def test_manifest_round_trip_and_digest() -> None:
    template = Template.parse(
        '{bos}{a}\n<soft 5 "it ""is""">{b} {answer}', truncate=["b", "a"], keep={"a": "head+tail"}, strip=False
    )
    again = Template.from_dict(json.loads(json.dumps(template.to_dict())))
    assert again == template
    assert hash(again) == hash(template)
    assert again.digest == template.digest
    others = [
        Template.parse(str(template)),
        Template.parse(str(template), truncate=["a", "b"], keep={"a": "head+tail"}, strip=False),
        Template.parse(str(template), truncate=["b", "a"], keep={"a": "tail"}, strip=False),
    ]
    assert len({template.digest, *(other.digest for other in others)}) == 4


@pytest.mark.parametrize("change", [{"text": None}, {"keep": {"a": "middle"}}, {"truncate": "a"}, {"strip": "yes"}])
def test_a_broken_manifest_is_refused(change: dict[str, object]) -> None:
    data = Template.parse("{a}{answer}").to_dict() | change
    with pytest.raises(TemplateError) as caught:
        Template.from_dict(data)
    assert caught.value.code == "template.invalid"


@pytest.mark.parametrize("kind", ["classify", "choose", "generate"])
@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("fields", [("text",), ("premise", "hypothesis")])
def test_presets_are_whole_templates(kind: str, place: str, fields: tuple[str, ...]) -> None:
    template = Template.preset(kind, place=place, fields=fields, length=7, start_text='the "topic"')
    assert template.placement == place
    assert template.fields == fields
    assert template.slots == {"soft": SlotSpec("soft", 7, 'the "topic"')}
    assert str(template).startswith("{bos}")


def test_presets_without_slots_are_text_prompts() -> None:
    assert str(Template.preset("classify", length=0)) == "{bos}{text} It was {answer}"
    assert Template.preset("choose").without_slots() == Template.preset("choose", length=0)


def test_unknown_presets_and_reserved_fields() -> None:
    with pytest.raises(ConfigError, match="did you mean 'classify'"):
        Template.preset("clasify")
    with pytest.raises(TemplateError, match="cannot be called 'answer'"):
        Template.preset("generate", fields=("question", "answer"))


def test_settings_take_text_preset_or_chat() -> None:
    settings = TemplateSettings.parse({"place": "before", "length": 4, "truncate": ["b"], "keep": "tail"})
    template = settings.build("choose", fields=["a", "b"])
    assert str(template) == "{bos}<soft 4>a: {a}\nb: {b}\nAnswer: {answer}"
    assert (template.truncate, template.keep) == (("b",), {"a": "tail", "b": "tail"})
    chat = TemplateSettings.parse({"chat": {"user": "{text}<soft 3>"}})
    assert chat.build("classify", tokenizer=Toy()).skeleton
    with pytest.raises(TemplateError, match="name the model"):
        chat.build("classify")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"text": "{a}{answer}", "chat": {"user": "{a}"}}, "exclude each other"),
        ({"text": "{a}{answer}", "place": "before"}, "only for a preset"),
        ({"txt": "{a}{answer}"}, "did you mean 'text'"),
        ({"chat": {"usr": "{a}"}}, "did you mean 'user'"),
        ({"keep": {"a": "middle"}}, "head"),
    ],
)
def test_settings_refuse(data: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        TemplateSettings.parse(data)


def test_a_nested_field_name_is_a_name_and_no_access() -> None:
    template = Template.parse("{text.__class__} {answer}")
    builder = RowBuilder(template, Task.classify(["a", "b"]), Toy(), max_tokens=40)
    row = builder.row(Example({"text.__class__": "hi"}))
    assert Toy().decode(row.trunk_ids(0)) == "hi"
