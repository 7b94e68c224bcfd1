"""Few-shot by similarity: the nearest rows, in order, within the room, calibrated by themselves."""

import pytest

from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison.prompting.similar import Nearest, SimilarShots
from softprompt.model.templates import Template
from softprompt.testing import tiny

TASK = Task.classify(["no", "yes"])
TEXTS = ("late parcel", "parcel lost", "wrong bill", "bill too high", "parcel late again", "who sent this bill")
TRAIN = Dataset(tuple(Example({"text": text}, "no" if "parcel" in text else "yes", id=text) for text in TEXTS))
TEMPLATE = Template.parse("{bos}{text}<soft 3> is {answer}")


def shots(**changes):
    return SimilarShots(tiny(), TEMPLATE, shots=1, max_tokens=200, **changes)


def test_nearest_first_and_ties_in_order():
    near = Nearest(TRAIN, fields=("text",))
    assert near([Example({"text": "my bill is wrong"})], count=2) == [[2, 5]] or near(
        [Example({"text": "my bill is wrong"})], count=1
    ) == [[2]]
    assert Nearest(Dataset((Example({"text": " "}, "no"),)), fields=("text",))([Example({"text": "a"})], count=3) == [
        [0]
    ]


def test_what_is_shown_is_near_the_nearest_last_and_fits():
    fitted = shots(orders=1).fit(TRAIN, None, TASK)
    asked = Example({"text": "is my parcel late"})
    (rows,) = fitted._chosen([asked])
    assert len(rows) == 2
    shown = fitted._asked(asked, fitted._ordered(rows, 0, asked)).fields["demonstrations"]
    assert shown.endswith(f"{TEXTS[rows[0]]} is no\n\n")
    small = SimilarShots(tiny(), TEMPLATE, shots=3, max_tokens=60).fit(TRAIN, None, TASK)
    assert 1 <= len(small._chosen([asked])[0]) < 6
    assert small.num_tokens(asked) <= 60 * small.orders


def test_probabilities_and_the_same_in_any_company():
    fitted = shots(orders=2).fit(TRAIN, None, TASK, seed=3)
    asked = [Example({"text": text}, id=text) for text in ("a late parcel", "a bill")]
    both = fitted.predict(asked)
    for one, example in zip(both, asked, strict=True):
        assert sum(one.probabilities.values()) == pytest.approx(1)
        (alone,) = fitted.predict([example])
        assert list(alone.probabilities.values()) == pytest.approx(list(one.probabilities.values()), abs=1e-5)
    assert fitted.predict([]) == []


def test_calibration_divides_by_the_same_demonstrations_without_content():
    asked = [Example({"text": "a late parcel"})]
    plain = shots(orders=1, calibrate=False).fit(TRAIN, None, TASK).predict(asked)[0]
    divided = shots(orders=1).fit(TRAIN, None, TASK).predict(asked)[0]
    assert list(plain.probabilities.values()) != pytest.approx(list(divided.probabilities.values()), abs=1e-6)


def test_written_answers_and_what_it_does_not_do():
    task = Task.generate(target="answer", max_new_tokens=3)
    train = Dataset(tuple(Example({"text": text}, text[:4], id=text) for text in TEXTS))
    (said,) = (
        SimilarShots(tiny(), Template.parse("{text} is {answer}"), max_tokens=200)
        .fit(train, None, task)
        .predict([Example({"text": "bill"})])
    )
    assert said.probabilities is None
    assert isinstance(said.text, str)
    assert not shots().supports(Task.multilabel(["a", "b"]))
