"""What `template check` shows."""

import json

import pytest

from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.core.tokens import Tokenizer
from softprompt.model.templates import RowBuilder, Template, show
from tests.model.templates.tokenizers import Toy

TASK = Task.classify({"B": "billing", "D": "delivery"})


def test_a_page_for_people() -> None:
    template = Template.parse('{bos}{text}<soft 20 "the topic of this message is"> It was {answer}')
    view = show(RowBuilder(template, TASK, Toy(), max_tokens=64), Example({"text": "the text was:\nIt "}))
    assert view.lines() == [
        "  tokens  state   part          text, cut into tokens",
        "       1  frozen  bos           <|endoftext|>",
        "       5  frozen  field text    the|·text|·was|:⏎|It",
        '      20  live    soft soft     20 learned vectors, starting from "the topic of this message is"',
        "       2  live    words         ·It|·was",
        "       2  live    answer        ·billing|<|endoftext|>",
        "       2  live    answer        ·delivery|<|endoftext|>",
        "",
        "placement: after. 6 tokens are read once for each example; a training step computes 26 of 32 tokens (81%).",
    ]


def test_numbers_are_those_of_the_row(tokenizer: Tokenizer) -> None:
    builder = RowBuilder(Template.parse("{text}<soft 5> It was {answer}"), TASK, tokenizer, max_tokens=50)
    example = Example({"text": "a text that goes on and on, past the end of every row " * 9})
    view, lengths = show(builder, example), builder.lengths(example)
    assert view.frozen == lengths.frozen
    assert sum(part.num_tokens for part in view.parts) == lengths.prompt
    assert view.cut == lengths.cut
    assert any("text loses" in line for line in view.lines())
    assert json.loads(json.dumps(view.to_dict()))["frozen"] == view.frozen


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<soft 5>{text} It was {answer}", "placement: before. The soft tokens change how the text is read"),
        ("{text} It was {answer}", "placement: none. No soft tokens: a text prompt"),
        ("{text}<soft 5>{note} It was {answer}", "placement: between."),
    ],
)
@pytest.mark.parametrize("task", [TASK, Task.choose(), Task.generate()])
def test_every_task_can_be_shown_without_data(tokenizer: Tokenizer, text: str, says: str, task: Task) -> None:
    lines = show(RowBuilder(Template.parse(text), task, tokenizer, max_tokens=200)).lines()
    assert any(line.startswith(says) for line in lines)
    assert any("stand-in" in line for line in lines)


def test_label_vectors_have_no_answer_tokens(tokenizer: Tokenizer) -> None:
    view = show(
        RowBuilder(Template.parse("{text}<soft 5> It was {answer}"), TASK, tokenizer, max_tokens=200, answers="vectors")
    )
    assert view.answers == ()
