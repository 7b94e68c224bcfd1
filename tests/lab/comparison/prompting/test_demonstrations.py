"""Demonstrations: which rows are shown within the room there is, and how they are written."""

from collections import Counter

import pytest

from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison.prompting.demonstrations import draw_demonstrations, with_demonstrations
from softprompt.model.templates import Template
from softprompt.testing import tiny

TASK = Task.classify({"B": "billing", "D": "delivery", "R": "returns"})
TEMPLATE = Template.parse("{bos}{text}<soft 5> It was {answer}")
TRAIN = Dataset(
    tuple(Example({"text": f"Text {n}."}, target="BDR"[n % 3], id=str(n)) for n in range(30)), classes=TASK.names
)


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
