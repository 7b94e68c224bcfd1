"""The linear probe: which states of the frozen model it gets, of short, long and windowed texts, and what it finds."""

import numpy as np
import pytest
import torch

from softprompt.core.answers import prior_offsets
from softprompt.core.records import Batch, Example, Node, Row, Text
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison import LinearProbe
from softprompt.lab.evaluation import evaluate
from softprompt.model.backbones.base import Want
from softprompt.model.backbones.loading import load
from softprompt.model.templates import RowBuilder, Template
from softprompt.model.templates.windows import WindowSettings
from softprompt.testing import tiny
from tests.lab.comparison.baselines.reviews import TASK, reviews


def hidden_after(backbone, ids):
    row = Row((Node(Text(tuple(ids))),))
    return backbone.forward(Batch((row,)), want=Want(hidden=True)).hidden.values[0].numpy()


@pytest.mark.parametrize("family", ["llama", "gpt2", "bloom"])
def test_states_are_those_after_the_last_token_and_the_mean_over_the_text(family):
    backbone = tiny(family)
    encode = backbone.tokenizer.encode
    examples = [Example({"text": "hi you"}), Example({"text": "No."}), Example({"text": ""})]
    probe = LinearProbe(backbone, Template.parse("{bos}Read: {text}<soft 3> It was {answer}"), batch_tokens=40)
    with torch.no_grad():
        states = probe.states(examples, TASK)
        for n, example in enumerate(examples):
            head = (256, *encode("Read:"))
            body = encode(" " + example.fields["text"]) if example.fields["text"] else ()
            last = hidden_after(backbone, head + body + encode(" It was"))
            assert states["last"][n] == pytest.approx(last, abs=1e-4)
            mean = [hidden_after(backbone, (head + body)[: len(head) + k + 1]) for k in range(len(body))]
            assert states["mean"][n] == pytest.approx(np.mean(mean, axis=0) if body else last, abs=1e-4)
    assert (states["both"] == np.hstack([states["last"], states["mean"]])).all()


def test_a_long_text_is_averaged_over_evenly_spaced_tokens():
    backbone = tiny()
    text = "abcdefgh" * 20  # 160 tokens
    states = LinearProbe(backbone, Template.parse("{text}:{answer}")).states([Example({"text": text})], TASK)
    ids = backbone.tokenizer.encode(text)
    with torch.no_grad():
        mean = np.mean([hidden_after(backbone, ids[: round((k + 1) * 160 / 64)]) for k in range(64)], axis=0)
    assert states["mean"][0] == pytest.approx(mean, abs=1e-4)


def test_of_a_text_in_windows_the_states_are_averaged():
    backbone = tiny()
    template = Template.parse("{text}:{answer}", keep={"text": "windows"}, windows=WindowSettings(overlap=0, most=3))
    examples = [Example({"text": text}) for text in ("abcdefgh", "abcdefgh ijklmnop qrstuvwx yz")]
    windows = LinearProbe(backbone, template, max_tokens=10, batch_tokens=40)
    builder = RowBuilder(template, TASK, backbone.tokenizer, max_tokens=10, answers="vectors")
    parts = [list(builder.windows(example)) for example in examples]
    assert [len(one) for one in parts] == [1, 3]
    found = windows.states(examples, TASK)
    assert windows.states([], TASK)["both"].shape == (0, 2 * backbone.spec.head_dim)
    for n, one in enumerate(parts):
        apart = LinearProbe(backbone, Template.parse("{text}:{answer}")).states(one, TASK)
        for variant, values in apart.items():
            assert found[variant][n] == pytest.approx(values.mean(axis=0), abs=1e-4)


def test_the_probe_is_corrected_for_uneven_labels_as_tfidf_is():
    rows = Dataset(
        tuple(Example({"text": "same"}, target=label) for label in ["good"] * 6 + ["bad"] * 2), "", TASK.names
    )
    offsets = prior_offsets(list(rows.labels().values()))
    template = Template.parse("{text}:{answer}")
    plain, corrected = (LinearProbe(tiny(), template, offsets=o).fit(rows, None, TASK) for o in ((), offsets))
    (before,), (after,) = plain.predict(rows[:1]), corrected.predict(rows[:1])
    assert dict(before.probabilities) == pytest.approx({"good": 0.75, "bad": 0.25}, abs=0.02)
    p = np.array(list(before.probabilities.values())) * np.exp(offsets)
    assert list(after.probabilities.values()) == pytest.approx(list(p / p.sum()))
    assert corrected.note == f"{plain.note}, corrected for the labels' shares as the prompt is"


def test_the_probe_finds_what_the_embedded_model_knows():
    backbone = load("embedded", dtype="fp32")
    probe = LinearProbe(backbone, Template.preset("classify"))
    train, validation, test = reviews(60), reviews(20, seed=1), reviews(30, seed=2)
    fitted = probe.fit(train, validation, TASK)
    assert evaluate(fitted.predict(test), test, TASK).headline.estimate >= 0.9
    assert fitted.num_bytes == 8 * fitted.num_trained
    width = backbone.spec.embed_dim
    assert fitted.num_trained in (width + 1, 2 * width + 1)
