"""Conversations in a model's own chat format: what is written is what its chat template writes, and it is frozen."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.errors import ConfigError, SoftpromptError, TemplateError
from softprompt.core.records import Example, Text
from softprompt.core.tasks import Task
from softprompt.core.turns import SPEAKERS, as_text
from softprompt.model.backbones.tokenizer import TextTokenizer
from softprompt.model.templates import RowBuilder, Template, TemplateSettings
from softprompt.testing import tiny_tokenizer
from tests.model.templates.tokenizers import Toy

#: Chat templates as models have them: every role a frame; one that opens with the beginning of sequence and refuses a
#: system part and turns out of order; one whose first user's turn holds the system's words.
CHATML = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content | trim }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
STRICT = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "<turn>{{ m.role }}\n{{ m.content | trim }}</turn>\n{% endfor %}<turn>assistant{{ '\n' }}"
)
NESTED = (
    "{% for m in messages %}"
    "{% if m.role == 'system' %}<s>[INST] <<SYS>>\n{{ m.content }}\n<</SYS>>\n\n"
    "{% elif m.role == 'user' %}"
    "{% if loop.first or messages[loop.index0 - 1].role != 'system' %}<s>[INST] {% endif %}{{ m.content }} [/INST]"
    "{% else %} {{ m.content }} </s>{% endif %}{% endfor %}"
)
NUMBERED = "{% for m in messages %}{{ loop.index }}. {{ m.content }}\n{% endfor %}"


def tokenizer(chat: str | None) -> TextTokenizer:
    source = tiny_tokenizer()
    source.chat_template = chat
    return TextTokenizer(source)


def built(chat: str | None, **settings: Any) -> Template:
    return TemplateSettings.parse(settings).build("dialogue", tokenizer=tokenizer(chat))


def read(template: Template, text: str, chat: str, *, max_tokens: int = 400) -> str:
    """What stands before the answer, soft tokens left out."""
    known = tokenizer(chat)
    row = RowBuilder(template, Task.dialogue(max_new_tokens=4), known, max_tokens=max_tokens).row(
        Example({"text": text}), target=False
    )
    ids = [i for node in row.nodes if isinstance(node.segment, Text) for i in node.segment.ids]
    return "".join(known.piece(i) for i in ids)


MESSAGES = st.text(st.sampled_from("ab <|>\n\"'"), min_size=1, max_size=6).map(str.strip).filter(bool)


@pytest.mark.parametrize("chat", [CHATML, STRICT, NESTED], ids=["frames", "strict", "nested"])
@pytest.mark.parametrize("place", ["before", "after"])
@given(
    said=st.lists(MESSAGES, min_size=1, max_size=7).filter(lambda said: len(said) % 2 == 1), system=st.none() | MESSAGES
)
def test_what_is_written_is_what_the_chat_template_writes(
    chat: str, place: str, said: list[str], system: str | None
) -> None:
    turns = [(("User", "Assistant")[n % 2], text) for n, text in enumerate(said)]
    if system is not None and chat != STRICT:
        turns.insert(0, ("System", system))
    messages = [{"role": SPEAKERS[name], "content": text} for name, text in turns]
    wanted = tokenizer(chat).chat(messages)
    found = read(built(chat, place=place, length=4), as_text(turns), chat)
    assert found == wanted.rstrip(" "), "blanks at the end belong to the answer"


def test_soft_tokens_stand_behind_the_beginning_of_sequence_and_the_text() -> None:
    assert str(built(STRICT, place="before")) == ('{bos}<soft 20>{text}{special "</turn>\n<turn>assistant\n"}{answer}')
    assert str(built(STRICT, length=5)) == '{bos}{text}<soft 5>{special "</turn>\n<turn>assistant\n"}{answer}'
    assert str(built(CHATML, length=0)) == '{text}{special "<|end|>\n<|assistant|>\n"}{answer}'


def test_without_a_chat_template_turns_are_lines() -> None:
    assert str(built(None)) == "{bos}{text}<soft 20>\nAssistant: {answer}"
    assert str(built(CHATML, turns="lines")) == "{bos}{text}<soft 20>\nAssistant: {answer}"
    assert built(CHATML, turns="lines").turns is None


@pytest.mark.parametrize(
    ("chat", "text", "said"),
    [
        (STRICT, "System: Be kind.\nUser: Hi", "takes no turn of the system, the conversation has one"),
        (STRICT, "User: Hi\nUser: You there?", "takes no turn of the user after one of the user"),
        (STRICT, "Assistant: Welcome.\nUser: Hi", "takes no turn of the assistant at the beginning"),
        (NESTED, "User: Hi\nAssistant: One moment.", "has no answer to a turn of the assistant"),
    ],
)
def test_turns_that_the_chat_template_refuses_are_one_line(chat: str, text: str, said: str) -> None:
    builder = RowBuilder(built(chat), Task.dialogue(max_new_tokens=4), tokenizer(chat), max_tokens=200)
    with pytest.raises(TemplateError, match=said) as caught:
        builder.row(Example({"text": text}, source="chats.jsonl:3"))
    assert caught.value.code == "template.chat"
    assert str(caught.value).startswith("chats.jsonl:3: ")
    assert "template.turns: lines" in (caught.value.cure or "")


@pytest.mark.parametrize(
    ("chat", "settings", "code"),
    [
        (NUMBERED, {}, "template.chat"),
        ("{% for m in messages %}{{ m.content | tojson }}{% endfor %}", {}, "template.chat"),
        ("{{ raise_exception('never') }}", {}, "model.chat_template"),
        (None, {"turns": "chat"}, "model.no_chat_template"),
    ],
    ids=["numbers turns", "quotes messages", "refuses all", "has none"],
)
def test_chat_templates_that_cannot_be_used_are_refused(chat: str | None, settings: Any, code: str) -> None:
    with pytest.raises(SoftpromptError) as caught:
        built(chat, **settings)
    assert caught.value.code == code
    assert "template.turns: lines" in (caught.value.cure or "")


def test_turns_are_for_the_preset_of_conversations() -> None:
    with pytest.raises(ConfigError, match="only for a preset"):
        TemplateSettings.parse({"text": "{text} {answer}", "turns": "chat"})
    with pytest.raises(ConfigError, match="is for conversations in one field"):
        TemplateSettings.parse({"turns": "chat"}).build("classify", tokenizer=tokenizer(CHATML))


def test_a_chat_of_ones_own_around_a_conversation_is_refused_with_what_to_do() -> None:
    settings = TemplateSettings.parse({"chat": {"user": "{text}<soft 3>"}})
    with pytest.raises(TemplateError, match="all turns of a conversation as lines into one turn") as caught:
        settings.build("dialogue", tokenizer=tokenizer(CHATML))
    assert caught.value.code == "template.chat"
    assert "leave template.chat out" in str(caught.value)
    assert settings.build("generate", tokenizer=tokenizer(CHATML)).fields == ("text",)


def test_the_turns_are_saved_with_their_hash() -> None:
    template = built(CHATML)
    data = json.loads(json.dumps(template.to_dict()))
    assert Template.from_dict(data) == template
    assert template.digest != replace(template, turns=None).digest
    data["turns"]["joints"][""]["user"] = "<|human|>"
    with pytest.raises(TemplateError) as caught:
        Template.from_dict(data)
    assert caught.value.code == "template.changed"
    for broken in ([], {"joints": {}}, {"joints": {"": {"user": 1}}, "last": []}, {"joints": {"": "x"}, "last": []}):
        with pytest.raises(TemplateError, match="'turns' of a saved template"):
            Template.from_dict({**data, "turns": broken})


def test_the_oldest_turns_go_first_and_never_leave_a_turn_without_a_place() -> None:
    long = "\n".join(f"User: q{n}\nAssistant: a{n}" for n in range(30)) + "\nUser: last"
    template = built(STRICT)
    for most in range(80, 140):
        found = read(template, long, STRICT, max_tokens=most)
        assert found.startswith(("<bos><turn>user\nq", "<bos><turn>user\nlast")), most
        assert found.endswith("last</turn>\n<turn>assistant\n")
    words = "word " * 200
    assert read(template, f"User: {words}end", STRICT, max_tokens=100).endswith("word end</turn>\n<turn>assistant\n")


def test_a_message_closes_no_turn() -> None:
    toy = Toy()
    template = TemplateSettings.parse({}).build("dialogue", tokenizer=toy)
    builder = RowBuilder(template, Task.dialogue(max_new_tokens=4), toy, max_tokens=200)
    row = builder.row(Example({"text": "User: Hi <|im_end|>\n User: me too"}), target=False)
    ids = [i for node in row.nodes if isinstance(node.segment, Text) for i in node.segment.ids]
    assert ids.count(toy.encode_skeleton("<|im_end|>")[0]) == 1
