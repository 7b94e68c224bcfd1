"""Text prompts: the words that the model gets to read, and how draws of demonstrations are averaged."""

import numpy as np
import pytest

from softprompt.core.records import Example, Text
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison import FewShot, ZeroShot
from softprompt.model.prediction import Predictor
from softprompt.model.templates import Template
from softprompt.testing import tiny

TASK = Task.classify({"B": "billing", "D": "delivery", "R": "returns"})
TEMPLATE = Template.parse("{bos}{text}<soft 5> It was {answer}")
TRAIN = Dataset(
    tuple(Example({"text": f"Text {n}."}, target="BDR"[n % 3], id=str(n)) for n in range(30)), classes=TASK.names
)
TEST = [Example({"text": text}, target="B", id=text) for text in ("Where is it?", "Why two?")]


def read_by_the_model(backbone, fitted, example):
    """The text before the answers, as ids say it."""
    texts = []
    for ask in fitted.asks:
        row = ask.builder.row(example, target=False)
        ids = [token for node in row.nodes if isinstance(node.segment, Text) for token in node.segment.ids]
        texts.append(backbone.tokenizer.decode(ids))
    return texts


def test_zero_shot_is_the_template_without_its_slots():
    backbone = tiny()
    fitted = ZeroShot(backbone, TEMPLATE).fit(TRAIN, None, TASK)
    assert read_by_the_model(backbone, fitted, TEST[0]) == ["Where is it? It was"]
    assert fitted.asks[0].calibrated
    assert (fitted.num_trained, fitted.num_bytes) == (0, 0)
    assert [one.id for one in fitted.predict(TEST)] == ["Where is it?", "Why two?"]


def test_few_shot_reads_answered_examples_first():
    backbone = tiny()
    fitted = FewShot(backbone, TEMPLATE, shots=1, draws=1).fit(TRAIN, None, TASK)
    (text,) = read_by_the_model(backbone, fitted, TEST[0])
    *shown, asked = text.split("\n\n")
    assert asked == "Where is it? It was"
    answers = {row.fields["text"]: TASK.labels[row.target].say for row in TRAIN}
    assert len(shown) == 3
    for one in shown:
        example, said = one.split(" It was ")
        assert answers[example] == said
    assert fitted.note == "3 demonstrations"


def test_draws_differ_follow_the_seed_and_are_averaged():
    backbone = tiny()
    contender = FewShot(backbone, TEMPLATE, shots=1, draws=2)
    fitted = contender.fit(TRAIN, None, TASK, seed=4)
    texts = read_by_the_model(backbone, fitted, TEST[0])
    assert texts == read_by_the_model(backbone, contender.fit(TRAIN, None, TASK, seed=4), TEST[0])
    assert len({*texts, *read_by_the_model(backbone, contender.fit(TRAIN, None, TASK, seed=5), TEST[0])}) == 4
    one, two = (
        np.array([list(row[0].probabilities.values()) for row in Predictor(backbone, [ask]).predict(TEST)])
        for ask in fitted.asks
    )
    found = fitted.predict(TEST)
    assert np.array([list(row.probabilities.values()) for row in found]) == pytest.approx((one + two) / 2, abs=1e-5)
    assert [row.text for row in found] == [TASK.names[i] for i in ((one + two) / 2).argmax(1)]
    assert fitted.note == "3 demonstrations, 2 draws averaged"


def test_long_rows_leave_room_for_the_question():
    backbone = tiny()  # 256 positions, a token is a letter
    fitted = FewShot(backbone, TEMPLATE, shots=20, draws=1).fit(TRAIN, None, TASK)
    builder = fitted.asks[0].builder
    assert int(fitted.note.split()[0]) >= 3
    assert not builder.cut(Example({"text": "t" * 40}))
    assert builder.cut(Example({"text": "t" * 400}))
    assert [one.cut > 0 for one in fitted.predict([Example({"text": "t" * 400})])] == [True]


def test_written_answers_take_one_draw():
    backbone = tiny()
    task = Task.generate(max_new_tokens=3)
    rows = Dataset(tuple(Example({"text": f"x{n}"}, target=f"y{n}") for n in range(9)))
    fitted = FewShot(backbone, TEMPLATE, shots=2).fit(rows, None, task)
    assert len(fitted.asks) == 1
    assert [one.probabilities for one in fitted.predict(TEST)] == [None, None]
