"""Start values and methods on real models: the head begins as the zero-shot model, gradients arrive everywhere."""

import pytest
import torch

from softprompt.core.records import Answer, Batch, Node, Readout, Row, Soft, Text
from softprompt.model.methods.starts import (
    Layers,
    from_gaussian,
    from_vocabulary,
    head_from_answers,
    start_prompt,
)
from softprompt.model.methods.table import METHODS, parse_method, start_method
from softprompt.model.methods.vocabulary import TableStatistics, Vocabulary
from softprompt.testing import FAMILIES, tiny

TEXT = Text((72, 101, 108, 108, 111), "text")
ANSWERS = ((65,), (90,), (66,))


def words_of(backbone) -> Vocabulary:
    return Vocabulary(backbone.embed, backbone.tokenizer.encode, backbone.spec.vocab_size, frozenset({256, 257, 258}))


def prompts_of(backbone, name: str, *, num_prompts: int = 1):
    words = words_of(backbone)
    head = head_from_answers(backbone.output_vectors, ANSWERS)
    output = TableStatistics.measure(lambda ids: backbone.output_vectors(ids)[0], size=backbone.spec.vocab_size)
    layers = Layers(len(backbone.spec.kv_shapes), lambda vectors, layer: backbone.prefill(vectors, layer=layer))
    slots = {"soft": (3, from_vocabulary(words)), "tail": (2, from_gaussian(words))}
    starts = [
        start_prompt(
            slots,
            scale=words.statistics.rms,
            seed=seed,
            head=head,
            head_scale=output.rms,
            words=words,
            kept={"tail": 1},
            layers=dict.fromkeys(slots, layers),
        )
        for seed in range(num_prompts)
    ]
    return start_method(parse_method(name), starts)


def row(prompt_index: int = 0) -> Row:
    soft = (Node(TEXT), Node(Soft("soft", 3, prompt_index), 0), Node(Soft("tail", 2, prompt_index), 1))
    return Row((*soft, Node(Text((58,)), 2), Node(Readout(prompt_index), 3)))


@pytest.mark.parametrize("family", FAMILIES)
def test_label_vectors_begin_as_the_zero_shot_model(family: str):
    backbone = tiny(family)
    prompts = prompts_of(backbone, "plain").materialise()
    answers = tuple(Node(Answer(answer, i), 3) for i, answer in enumerate(ANSWERS))
    with torch.no_grad():
        output = backbone.forward(Batch((Row((*row().nodes, *answers)),)), prompts)
    head = prompts[0].head
    assert head is not None
    vectors = (output.readouts[0].values @ head.weight.T + head.bias).squeeze(0)
    words = output.answers[0].scores[output.answers[0].candidates.argsort()]
    assert vectors.argsort().tolist() == words.argsort().tolist()
    if family != "gemma2":  # its logits are capped by a tanh: the order is kept, the differences are not
        torch.testing.assert_close(vectors.log_softmax(0), words.log_softmax(0), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_a_few_steps_fit_a_row_and_prompts_stay_apart(name: str):
    backbone = tiny("llama")
    method = prompts_of(backbone, name, num_prompts=2)
    optimiser = torch.optim.AdamW(method.parameters(), lr=0.02)
    before = [parameter.detach().clone() for parameter in method.parameters()]
    losses = []
    for _ in range(8):
        optimiser.zero_grad()
        prompts = method()
        output = backbone.forward(Batch((row(0), row(1))), prompts)
        total = torch.zeros(())
        for k, prompt in enumerate(prompts):
            assert prompt.head is not None
            scores = output.readouts[k].values @ prompt.head.weight.T + prompt.head.bias
            total = total - scores.log_softmax(1)[0, k]  # prompt k wants label k
        total.backward()
        optimiser.step()
        losses.append(total.item())
    assert losses[-1] < losses[0] / 2
    assert all(not torch.equal(old, new) for old, new in zip(before, method.parameters(), strict=True))


@pytest.mark.parametrize("family", ["gemma3", "opt", "gpt2"])
def test_start_values_have_the_scale_of_what_they_stand_beside(family: str):
    """Gemma multiplies its embeddings on the way in, opt projects them: only asking the model gives the right scale."""
    backbone = tiny(family)
    words = words_of(backbone)
    beside = words.vectors(range(256)).square().mean().sqrt().item()
    assert words.statistics.rms == pytest.approx(beside, rel=0.05)
    for init in (from_vocabulary(words), from_gaussian(words)):
        start = start_prompt({"soft": (64, init)}, scale=1.0, seed=0).slots["soft"]
        assert start.shape == (64, backbone.spec.embed_dim)
        assert start.square().mean().sqrt().item() == pytest.approx(beside, rel=0.1)
