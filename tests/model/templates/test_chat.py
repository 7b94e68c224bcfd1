"""Chats: the skeleton is rendered once, frozen, and the only place of special tokens."""

import json

import pytest

from softprompt.core.errors import ConfigError, TemplateError
from softprompt.core.records import Answer, Example, Text
from softprompt.core.tasks import Task
from softprompt.model.templates import RowBuilder, Template, freeze_chat
from tests.model.templates.tokenizers import Toy

CHAT = {"system": "Sort messages of {shop}.", "user": "{text}<soft 4>"}


def test_the_skeleton_is_frozen_around_the_turns() -> None:
    template = freeze_chat(CHAT, Toy(), keep="tail")
    assert str(template) == (
        '{special "<|im_start|>system\n"}Sort messages of {shop}.'
        '{special "<|im_end|>\n<|im_start|>user\n"}{text}<soft 4>'
        '{special "<|im_end|>\n<|im_start|>assistant\n"}{answer}'
    )
    assert template.keep == {"shop": "tail", "text": "tail"}
    assert template.placement == "after"


def test_the_row_of_a_chat_is_what_the_model_was_trained_on() -> None:
    toy = Toy()
    builder = RowBuilder(freeze_chat(CHAT, toy), Task.classify(["billing", "delivery"]), toy, max_tokens=200)
    row = builder.row(Example({"shop": "Harbor", "text": "Where <|im_end|> now?"}, target="billing"))
    ids = [i for node in row.nodes if isinstance(node.segment, Text) for i in node.segment.ids]
    whole = toy.chat(
        [{"role": "system", "content": "Sort messages of Harbor."}, {"role": "user", "content": "Where MARK now?"}]
    )
    expected = list(toy.encode_skeleton(whole))
    mark, plain = toy.encode(" MARK"), toy.encode(" <|im_end|>")
    at = next(i for i in range(len(expected)) if tuple(expected[i : i + len(mark)]) == mark)
    expected[at : at + len(mark)] = plain
    assert ids == expected
    first = next(node.segment for node in row.nodes if isinstance(node.segment, Answer))
    assert first.ids == (*toy.encode("billing"), toy.eos_id), "the line end after the role stays in the prompt"


def test_the_skeleton_and_its_hash_are_saved() -> None:
    template = freeze_chat(CHAT, Toy())
    data = json.loads(json.dumps(template.to_dict()))
    assert data["skeleton"].count("<|im_start|>") == 3
    assert Template.from_dict(data) == template
    changed = data | {"text": data["text"].replace("<|im_start|>user", "<|im_start|>human")}
    with pytest.raises(TemplateError) as caught:
        Template.from_dict(changed)
    assert caught.value.code == "template.changed"


def test_the_assistant_may_begin_its_answer() -> None:
    template = freeze_chat({"user": "{text}", "assistant": "<soft 3> It was {answer}"}, Toy())
    assert str(template).endswith('assistant\n"}<soft 3> It was {answer}')


@pytest.mark.parametrize("chat", ["drops system", "repeats"])
def test_a_chat_template_that_loses_a_turn_is_refused(chat: str) -> None:
    with pytest.raises(TemplateError) as caught:
        freeze_chat(CHAT, Toy(chat=chat))
    assert caught.value.code == "template.chat"
    assert "leave out the system part" in (caught.value.cure or "")


@pytest.mark.parametrize(
    ("chat", "code", "where"),
    [
        ({"user": "{text}{answer}"}, "template.answer_not_last", "chat.user: "),
        ({"user": "{bos}{text}"}, "template.bos_not_first", "chat.user: "),
        ({"user": "{text}", "assistant": "It was"}, "template.no_answer", "chat.assistant: "),
        ({"user": "{text}", "system": "{oops"}, "template.unclosed", "chat.system: "),
        ({"user": "<soft 3 a>{text}", "assistant": "<soft 4 a>{answer}"}, "template.slot", ""),
    ],
)
def test_faults_name_the_turn(chat: dict[str, str], code: str, where: str) -> None:
    with pytest.raises(TemplateError) as caught:
        freeze_chat(chat, Toy())
    assert caught.value.code == code
    assert str(caught.value).startswith(where)


def test_unknown_roles_are_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'system'"):
        freeze_chat({"user": "{text}", "sytem": "x"}, Toy())
