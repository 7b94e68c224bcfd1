"""TF-IDF and logistic regression: what it learns where a word decides, and what it is allowed to see."""

import pytest

from softprompt.core.answers import prior_offsets
from softprompt.core.errors import DataError
from softprompt.core.records import Example
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison import LinearProbe, TfidfLogistic
from softprompt.lab.evaluation import evaluate
from softprompt.model.templates import Template
from softprompt.testing import tiny
from tests.lab.comparison.baselines.reviews import TASK, reviews


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
