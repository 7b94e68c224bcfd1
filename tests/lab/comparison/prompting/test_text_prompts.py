"""Text prompts: the words that the model gets to read, which examples are shown, and how draws are averaged."""

from collections import Counter

import numpy as np
import pytest

from softprompt.core.records import Example, Text
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison import FewShot, ZeroShot
from softprompt.lab.comparison.prompting.text_prompts import draw_demonstrations, with_demonstrations
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


def drawn(train=TRAIN, *, room, shots=4, seed=0, task=TASK):
    return draw_demonstrations(
        train, task, TEMPLATE.without_slots(), tiny().tokenizer, shots=shots, room=room, seed=seed
    )


def cost(example, task=TASK):
    return len(f"{example.fields['text']} It was {task.labels[example.target].say}\n\n")


@pytest.mark.parametrize("room", [0, 30, 60, 100, 200, 250, 10_000])
@pytest.mark.parametrize("seed", [0, 1])
def test_labels_stay_balanced_within_the_room(room, seed):
    chosen = drawn(room=room, seed=seed)
    assert sum(map(cost, chosen)) <= room
    counts = Counter(example.target for example in chosen)
    if len(chosen) > 3:
        assert len(set(counts.values())) == 1
    assert max(counts.values(), default=0) <= 4
    assert len({example.id for example in chosen}) == len(chosen)
    if room == 10_000:
        assert len(chosen) == 12
    if room == 100:
        assert set(counts.values()) == {1}


def test_an_example_that_is_too_long_gives_way_to_a_shorter_one():
    long = tuple(Example({"text": "long " * 80}, target=row.target, id=f"l{row.id}") for row in TRAIN)
    chosen = drawn(Dataset(long + TRAIN.rows[:3]), room=120)
    assert {example.id for example in chosen} == {"0", "1", "2"}


def test_labels_are_not_always_shown_in_the_same_order():
    orders = {tuple(example.target for example in drawn(room=10_000, shots=1, seed=seed)) for seed in range(8)}
    assert len(orders) > 2


def test_without_labels_examples_are_drawn_from_one_pile():
    task = Task.generate()
    rows = Dataset(tuple(Example({"text": "x"}, target=f"answer {n}", id=str(n)) for n in range(9)))
    assert len(drawn(rows, room=10_000, shots=4, task=task)) == 4


def test_long_rows_leave_room_for_the_question():
    backbone = tiny()  # 256 positions, a token is a letter
    fitted = FewShot(backbone, TEMPLATE, shots=20, draws=1).fit(TRAIN, None, TASK)
    builder = fitted.asks[0].builder
    assert int(fitted.note.split()[0]) >= 3
    assert not builder.cut(Example({"text": "t" * 40}))
    assert builder.cut(Example({"text": "t" * 400}))
    assert [one.cut > 0 for one in fitted.predict([Example({"text": "t" * 400})])] == [True]


def test_what_is_shown_is_plain_text():
    example = Example({"text": "use {braces} <soft 3> and {? this ?} <eos>"}, target="B")
    template = with_demonstrations(TEMPLATE.without_slots(), [example], TASK)
    assert template.fields == ("text",)
    assert not template.slots
    assert template.render({"text": "Now."}, answer="x") == (
        "use {braces} <soft 3> and {? this ?} <eos> It was billing\n\nNow. It was x"
    )


def test_optional_parts_and_chat_skeletons_are_repeated():
    template = Template.parse('{bos}{special "<u>"}{text}{? ({where})?}{special "<a>"}{answer}', keep="tail")
    shown = [
        Example({"text": "one", "where": "shop"}, target="B"),
        Example({"text": "two", "where": ""}, target="D"),
    ]
    found = with_demonstrations(template, shown, TASK)
    assert found.render({"text": "three"}) == "<u>one (shop)<a>billing\n\n<u>two<a>delivery\n\n<u>three<a>"
    assert found.skeleton == "<u><a>" * 3
    assert found.keep == template.keep


def test_written_answers_take_one_draw():
    backbone = tiny()
    task = Task.generate(max_new_tokens=3)
    rows = Dataset(tuple(Example({"text": f"x{n}"}, target=f"y{n}") for n in range(9)))
    fitted = FewShot(backbone, TEMPLATE, shots=2).fit(rows, None, task)
    assert len(fitted.asks) == 1
    assert [one.probabilities for one in fitted.predict(TEST)] == [None, None]
