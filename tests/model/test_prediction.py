"""Predictions: several prompts over one reading equal one at a time; order, laziness, calibration, abstaining."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from softprompt.core.answers import CONTENT_FREE, AnswerSettings
from softprompt.core.errors import ConfigError, DataError, TemplateError
from softprompt.core.records import Batch, Example
from softprompt.core.tasks import Task
from softprompt.core.tensors import Head, PromptTensors, SlotTensors
from softprompt.model.prediction import Ask, Prediction, Predictor
from softprompt.model.prompted import PromptedModel
from softprompt.model.states import StateStore
from softprompt.model.templates import RowBuilder, Template
from softprompt.model.templates.windows import WindowSettings
from softprompt.testing import tiny

TOPIC = Task.classify({"B": "billing", "D": "delivery", "R": "bill"})  # one label's text begins another
TONE = Task.classify(["good", "bad"])
TEXTS = ["Where is it?", "", "I was billed twice in May, and nobody answers.", "Fine", "<eos> thanks ☃", "No!"]
EXAMPLES = [Example({"text": text}, id=str(n)) for n, text in enumerate(TEXTS)]


def ask(backbone, template, task=TOPIC, *, answers="words", seed=0, max_tokens=128, **settings):
    parsed = Template.parse(template)
    builder = RowBuilder(parsed, task, backbone.tokenizer, max_tokens=max_tokens, answers=answers)
    rng = torch.Generator().manual_seed(seed)
    slots = {
        name: SlotTensors(embed=torch.randn(slot.length, backbone.spec.embed_dim, generator=rng) * 0.5)
        for name, slot in parsed.slots.items()
    }
    width = backbone.spec.head_dim
    head = Head(torch.randn(3, width, generator=rng), torch.randn(3, generator=rng)) if answers == "vectors" else None
    return Ask(builder, PromptTensors(slots, head), AnswerSettings(**settings))


def four_asks(backbone):
    return [
        ask(backbone, "{text}<soft 4> It was {answer}", seed=1),
        ask(backbone, "{text}<soft 3>{answer}", answers="vectors", seed=2),
        ask(backbone, "<soft 5>{text} It was {answer}", TONE, seed=3, normalise="length"),
        ask(backbone, "{text} It was {answer}", TONE, calibrate="contextual"),
    ]


def probabilities(predictions):
    return np.array([list(one.probabilities.values()) for one in predictions])


@pytest.mark.parametrize("family", ["llama", "bloom"])
def test_asking_together_equals_asking_alone(family):
    backbone = tiny(family)
    asks = four_asks(backbone)
    together = list(Predictor(backbone, asks).predict(EXAMPLES))
    for k, one in enumerate(asks):
        alone = [found for (found,) in Predictor(backbone, [one]).predict(EXAMPLES)]
        assert probabilities(row[k] for row in together) == pytest.approx(probabilities(alone), abs=1e-5)
        assert [row[k].text for row in together] == [found.text for found in alone]


def test_together_one_reading_serves_all(monkeypatch):
    backbone = tiny()
    read = []
    monkeypatch.setattr(backbone, "forward", counting(backbone.forward, read))
    asks = [ask(backbone, "{text}<soft 4> It was {answer}", seed=n) for n in range(3)]
    list(Predictor(backbone, asks).predict(EXAMPLES))
    text = EXAMPLES[2].fields["text"]
    held = [sum(text_ids(row, backbone, text) for row in batch) for batch in read]
    assert sum(held) == 1


def counting(forward, read):
    def counted(batch, *args, **kwargs):
        read.append(batch)
        return forward(batch, *args, **kwargs)

    return counted


def text_ids(row, backbone, text):
    return sum(getattr(node.segment, "ids", ()) == backbone.tokenizer.encode(text) for node in row.nodes)


@pytest.mark.parametrize("chunk_rows", [1, 4, 100])
@pytest.mark.parametrize("batch_tokens", [1, 10_000])
def test_order_is_kept_whatever_the_chunks_and_batches(chunk_rows, batch_tokens):
    backbone = tiny()
    asks = [ask(backbone, "{text} It was {answer}")]
    whole = [found for (found,) in Predictor(backbone, asks).predict(EXAMPLES)]
    parts = Predictor(backbone, asks, chunk_rows=chunk_rows, batch_tokens=batch_tokens).predict(iter(EXAMPLES))
    found = [one for (one,) in parts]
    assert [one.id for one in found] == [example.id for example in EXAMPLES]
    assert probabilities(found) == pytest.approx(probabilities(whole), abs=1e-5)


def test_only_a_chunk_is_taken_from_the_stream_at_a_time():
    backbone = tiny()
    taken = []

    def endless():
        for n in range(10**9):
            taken.append(n)
            yield Example({"text": "hi"}, id=str(n))

    stream = Predictor(backbone, [ask(backbone, "{text} It was {answer}")], chunk_rows=3).predict(endless())
    assert taken == []
    assert [next(stream)[0].id for _ in range(4)] == ["0", "1", "2", "3"]
    assert len(taken) == 6


def test_probabilities_are_the_softmax_of_the_scores():
    backbone = tiny()
    one = ask(backbone, "{text}<soft 4> It was {answer}")
    rows = tuple(one.builder.row(example, target=False) for example in EXAMPLES)
    scores = PromptedModel(backbone, [one.tensors]).scores(Batch(rows))[0].values
    found = [prediction for (prediction,) in Predictor(backbone, [one]).predict(EXAMPLES)]
    assert probabilities(found) == pytest.approx(scores.softmax(-1).numpy(), abs=1e-5)
    assert [prediction.text for prediction in found] == [TOPIC.names[i] for i in scores.argmax(-1)]
    assert [prediction.confidence for prediction in found] == pytest.approx(scores.softmax(-1).amax(-1).tolist())


def softmax_of(backbone, builder, example):
    row = builder.row(example, target=False)
    return PromptedModel(backbone).scores(Batch((row,)))[0].values[0].double().softmax(-1).numpy()


def test_calibration_divides_by_what_is_said_to_empty_input():
    backbone = tiny()
    one = ask(backbone, "{text} It was {answer}", calibrate="contextual")
    anyway = np.mean([softmax_of(backbone, one.builder, Example({"text": words})) for words in CONTENT_FREE], axis=0)
    (found,) = next(Predictor(backbone, [one]).predict(EXAMPLES[2:3]))
    by_hand = softmax_of(backbone, one.builder, EXAMPLES[2]) / anyway
    assert list(found.probabilities.values()) == pytest.approx(by_hand / by_hand.sum(), abs=1e-5)


def test_calibration_of_a_choice_uses_the_candidates_of_the_row():
    backbone = tiny()
    one = ask(backbone, "{text}: {answer}", Task.choose(), calibrate="contextual")
    examples = [Example({"text": "A"}, candidates=("red", "blue")), Example({"text": "B"}, candidates=("x", "yy", "z"))]
    found = [prediction for (prediction,) in Predictor(backbone, [one]).predict(examples)]
    assert [list(prediction.probabilities) for prediction in found] == [["red", "blue"], ["x", "yy", "z"]]
    for example, prediction in zip(examples, found, strict=True):
        blanks = [replace(example, fields={"text": words}) for words in CONTENT_FREE]
        anyway = np.mean([softmax_of(backbone, one.builder, blank) for blank in blanks], axis=0)
        by_hand = softmax_of(backbone, one.builder, example) / anyway
        assert list(prediction.probabilities.values()) == pytest.approx(by_hand / by_hand.sum(), abs=1e-5)


def test_calibration_leaves_out_an_input_that_leaves_no_word_before_the_answer():
    backbone = tiny()
    one = ask(backbone, "{text}{answer}", calibrate="contextual")
    rows = [softmax_of(backbone, one.builder, Example({"text": words})) for words in CONTENT_FREE if words]
    (found,) = next(Predictor(backbone, [one]).predict(EXAMPLES[:1]))
    by_hand = softmax_of(backbone, one.builder, EXAMPLES[0]) / np.mean(rows, axis=0)
    assert list(found.probabilities.values()) == pytest.approx(by_hand / by_hand.sum(), abs=1e-5)


@pytest.mark.parametrize("family", ["llama", "gemma2", "opt", "bloom"])
@pytest.mark.parametrize(
    "template", ["<soft 60>{text} It was {answer}", "{bos}" + "Read well. " * 9 + "{text}: {answer}"]
)
def test_what_all_rows_begin_with_is_read_once_and_changes_nothing(family, template):
    backbone = tiny(family)
    one = ask(backbone, template, max_tokens=200)
    rows = [one.builder.row(example, target=False) for example in EXAMPLES]
    predictor = Predictor(backbone, [one])
    assert predictor._compiled.pays(rows) == backbone.spec.tree
    plain = PromptedModel(backbone, [one.tensors]).score_all(rows)[0].values
    found = predictor._scores(rows)[0]
    assert np.array([scores for scores, _ in found]) == pytest.approx(plain.numpy(), abs=1e-3, rel=1e-5)


def test_cached_states_change_nothing():
    backbone = tiny()
    asks = four_asks(backbone)
    plain = list(Predictor(backbone, asks).predict(EXAMPLES))
    with StateStore(backbone) as store:
        cached = list(Predictor(backbone, asks, store=store).predict(EXAMPLES))
    for k in range(len(asks)):
        assert probabilities(row[k] for row in cached) == pytest.approx(
            probabilities(row[k] for row in plain), abs=1e-5
        )


def test_unsure_answers_are_withheld():
    backbone = tiny()
    one = ask(backbone, "{text} It was {answer}")
    sure = [found.confidence for (found,) in Predictor(backbone, [one]).predict(EXAMPLES)]
    bar = sorted(sure)[3]
    found = [prediction for (prediction,) in Predictor(backbone, [one], min_confidence=bar).predict(EXAMPLES)]
    assert [prediction.abstained for prediction in found] == [confidence < bar for confidence in sure]
    assert sum(prediction.answer is None for prediction in found) == 3
    assert all(prediction.text in TOPIC.names for prediction in found)


@pytest.mark.parametrize("bar", [-0.1, 1.5])
def test_a_bar_that_is_no_probability_is_refused(bar):
    with pytest.raises(ConfigError, match="probability from 0 to 1"):
        Predictor(tiny(), [], min_confidence=bar)


def test_settings_and_rows_must_agree_on_the_form():
    backbone = tiny()
    for settings in ({"form": "words"}, {"calibrate": "contextual"}):
        with pytest.raises(ConfigError, match="built for answers: vectors"):
            ask(backbone, "{text}<soft 3>{answer}", answers="vectors", **settings)


def test_a_cut_text_is_reported():
    backbone = tiny()
    one = ask(backbone, "{text} It was {answer}", max_tokens=40)
    found = [prediction.cut for (prediction,) in Predictor(backbone, [one]).predict(EXAMPLES)]
    assert [cut > 0 for cut in found] == [False, False, True, False, False, False]


def test_labels_are_not_looked_at():
    backbone = tiny()
    predictor = Predictor(backbone, [ask(backbone, "{text} It was {answer}")])
    wrong = [replace(example, target="no such label") for example in EXAMPLES]
    assert list(predictor.predict(wrong)) == list(predictor.predict(EXAMPLES))


def test_nothing_is_predicted_of_nothing():
    backbone = tiny()
    assert list(Predictor(backbone, [ask(backbone, "{text} It was {answer}")]).predict([])) == []


# --- free text


SUMMARY = Task.generate(max_new_tokens=5)


def test_written_and_scored_answers_come_together_as_alone():
    backbone = tiny()
    asks = [
        ask(backbone, "{text}<soft 4> In short: {answer}", SUMMARY, seed=1),
        ask(backbone, "{text}<soft 4> It was {answer}", seed=2),
        ask(backbone, "{text}<soft 2> Briefly: {answer}", SUMMARY, seed=3),
        ask(backbone, "{text} In short: {answer}", SUMMARY),
        ask(backbone, "{text} Quickly: {answer}", SUMMARY),
    ]
    together = list(Predictor(backbone, asks, batch_tokens=200).predict(EXAMPLES))
    for k, one in enumerate(asks):
        alone = [found for (found,) in Predictor(backbone, [one]).predict(EXAMPLES)]
        assert [row[k].text for row in together] == [found.text for found in alone]
        assert [row[k].confidence for row in together] == pytest.approx([found.confidence for found in alone], abs=1e-5)
    assert all(row[0].probabilities is None and 0 < row[0].confidence <= 1 for row in together)


def test_losses_are_those_of_the_right_answer_with_its_terminator():
    backbone = tiny()
    one = ask(backbone, "{text}<soft 4> In short: {answer}", SUMMARY)
    examples = [replace(example, target=f"say {n}") for n, example in enumerate(EXAMPLES)]
    found = [loss for (loss,) in Predictor(backbone, [one]).losses(examples)]
    rows = tuple(one.builder.row(example) for example in examples)
    scores = PromptedModel(backbone, [one.tensors]).scores(Batch(rows))[0]
    assert [loss for loss, _ in found] == pytest.approx((-scores.values[:, 0]).tolist(), abs=1e-4)
    assert [tokens for _, tokens in found] == [len(" say 0") + 1] * len(examples)
    with pytest.raises(DataError, match=r"data\.no_target"):
        next(Predictor(backbone, [one]).losses(EXAMPLES))


def test_losses_of_a_choice_are_those_of_its_right_candidate():
    backbone = tiny()
    one = ask(backbone, "{text} It was {answer}")
    example = replace(EXAMPLES[0], target="R")
    ((loss, tokens),) = next(Predictor(backbone, [one]).losses([example]))
    scores = PromptedModel(backbone).scores(Batch((one.builder.row(example),)))[0]
    assert (loss, tokens) == (pytest.approx(-float(scores.values[0, 2]), abs=1e-4), len(" bill") + 1)


def test_a_prediction_is_plain_data():
    assert Prediction("7", "yes", {"yes": 1.0}, 1.0, cut=3).to_dict() == {
        "id": "7",
        "answer": "yes",
        "confidence": 1.0,
        "abstained": False,
        "probabilities": {"yes": 1.0},
        "cut": 3,
    }


def windowed(backbone, pool="mean", *, seed=1, max_tokens=48, keep="windows"):
    """An ask whose longest texts are read in windows."""
    windows = WindowSettings(most=16, pool=pool) if keep == "windows" else None
    template = Template.parse("{text}<soft 4> It was {answer}", keep=keep, windows=windows)
    plain = ask(backbone, "{text}<soft 4> It was {answer}", seed=seed, max_tokens=max_tokens)
    return replace(plain, builder=RowBuilder(template, TOPIC, backbone.tokenizer, max_tokens=max_tokens))


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_windows_are_pooled_from_what_each_says_alone(pool):
    backbone = tiny()
    one = windowed(backbone, pool)
    (found,) = next(Predictor(backbone, [one]).predict([Example({"text": TEXTS[2]})]))
    parts = one.builder.split(Example({"text": TEXTS[2]})).parts
    assert found.windows == len(parts) > 1
    assert found.cut == 0
    said = np.log(probabilities(row[0] for row in Predictor(backbone, [one]).predict(parts)))
    logs = said.mean(axis=0) if pool == "mean" else said.max(axis=0)
    assert probabilities([found])[0] == pytest.approx(np.exp(logs) / np.exp(logs).sum(), abs=1e-5)


def test_asks_with_other_windows_share_a_reading_and_say_what_they_say_alone():
    backbone = tiny()
    asks = [
        windowed(backbone),
        windowed(backbone, seed=2, max_tokens=40),
        windowed(backbone, seed=3, keep="tail"),
        ask(backbone, "{text}<soft 4> It was {answer}", seed=5),
    ]
    together = list(Predictor(backbone, asks).predict(EXAMPLES))
    for k, one in enumerate(asks):
        alone = [found for (found,) in Predictor(backbone, [one]).predict(EXAMPLES)]
        assert probabilities(row[k] for row in together) == pytest.approx(probabilities(alone), abs=1e-5)
    first, second, tail, _ = together[2]
    assert first.windows < second.windows
    assert (tail.windows, tail.ends) == (1, ("beginning",))
    assert tail.to_dict()["cut_at"] == ["beginning"]
    assert first.to_dict()["windows"] == first.windows


def test_windows_have_no_likelihood_in_common():
    backbone = tiny()
    with pytest.raises(TemplateError, match=r"perplexity.*template\.windows"):
        next(Predictor(backbone, [windowed(backbone)]).losses([Example({"text": "a"}, "B")]))
