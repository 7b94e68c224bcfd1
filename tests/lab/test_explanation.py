"""Explanations: deleting the words that are called decisive changes the answer, deleting any others does not."""

import json

import numpy as np
import pytest
import torch

from softprompt.core.errors import ConfigError, DataError
from softprompt.core.records import Batch, Example
from softprompt.core.tasks import Task
from softprompt.core.tensors import Head, PromptTensors, SlotTensors
from softprompt.lab import explanation, gradients
from softprompt.lab.explanation import deletion_test, explain, words_of
from softprompt.model.backbones.loading import load
from softprompt.model.prediction import Ask, Predictor
from softprompt.model.prompted import PromptedModel
from softprompt.model.templates import RowBuilder, Template
from softprompt.testing import tiny
from tests.model.test_prediction import TONE, ask

TOPICS = ("account", "billing", "delivery", "product", "returns")


@pytest.fixture(scope="module")
def messages(request):
    """The embedded model with label vectors that were fitted to example messages, and messages that it has not seen."""
    pytest.importorskip("sklearn")
    from sklearn.linear_model import LogisticRegression

    folder = request.config.rootpath / "src" / "softprompt" / "assets" / "example"
    lines = (folder / "messages.train.jsonl").read_text("utf-8").splitlines()
    examples = [Example({"text": row["text"]}, target=row["topic"]) for row in map(json.loads, lines)]
    backbone = load("embedded", dtype="fp32")
    template = Template.parse("{bos}{text} This is about {answer}")
    task = Task.classify(TOPICS)
    builder = RowBuilder(template, task, backbone.tokenizer, max_tokens=200, answers="vectors")
    with torch.no_grad():
        states = [backbone.forward(Batch((builder.row(e, target=False),))).readouts[0].values for e in examples[:160]]
    features = torch.cat(states).double().numpy()
    fitted = LogisticRegression(C=0.2, max_iter=300).fit(features, [TOPICS.index(e.target) for e in examples[:160]])
    head = Head(torch.tensor(fitted.coef_).float(), torch.tensor(fitted.intercept_).float())
    return Predictor(backbone, [Ask(builder, PromptTensors({}, head))]), examples[160:172]


@pytest.mark.parametrize("method", ["occlusion", "gradient"])
def test_decisive_words_decide(messages, method):
    predictor, texts = messages
    found = deletion_test(predictor, texts, deleted=3, method=method)
    assert found.rows == len(texts)
    assert found.decisive > 0.05
    assert found.decisive > 3 * abs(found.random)


def test_weights_are_the_fall_of_the_log_odds():
    backbone = tiny()
    predictor = Predictor(backbone, [ask(backbone, "{text}<soft 4> It was {answer}", TONE)])
    found = explain(predictor, Example({"text": "Not  at all good"}))
    assert [(word.text, word.start) for word in found.words] == [("Not", 0), ("at", 5), ("all", 8), ("good", 12)]
    by_hand = ["Not  at all good", " at all good", "Not  all good", "Not  at good", "Not  at all "]
    p = [next(predictor.predict([Example({"text": text})]))[0].probabilities[found.answer] for text in by_hand]
    odds = [np.log(x / (1 - x)) for x in p]
    assert [word.weight for word in found.words] == pytest.approx([odds[0] - other for other in odds[1:]], abs=1e-4)
    assert [word.without for word in found.words] == pytest.approx(p[1:], abs=1e-5)
    assert [word.weight for word in found.decisive(2)] == sorted(w.weight for w in found.words if w.weight > 0)[:-3:-1]


@pytest.mark.parametrize("settings", [{}, {"answers": "vectors"}, {"normalise": "length", "calibrate": "contextual"}])
def test_gradients_are_those_of_the_log_odds_on_the_way_from_no_text(monkeypatch, settings):
    """At one point on the way, all weights together are the slope of the log-odds along it."""
    monkeypatch.setattr(gradients, "STEPS", 1)
    backbone = tiny()
    task = {} if "answers" in settings else {"task": TONE}
    predictor = Predictor(backbone, [ask(backbone, "{text}<soft 4> It was {answer}", **task, **settings)])
    example = Example({"text": "Fine work"})
    found = explain(predictor, example, method="gradient")
    slope = (log_odds_at(predictor, example, 0.51) - log_odds_at(predictor, example, 0.49)) / 0.02
    assert sum(word.weight for word in found.words) == pytest.approx(slope, rel=0.05, abs=0.01)


def log_odds_at(predictor, example, part):
    """Of the answer to the text, with the vectors of the text scaled."""
    (asked,) = predictor.asks
    (said,) = predictor.variants([example])
    row = asked.builder.row(example, target=False)
    opened, inputs = gradients.opened_row(predictor, row)
    slots = {**asked.tensors.slots, **{name: SlotTensors(embed=part * v) for name, v in inputs.items()}}
    tensors = PromptTensors(slots, asked.tensors.head), asked.tensors
    model = PromptedModel(predictor.backbone)
    scores = [model.scores(Batch((r,)), prompts=[t])[0] for r, t in zip((opened, row), tensors, strict=True)]
    by_token = asked.answers.normalise == "length"
    scaled, true = ((one.normalised() if by_token else one).values[0].double() for one in scores)
    logs = scaled - true + torch.tensor(list(said.probabilities.values())).log()  # with what corrections add
    right = list(said.probabilities).index(said.text)
    return float(logs[right] - torch.logsumexp(torch.cat([logs[:right], logs[right + 1 :]]), 0))


@pytest.mark.parametrize("method", ["occlusion", "gradient"])
@pytest.mark.parametrize("keep", ["head", "tail", "head+tail"])
def test_words_that_were_cut_have_no_weight_and_others_their_place(keep, method):
    backbone = tiny()
    text = "  " + " ".join(f"word{n}" for n in range(40))
    template = Template.parse("{text} It was {answer}", keep=keep)
    builder = RowBuilder(template, TONE, backbone.tokenizer, max_tokens=60)
    found = explain(Predictor(backbone, [Ask(builder)]), Example({"text": text}), method=method)
    names = [word.text for word in found.words]
    assert 2 <= len(names) < 40
    assert all(text[word.start : word.start + len(word.text)] == word.text for word in found.words)
    assert ("word0" in names) == (keep != "tail")
    assert ("word39" in names) == (keep != "head")


def test_a_choice_among_the_candidates_of_the_row_is_explained():
    backbone = tiny()
    predictor = Predictor(backbone, [ask(backbone, "{context} {question}: {answer}", Task.choose())])
    example = Example({"context": "It is red.", "question": "Colour?"}, candidates=("red", "blue"), target="red")
    for method in ("occlusion", "gradient"):
        found = explain(predictor, example, method=method)
        assert found.answer in ("red", "blue")
        assert [word.field for word in found.words] == ["context"] * 4 + ["question"] * 2


@pytest.mark.parametrize("text", ["", "   ", "Why", "??!"])
def test_texts_with_hardly_a_word(text):
    backbone = tiny()
    for template in ("{text}<soft 2> It was {answer}", "<soft 2>{text}{answer}"):
        predictor = Predictor(backbone, [ask(backbone, template, TONE)])
        for method in ("occlusion", "gradient"):
            found = explain(predictor, Example({"text": text}), method=method)
            assert [word.text for word in found.words] == [word for _, word in words_of(text)]


def test_long_texts_are_explained_by_gradients(monkeypatch):
    monkeypatch.setattr(explanation, "LONG", 10)
    backbone = tiny()
    predictor = Predictor(backbone, [ask(backbone, "{text} It was {answer}", TONE)])
    for count, method in ((10, "occlusion"), (11, "gradient")):
        found = explain(predictor, Example({"text": "a " * count}))
        assert (found.method, len(found.words)) == (method, count)


def test_what_cannot_be_explained_is_refused():
    backbone = tiny()
    predictor = Predictor(backbone, [ask(backbone, "{text} It was {answer}", Task.generate())])
    with pytest.raises(DataError, match="writes its answers"):
        explain(predictor, Example({"text": "x"}))
    with pytest.raises(ConfigError, match="did you mean 'gradient'"):
        explain.__wrapped__(predictor, Example({"text": "x"}), method="gradients")
    chooser = Predictor(backbone, [ask(backbone, "{text} It was {answer}", TONE)])
    with pytest.raises(DataError, match="no text has more than 3 words"):
        deletion_test(chooser, [Example({"text": "two words"})])
