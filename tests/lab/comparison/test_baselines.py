"""Baselines: what they answer on data where the right answer is known, and what they are allowed to see."""

import numpy as np
import pytest

from softprompt.core.answers import prior_offsets
from softprompt.core.errors import DataError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison import LinearProbe, Majority, TfidfLogistic, contend
from softprompt.lab.evaluation import evaluate
from softprompt.model.templates import Template
from softprompt.testing import tiny

TASK = Task.classify(["good", "bad"])
GOOD = ["lovely", "great", "wonderful", "perfect", "delightful"]
BAD = ["broken", "awful", "terrible", "useless", "horrible"]
THINGS = ["lamp", "kettle", "chair", "parcel", "table", "mug"]


def reviews(count, *, seed=0, name="rows"):
    rng = np.random.default_rng(seed)
    rows = []
    for n in range(count):
        label = ("good", "bad")[n % 2]
        word, thing = rng.choice(GOOD if label == "good" else BAD), rng.choice(THINGS)
        rows.append(Example({"text": f"The {thing} was {word}."}, target=label, id=f"{name}-{n}"))
    return Dataset(tuple(rows), name, TASK.names)


def test_majority_says_what_was_most_frequent():
    rows = Dataset(tuple(Example({"text": "x"}, target=label) for label in ["bad", "bad", "bad", "good"]))
    (found,) = Majority().fit(rows, None, TASK).predict([Example({"text": "y"}, id="1")])
    assert (found.text, dict(found.probabilities), found.id) == ("bad", {"good": 0.25, "bad": 0.75}, "1")


def test_majority_of_a_choice_is_the_most_frequent_place():
    task = Task.choose()
    rows = Dataset(tuple(Example({}, target=t, candidates=("a", "b", "c")) for t in ["c", "c", "a"]))
    fitted = Majority().fit(rows, None, task)
    three, two = Example({}, candidates=("x", "y", "z")), Example({}, candidates=("x", "y"))
    assert [one.text for one in fitted.predict([three, two])] == ["z", "x"]


def test_majority_of_free_text_is_the_most_frequent_answer():
    rows = Dataset(tuple(Example({"text": "x"}, target=t) for t in ["yes", ["no", "nope"], "no"]))
    (found,) = Majority().fit(rows, None, Task.generate()).predict([Example({"text": "y"})])
    assert (found.text, found.probabilities, found.confidence) == ("no", None, pytest.approx(2 / 3))


@pytest.mark.parametrize("validated", [True, False])
def test_tfidf_learns_the_words_that_decide(validated):
    train, validation, test = reviews(40), reviews(20, seed=1) if validated else None, reviews(40, seed=2)
    fitted = TfidfLogistic().fit(train, validation, TASK)
    assert evaluate(fitted.predict(test), test, TASK).headline.estimate == 1.0
    assert fitted.note.startswith("C = ")


def test_a_correction_for_uneven_labels_moves_the_answers_and_is_told():
    rows = [row for row in reviews(60) if row.target == TASK.names[0]] + [
        row for row in reviews(12) if row.target == TASK.names[1]
    ]
    train, blank = Dataset(tuple(rows), classes=TASK.names), [Example({"text": "unheard"}, target=TASK.names[0])]
    counts = list(train.labels().values())
    plain, corrected = (TfidfLogistic(offsets=o).fit(train, None, TASK) for o in ((), prior_offsets(counts)))
    (before,), (after,) = plain.predict(blank), corrected.predict(blank)
    rare = TASK.names[1]
    odds = [one.probabilities[rare] / one.probabilities[TASK.names[0]] for one in (before, after)]
    assert odds[1] / odds[0] == pytest.approx(counts[0] / counts[1], rel=1e-6)
    assert "corrected for the labels' shares" in corrected.note
    assert "corrected" not in plain.note


def test_tfidf_reads_the_fields_of_the_template_and_no_others():
    leaked = [Example({**row.fields, "answer": row.target}, target=row.target) for row in reviews(40)]
    blind = Dataset(tuple(Example({"text": "same", "answer": row.fields["answer"]}, row.target) for row in leaked))
    fitted = TfidfLogistic().fit(blind, None, TASK)
    assert len({one.confidence for one in fitted.predict(blind)}) == 1
    seeing = TfidfLogistic(("answer",)).fit(blind, None, TASK)
    assert [one.text for one in seeing.predict(blind)] == [row.target for row in blind]


def test_tfidf_knows_no_word_that_only_validation_or_test_rows_have():
    train = reviews(20)
    validation = Dataset(tuple(Example({"text": "zzz qqq"}, target=row.target) for row in reviews(10)))
    vocabulary = set().union(*(one.vocabulary_ for one in TfidfLogistic().fit(train, validation, TASK).vectorisers))
    assert "lamp" in vocabulary
    assert not {"zzz", "qqq"} & vocabulary


def test_tfidf_counts_its_numbers_and_its_words_as_bytes():
    fitted = TfidfLogistic().fit(reviews(20), None, TASK)
    words = [word for one in fitted.vectorisers for word in one.vocabulary_]
    assert fitted.num_trained == len(words) + 1
    assert fitted.num_bytes == 8 * (2 * len(words) + 1) + sum(len(word.encode()) for word in words)


def test_tfidf_of_punctuation_and_of_nothing():
    marks = Dataset(tuple(Example({"text": t}, target=label) for t, label in [("!!", "good"), ("??", "bad")] * 4))
    fitted = TfidfLogistic().fit(marks, None, TASK)
    assert [one.text for one in fitted.predict(marks[:2])] == ["good", "bad"]
    empty = Dataset(tuple(Example({"text": " "}, target=label) for label in ["good", "bad"] * 4))
    with pytest.raises(DataError, match="no training row has text in text"):
        TfidfLogistic().fit(empty, None, TASK)


def test_one_label_is_nothing_to_learn():
    rows = Dataset(tuple(Example({"text": "x"}, target="good") for _ in range(4)), classes=TASK.names)
    for contender in (TfidfLogistic(), LinearProbe(tiny(), Template.parse("{text}{answer}"))):
        with pytest.raises(DataError, match=r"data\.one_label"):
            contender.fit(rows, None, TASK)


# --- the run


def test_only_contenders_that_can_do_the_task_are_fitted_and_every_line_is_told():
    told = []
    rows = Dataset(tuple(Example({"text": "x"}, target="yes", id=str(n)) for n in range(4)))
    backbone = tiny()
    contenders = [Majority(), TfidfLogistic(), LinearProbe(backbone, Template.preset("generate"))]
    task = Task.generate()
    standings = contend(contenders, task, train=rows, test=rows, on_standing=told.append)
    assert [one.name for one in standings] == ["majority"]
    assert told == list(standings)
    assert standings[0].evaluation.metrics["exact_match"].estimate == 1.0
    assert (standings[0].num_trained, standings[0].num_bytes) == (0, 0)


def test_lines_carry_the_test_scores_times_and_sizes():
    train, test = reviews(40), reviews(20, seed=2)
    majority, words = contend([Majority(), TfidfLogistic()], TASK, train=train, test=test)
    assert majority.evaluation.metrics["accuracy"].estimate == 0.5
    assert words.evaluation.metrics["accuracy"].estimate == 1.0
    assert words.fit_seconds > 0 < words.predict_seconds
    assert words.num_bytes > 8 * words.num_trained > 0
    assert [item.id for item in words.evaluation.items] == [row.id for row in test]
