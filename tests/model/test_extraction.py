"""Objects asked of a model: predicted as data, judged by field, within the words of the task."""

import json
from functools import lru_cache

import pytest

from softprompt.core.errors import ConfigError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.lab.evaluation import Evaluation, evaluate_asks
from softprompt.model.backbones.base import Backbone
from softprompt.model.prediction import Ask, Predictor
from softprompt.model.templates import RowBuilder, Template, TemplateSettings
from softprompt.testing import tiny

TASK = Task.extract({"who": {"type": "string", "maxLength": 3}, "n": "integer"}, max_new_tokens=30)
ROWS = [Example({"text": f"Ada has {n}."}, target={"who": "Ada", "n": n}, id=str(n)) for n in range(2)]


@lru_cache
def model() -> Backbone:
    return tiny()


def ask(task: Task) -> Ask:
    template = Template.preset("extract", length=0)
    return Ask(RowBuilder(template, task, model().tokenizer, max_tokens=200))


def test_predictions_are_objects_of_the_schema_and_their_scores_survive_json() -> None:
    predictor = Predictor(model(), [ask(TASK)])
    said = [row[0] for row in predictor.predict(ROWS)]
    assert TASK.answer_schema is not None
    for one in said:
        assert one.answer == TASK.answer_schema.read(json.dumps(one.to_dict()["answer"]))
    (found,) = evaluate_asks(predictor, ROWS)
    assert list(found.metrics) == ["field_f1", "field_precision", "field_recall", "whole_object"]
    assert [row.label for row in found.classes] == ["who", "n"]
    again = Evaluation.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again == found
    assert again.score("field_f1").interval.estimate == found.headline.estimate


def test_answers_too_short_for_an_object_are_refused_before_anything_is_written() -> None:
    short = Task.extract({"n": "integer"}, max_new_tokens=5)
    with pytest.raises(ConfigError, match="the shortest object"):
        list(Predictor(model(), [ask(short)]).predict(ROWS))


def test_several_kinds_of_objects_are_asked_side_by_side() -> None:
    other = Task.extract({"ok": "boolean"}, max_new_tokens=30)
    (row,) = Predictor(model(), [ask(TASK), ask(other), ask(TASK)]).predict(ROWS[:1])
    assert row[0].answer == row[2].answer
    assert set(row[1].answer) == {"ok"}


def test_definitions_of_labels_become_words_of_the_template() -> None:
    task = Task.classify({"B1": {"say": "billing", "means": "about {invoices}"}, "D2": "delivery"})
    settings = TemplateSettings.parse({"text": "{task.labels}\n{text}<soft 3> It was {answer}", "keep": "tail"})
    assert settings.fields("classify") == ("text",)
    template = settings.build("classify", words=task.words)
    assert template.fields == ("text",)
    assert template.render({"text": "hi"}, answer="x") == "- billing: about {invoices}\n- delivery\nhi It was x"
    assert Template.from_dict(template.to_dict()) == template


def test_the_oldest_turns_of_a_long_conversation_go_first_and_the_row_says_so() -> None:
    turns = ["System: Be kind.", *(f"{who}: word {n}" for n in range(9) for who in ("User", "Assistant")), "User: now?"]
    template = TemplateSettings().build("dialogue")
    builder = RowBuilder(template, Task.dialogue(max_new_tokens=8), model().tokenizer, max_tokens=120)
    example = Example({"text": "\n".join(turns)})
    kept = next(text for text in (piece.text for piece, _ in builder.reading(example).pieces if hasattr(piece, "text")))
    lines = kept.split("\n")
    assert lines[0] == turns[0]
    assert lines[1:] == turns[-len(lines) + 1 :]
    assert builder.split(example).fit.ends == ("oldest turns",)


def test_of_a_last_turn_that_is_too_long_the_end_stays() -> None:
    builder = RowBuilder(
        TemplateSettings().build("dialogue"), Task.dialogue(max_new_tokens=8), model().tokenizer, max_tokens=80
    )
    example = Example({"text": "User: old\nAssistant: yes\nUser: " + "word " * 50 + "end"})
    (text,) = [piece.text for piece, _ in builder.reading(example).pieces if getattr(piece, "field", None)]
    assert text.startswith("User: word")
    assert text.endswith("end")
