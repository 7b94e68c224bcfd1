"""Variants of one text: the same scores as alone, and less is read."""

import pytest
import torch

from softprompt.core.records import Batch, Example, Text
from softprompt.model.prediction import Predictor
from softprompt.model.prompted import PromptedModel
from softprompt.model.variants import VariantModel, shared_length, split_at
from softprompt.testing import tiny
from tests.model.test_prediction import TONE, ask

TEXT = "I was billed twice in May, and nobody answers."
TEXTS = [TEXT, *(TEXT.replace(word, "", 1) for word in TEXT.split()), "", "Other words", TEXT + " Help!"]
TEMPLATES = [
    "{text}<soft 4> It was {answer}",
    "<soft 5>{text} It was {answer}",
    "Read: {text}<soft 2>, {text}: {answer}",
]


def rows_of(backbone, template, answers):
    settings = {} if answers == "words" else {"answers": "vectors"}
    one = ask(backbone, template, **settings)
    return one, [one.builder.row(Example({"text": text}), target=False) for text in TEXTS]


@pytest.mark.parametrize("family", ["llama", "bloom", "gemma2"])
@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("answers", ["words", "vectors"])
def test_variants_score_as_alone(family, template, answers):
    backbone = tiny(family)
    one, rows = rows_of(backbone, template, answers)
    found = VariantModel(backbone, [one.tensors]).score_all(rows, batch_tokens=300)[0].values
    plain = PromptedModel(backbone, [one.tensors]).score_all(rows)[0].values
    assert torch.allclose(found, plain, atol=1e-3, rtol=1e-5)


def test_what_variants_share_is_read_once(monkeypatch):
    backbone = tiny()
    one, rows = rows_of(backbone, TEMPLATES[1], "words")
    fed = []
    forward = backbone.forward

    def counted(batch, prompts=(), state=None, **settings):
        fed.append(sum(sum(len(n.segment) for n in row.nodes) for row in batch) - sum(state.lengths if state else ()))
        return forward(batch, prompts, state, **settings)

    monkeypatch.setattr(backbone, "forward", counted)
    VariantModel(backbone, [one.tensors]).score_all(rows)
    shared, fed[:] = sum(fed), []
    PromptedModel(backbone, [one.tensors]).score_all(rows)
    assert shared < 0.75 * sum(fed)


def test_a_split_row_is_the_same_tokens():
    backbone = tiny()
    _, rows = rows_of(backbone, TEMPLATES[0], "words")
    for row in rows:
        length = shared_length(row, rows[0])
        split = split_at(row, length)
        ids = [[token for n in r.nodes for token in getattr(n.segment, "ids", ("soft",))] for r in (row, split)]
        assert ids[0] == ids[1]
        if isinstance(row.nodes[0].segment, Text):  # from soft tokens nothing can go on
            trunks = backbone.trunks(Batch((split,)), frozen="field")
            assert sum(trunk.length for trunk in trunks) == length


def test_a_predictor_asks_variants_as_it_asks_texts():
    backbone = tiny()
    examples = [Example({"text": text}, id=str(n)) for n, text in enumerate(TEXTS)]
    asks = [
        ask(backbone, TEMPLATES[0], seed=1),
        ask(backbone, TEMPLATES[1], TONE, seed=2, normalise="length", calibrate="contextual"),
    ]
    predictor = Predictor(backbone, asks, min_confidence=0.6)
    together = list(predictor.predict(examples))
    for k in range(2):
        found = predictor.variants(examples, ask=k)
        for one, row in zip(found, together, strict=True):
            assert one.confidence == pytest.approx(row[k].confidence, abs=1e-4)
            assert (one.id, one.text, one.abstained) == (row[k].id, row[k].text, row[k].abstained)
