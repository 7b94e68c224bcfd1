"""Metrics against the field's reference implementations, their laws, and scores with intervals."""

import builtins
import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from softprompt.core.errors import CATALOGUE, ConfigError, DataError, ExtraError
from softprompt.core.metrics import (
    METRICS,
    Accuracy,
    Bleu,
    Brier,
    CalibrationError,
    ChrF,
    ExactMatch,
    HammingLoss,
    LogLoss,
    MacroF1,
    Mae,
    Metric,
    MicroF1,
    Perplexity,
    Rmse,
    RougeL,
    Spearman,
    SubsetAccuracy,
    TokenF1,
    class_report,
    compare,
    confusion,
    items_of,
    make_metric,
    normalise_answer,
    score,
)
from softprompt.core.stats import verdict, wilson

LABELS = ["billing", "delivery", "other"]
STARS = ["1", "2", "3", "4", "5"]
NEEDS_EXTRA = {"bleu", "chrf"}
OF_NUMBERS = {"mae", "rmse", "spearman"}
OF_OBJECTS = {"field_f1", "field_recall", "whole_object"}

labelled = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=40)
VOCABULARY = ["the", "a", "cat", "sat", "mat", "mats,", "3.5", "don't", "Größe", "北京", "&amp;", "-", "."]
words = st.lists(st.sampled_from(VOCABULARY), max_size=12)
texts = st.one_of(words.map(" ".join), st.text(max_size=20))


def total(metric, predictions, references):
    return metric.total(items_of(metric, list(predictions), list(references)).sum(axis=0))


def metric_named(name):
    if name in NEEDS_EXTRA:
        pytest.importorskip("sacrebleu")
    return make_metric(name, labels=STARS if name in OF_NUMBERS else LABELS)


def inputs_of(name):
    """A prediction and a reference as the metric of that name takes them."""
    if name in {"log_loss", "brier", "ece"}:
        return {"billing": 0.5, "delivery": 0.25, "other": 0.25}, "billing"
    if name in OF_NUMBERS:
        return 2.5, 4.0
    return ((3.0, 4), None) if name == "perplexity" else ("billing", "billing")


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_keeps_the_protocol(name):
    metric = metric_named(name)
    prediction, reference = inputs_of(name)
    (item,) = items_of(metric, [prediction], [reference])
    assert isinstance(metric, Metric)
    assert metric.name == name
    assert item.shape == items_of(metric, [prediction], [reference])[0].shape
    assert metric.bounds[0] <= metric.total(item) <= metric.bounds[1]
    # a function of the sum: twice the same items is the same score
    assert metric.total(3 * item) == pytest.approx(metric.total(item))
    assert score(metric, [prediction] * 2, [reference] * 2).interval.estimate == pytest.approx(metric.total(item))


@pytest.mark.parametrize(
    "name",
    sorted(set(METRICS) - {"log_loss", "brier", "ece", "perplexity", "hamming_loss", "field_precision"} - OF_NUMBERS),
)
def test_an_abstention_counts_as_wrong(name):
    metric = metric_named(name)
    answers: list = ["billing", "delivery", "other", "billing"]
    if name in OF_OBJECTS:
        answers = [{"topic": answer} for answer in answers]
    full = total(metric, answers, answers)
    assert full == pytest.approx(metric.bounds[1], rel=1e-9) or name == "bleu"  # one word has no 4-gram
    assert metric.total(metric.item(None, answers[0])) == 0
    assert total(metric, [None, *answers[1:]], answers) < full or full == 0


@hypothesis.given(labelled)
def test_label_metrics_equal_scikit_learn(pairs):
    predictions, references = zip(*pairs, strict=True)
    assert total(Accuracy(), predictions, references) == pytest.approx(
        sklearn.metrics.accuracy_score(references, predictions)
    )
    assert total(MacroF1(LABELS), predictions, references) == pytest.approx(
        sklearn.metrics.f1_score(references, predictions, average="macro")
    )
    assert (
        confusion(predictions, references, labels=LABELS)[:, :-1].tolist()
        == sklearn.metrics.confusion_matrix(references, predictions, labels=LABELS).tolist()
    )


@hypothesis.given(labelled)
def test_class_report_equals_scikit_learn(pairs):
    predictions, references = zip(*pairs, strict=True)
    precision, recall, f1, support = sklearn.metrics.precision_recall_fscore_support(
        references, predictions, labels=LABELS, zero_division=0
    )
    for i, row in enumerate(class_report(predictions, references, labels=LABELS)):
        assert (row.label, row.n, row.predicted) == (LABELS[i], support[i], predictions.count(LABELS[i]))
        assert row.f1 == pytest.approx(f1[i])
        assert row.recall.estimate == pytest.approx(recall[i] if row.n else math.nan, nan_ok=True)
        assert row.precision.estimate == pytest.approx(precision[i] if row.predicted else math.nan, nan_ok=True)


def test_copies_in_a_group_are_no_new_evidence_for_a_class():
    said, right = [LABELS[n % 2] for n in range(24)], [LABELS[n % 3 > 1] for n in range(24)]
    thrice = [[one for one in row for _ in range(3)] for row in (said, right)]
    alone = class_report(said, right, labels=LABELS)
    loose = class_report(*thrice, labels=LABELS)
    grouped = class_report(*thrice, labels=LABELS, groups=[n for n in range(24) for _ in range(3)])
    for one, more, together in zip(alone[:2], loose, grouped, strict=False):
        assert together.recall.estimate == pytest.approx(one.recall.estimate)
        assert (together.n, together.f1) == (more.n, pytest.approx(one.f1))
        for side in ("recall", "precision"):
            wide, narrow = getattr(together, side), getattr(more, side)
            assert wide.high - wide.low > 1.2 * (narrow.high - narrow.low)


held = st.lists(st.sampled_from(LABELS), unique=True).map(tuple)


@hypothesis.given(st.lists(st.tuples(held, held), min_size=1, max_size=30))
def test_metrics_of_sets_equal_scikit_learn(pairs):
    predictions, references = zip(*pairs, strict=True)
    said, right = (np.array([[label in row for label in LABELS] for row in rows]) for rows in (predictions, references))
    expected = sklearn.metrics.f1_score(right, said, average="micro", zero_division=0)
    assert total(MicroF1(LABELS), predictions, references) == pytest.approx(expected)
    # labels that are neither said nor right anywhere are left out of ours
    f1 = sklearn.metrics.f1_score(right, said, average=None, zero_division=0)
    there = (said | right).any(axis=0)
    expected = f1[there].mean() if there.any() else 0.0
    assert total(MacroF1(LABELS), predictions, references) == pytest.approx(expected)
    assert total(SubsetAccuracy(), predictions, references) == pytest.approx(
        sklearn.metrics.accuracy_score(right, said)
    )
    assert total(HammingLoss(LABELS), predictions, references) == pytest.approx(
        sklearn.metrics.hamming_loss(right, said)
    )
    precision, recall, _, support = sklearn.metrics.precision_recall_fscore_support(right, said, zero_division=0)
    for i, row in enumerate(class_report(predictions, references, labels=LABELS)):
        assert (row.n, row.predicted) == (support[i], said[:, i].sum())
        assert row.recall.estimate == pytest.approx(recall[i] if row.n else math.nan, nan_ok=True)
        assert row.precision.estimate == pytest.approx(precision[i] if row.predicted else math.nan, nan_ok=True)


numbers = st.floats(1, 5).map(lambda value: round(value, 1))


@hypothesis.given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=30))
def test_metrics_of_numbers_equal_their_reference_implementations(pairs):
    said, right = zip(*pairs, strict=True)
    assert total(Mae(STARS), said, right) == pytest.approx(sklearn.metrics.mean_absolute_error(right, said))
    assert total(Rmse(STARS), said, right) == pytest.approx(sklearn.metrics.root_mean_squared_error(right, said))
    constant = len(set(said)) == 1 or len(set(right)) == 1
    expected = 0.0 if constant else scipy.stats.spearmanr(said, right).statistic
    assert total(Spearman(STARS), said, right) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", sorted(OF_NUMBERS))
def test_a_withheld_number_is_the_farthest_end_of_the_scale(name):
    metric = metric_named(name)
    assert total(metric, [None, 2.0, 3.0], [4.0, 2.0, 5.0]) == total(metric, [1.0, 2.0, 3.0], [4.0, 2.0, 5.0])


def test_withheld_labels_are_all_wrong():
    assert total(HammingLoss(LABELS), [None], [("other",)]) == 1


@pytest.mark.parametrize("name", sorted(OF_NUMBERS))
def test_a_metric_of_numbers_needs_a_scale(name):
    with pytest.raises(ConfigError, match="numbers on a scale"):
        make_metric(name, labels=LABELS)


def test_other_answers_and_abstentions_enter_no_class():
    table = confusion([None, "a poem", "other"], ["billing", "billing", "other"], labels=LABELS)
    assert table.tolist() == [[0, 0, 0, 2], [0, 0, 0, 0], [0, 0, 1, 0]]
    sums = MacroF1(LABELS).item("a poem", "billing")
    assert sums.tolist() == MacroF1(LABELS).item(None, "billing").tolist()
    assert sums.sum() == 1


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Cat!", "cat"),
        ("an apple a day", "apple day"),
        ("athlete", "athlete"),
        ("U.S.A.", "usa"),
        ("the", ""),
        ("L'été", "lété"),
    ],
)
def test_answers_are_normalised_like_squad(text, normal):
    assert normalise_answer(text) == normal
    assert normalise_answer(normal) == normal


@pytest.mark.parametrize(
    ("prediction", "reference", "exact", "f1"),
    [
        ("Denver Broncos", "The Denver Broncos", 1, 1),
        ("Broncos", ["Denver Broncos", "the Broncos"], 1, 1),
        ("Denver", ["Denver Broncos", "Carolina"], 0, 2 / 3),
        ("x x y", "x z z", 0, 1 / 3),
        ("", "", 1, 1),
        ("the", "", 1, 1),
        ("", "something", 0, 0),
        (None, "", 0, 0),
    ],
)
def test_squad_scores(prediction, reference, exact, f1):
    assert ExactMatch().value(prediction, reference) == exact
    assert TokenF1().value(prediction, reference) == pytest.approx(f1)


@hypothesis.given(texts, st.lists(texts, min_size=1, max_size=3))
def test_rouge_l_equals_rouge_score(prediction, references):
    rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")
    expected = rouge_scorer.RougeScorer(["rougeL"]).score_multi(references, prediction)["rougeL"].fmeasure
    assert RougeL().value(prediction, references) == pytest.approx(expected)


def test_rouge_l_of_long_texts_equals_rouge_score():
    rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")
    rng = np.random.default_rng(0)
    a, b = (" ".join(map(str, rng.integers(0, 40, 300))) for _ in range(2))
    assert RougeL().value(a, b) == pytest.approx(rouge_scorer.RougeScorer(["rougeL"]).score(b, a)["rougeL"].fmeasure)


corpora = st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=6)


@hypothesis.given(corpora)
def test_corpus_metrics_equal_sacrebleu(corpus):
    sacrebleu = pytest.importorskip("sacrebleu")
    predictions, first, second = (list(column) for column in zip(*corpus, strict=True))
    references = list(zip(first, second, strict=True))
    for metric, theirs in ((Bleu(), sacrebleu.BLEU()), (ChrF(), sacrebleu.CHRF())):
        expected = theirs.corpus_score(predictions, [first, second]).score
        assert total(metric, predictions, references) == pytest.approx(expected, abs=1e-6)
        expected = theirs.corpus_score(predictions, [first]).score
        assert total(metric, predictions, first) == pytest.approx(expected, abs=1e-6)


def test_corpus_metrics_name_their_extra(monkeypatch):
    def without_sacrebleu(name, *rest):
        if name.startswith("sacrebleu"):
            raise ImportError(name)
        return real_import(name, *rest)

    real_import = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without_sacrebleu)
    for name in NEEDS_EXTRA:
        with pytest.raises(ExtraError, match=r"needs sacrebleu .*pip install 'softprompt\[metrics\]'"):
            make_metric(name)


def probabilities(num_items, seed):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(3), num_items)
    return p, np.array([rng.choice(3, p=row) for row in p])


@pytest.mark.parametrize("seed", range(3))
def test_probability_metrics_equal_scikit_learn(seed):
    p, right = probabilities(50, seed)
    assert total(LogLoss(), p, right) == pytest.approx(sklearn.metrics.log_loss(right, p, labels=[0, 1, 2]))
    assert total(Brier(), p, right) == pytest.approx(
        sklearn.metrics.brier_score_loss(right, p, labels=[0, 1, 2], scale_by_half=False)
    )
    by_label = [dict(zip(LABELS, row, strict=True)) for row in p]
    for metric in (LogLoss(), Brier(), CalibrationError()):
        assert total(metric, by_label, [LABELS[i] for i in right]) == pytest.approx(total(metric, p, right))


def test_log_loss_of_a_certain_error_is_finite():
    assert LogLoss().value([1.0, 0.0], 1) == LogLoss().bounds[1] < 37


def test_calibration_error_is_the_binned_gap():
    p, right = probabilities(500, 1)
    confidence, hit = p.max(axis=1), p.argmax(axis=1) == right
    metric, expected = CalibrationError(num_bins=10), 0.0
    for i in range(10):
        inside = (confidence > i / 10) & (confidence <= (i + 1) / 10)
        if inside.any():
            expected += inside.mean() * abs(hit[inside].mean() - confidence[inside].mean())
    assert total(metric, p, right) == pytest.approx(expected)
    assert total(metric, np.eye(3), [0, 1, 2]) == 0
    assert total(metric, np.eye(3), [1, 2, 0]) == 1


def test_perplexity_weights_texts_by_their_tokens():
    assert total(Perplexity(), [(1.0, 1), (9.0, 4)], [None, None]) == pytest.approx(math.exp(2))
    assert total(Perplexity(), [(1e6, 1)], [None]) == math.inf
    uniform = total(Perplexity(), [(7 * math.log(50), 7)], [None])
    assert uniform == pytest.approx(50)


def test_proportions_get_wilson_and_groups_the_clustered_bootstrap():
    predictions, references = ["billing"] * 45 + [None] * 5, ["billing"] * 50
    found = score(Accuracy(), predictions, references)
    assert found.interval == wilson(45, 50)
    assert str(found) == "accuracy 0.900 [0.786, 0.957], n = 50"
    assert found.items[:, 0].tolist() == [1] * 45 + [0] * 5
    grouped = score(Accuracy(), predictions, references, groups=[i // 5 for i in range(50)])
    assert grouped.interval.method == "bootstrap-bca-clustered"
    assert grouped.interval.high - grouped.interval.low > found.interval.high - found.interval.low


def test_perfect_scores_keep_an_honest_width():
    found = score(RougeL(), ["one two"] * 10, ["one two"] * 10)
    assert found.interval.estimate == 1
    assert found.interval.low < 0.75
    four = score(MacroF1(["no", "yes"]), ["no", "yes"] * 2, ["no", "yes"] * 2)
    assert str(four.interval) == "1.000 [0.398, 1.000]"


def test_a_calibration_error_of_zero_by_luck_is_not_certain():
    """All resamples lie above the estimate: the interval must reach up to them."""
    p = [[0.8, 0.2]] * 50 + [[0.3, 0.7]] * 50
    found = score(CalibrationError(), p, [0] * 40 + [1] * 10 + [1] * 35 + [0] * 15).interval
    assert found.estimate == pytest.approx(0)
    assert found.low == found.estimate
    assert 0.05 < found.high < 0.3


def test_macro_f1_is_bootstrapped_by_items():
    rng = np.random.default_rng(0)
    references = [LABELS[i] for i in rng.integers(0, 3, 300)]
    predictions = [r if rng.random() < 0.7 else LABELS[rng.integers(3)] for r in references]
    found = score(MacroF1(LABELS), predictions, references, level=0.9)
    assert found.interval.level == 0.9
    assert found.interval.estimate == pytest.approx(sklearn.metrics.f1_score(references, predictions, average="macro"))
    assert 0.05 < found.interval.high - found.interval.low < 0.12
    assert found.items.shape == (300, 9)


@pytest.mark.parametrize("metric", [Accuracy(), MacroF1(LABELS), LogLoss()], ids=lambda metric: metric.name)
def test_comparison_has_the_sign_of_the_better_one(metric):
    rng = np.random.default_rng(1)
    references = [LABELS[i] for i in rng.integers(0, 3, 120)]
    good = [r if rng.random() < 0.9 else "other" for r in references]
    if metric.name == "log_loss":
        sure = [{name: 0.8 if name == answer else 0.1 for name in LABELS} for answer in good]
        unsure = [dict.fromkeys(LABELS, 1 / 3)] * 120
    else:
        sure, unsure = good, ["billing"] * 120
    first, second = score(metric, sure, references), score(metric, unsure, references)
    difference = compare(metric, first, second)
    assert difference.estimate == pytest.approx(first.interval.estimate - second.interval.estimate)
    assert verdict(difference, higher_is_better=metric.higher_is_better) == "better"
    assert verdict(compare(metric, second, first), higher_is_better=metric.higher_is_better) == "worse"


@pytest.mark.parametrize(
    ("call", "error", "code", "told"),
    [
        (lambda: make_metric("acuracy"), ConfigError, "config.unknown_name", "did you mean 'accuracy'?"),
        (lambda: make_metric("macro_f1"), ConfigError, "config.invalid", "pass labels"),
        (lambda: MacroF1(["a", "a"]), ConfigError, "config.invalid", "each once"),
        (lambda: MacroF1(LABELS).item("other", "oter"), DataError, "data.unknown_label", "did you mean 'other'?"),
        (lambda: score(Accuracy(), ["a"], []), DataError, "data.lengths_differ", "1 predictions for 0"),
        (lambda: score(Accuracy(), [], []), DataError, "data.nothing_to_score", "accuracy"),
        (lambda: ExactMatch().item("a", []), DataError, "data.no_target", "empty list of references"),
        (lambda: LogLoss().item(None, 0), DataError, "data.not_probabilities", "behind the answer"),
        (lambda: Brier().item([0.7, 0.7], 0), DataError, "data.not_probabilities", "[0.7, 0.7]"),
        (lambda: Brier().item([math.nan, 1.0], 0), DataError, "data.not_probabilities", "finite"),
        (lambda: Brier().item([1.5, -0.5], 0), DataError, "data.not_probabilities", "sum to 1"),
        (lambda: Brier().item([0.5, 0.5], 2), DataError, "data.unknown_label", "reference 2"),
        (lambda: Perplexity().item(None, None), DataError, "data.not_probabilities", "number of tokens"),
    ],
)
def test_errors_say_what_came(call, error, code, told):
    with pytest.raises(error) as caught:
        call()
    assert caught.value.code == code
    assert code in CATALOGUE
    assert told in str(caught.value)
