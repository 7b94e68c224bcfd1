"""Start values: scale, determinism, independence, and the errors of a wrong choice."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from softprompt.core.errors import ConfigError, PromptError
from softprompt.core.tensors import PromptTensors, SlotTensors
from softprompt.model.methods.starts import (
    StartSettings,
    from_gaussian,
    from_labels,
    from_prompt,
    from_text,
    from_vocabulary,
    generator,
    head_from_answers,
    initialiser,
    start_prompt,
)
from softprompt.model.methods.vocabulary import Vocabulary

SIZE, WIDTH = 60, 6
TABLE = torch.randn(SIZE, WIDTH, generator=torch.Generator().manual_seed(5)) * 0.02 + 0.01


def tokenize(text: str) -> Sequence[int]:
    return [10 + ord(letter) % 40 for letter in text]


WORDS = Vocabulary(lambda ids: TABLE[ids], tokenize, SIZE, frozenset({0, 1}))


def rows_of(vectors: Tensor) -> list[int]:
    """The ids whose vectors stand here."""
    found = [(vector == TABLE).all(1).nonzero().flatten().tolist() for vector in vectors]
    assert all(len(ids) == 1 for ids in found)
    return [ids[0] for ids in found]


@given(length=st.integers(1, 130), seed=st.integers(0, 2**63 - 1), top=st.integers(1, 80))
def test_sampled_words_are_frequent_and_repeat_only_when_they_must(length: int, seed: int, top: int):
    ids = rows_of(from_vocabulary(WORDS, num_frequent=top)(length, generator(seed, "x")))
    allowed = WORDS.frequent(top)
    assert len(ids) == length
    assert set(ids) <= set(allowed)
    assert max(ids.count(token) for token in ids) == -(-length // len(allowed))


def test_sampling_needs_a_word():
    nothing = Vocabulary(WORDS.embed, tokenize, 2, frozenset({0, 1}))
    with pytest.raises(ConfigError, match="no token that is not special"):
        from_vocabulary(nothing)


@given(text=st.text("abcdef ", min_size=1, max_size=12), length=st.integers(1, 30))
def test_text_is_repeated_or_cut(text: str, length: int):
    ids = list(tokenize(text))
    assert rows_of(from_text(WORDS, text)(length, generator(0, "x"))) == (ids * length)[:length]


def test_empty_start_text_is_refused():
    with pytest.raises(ConfigError, match="no tokens"):
        from_text(WORDS, "")


@pytest.mark.parametrize("length", [1, 4, 5, 9])
def test_label_words_come_first_and_the_vocabulary_fills(length: int):
    init = from_labels(WORDS, ["ab", "cde"], then=from_vocabulary(WORDS))
    ids = rows_of(init(length, generator(0, "x")))
    words = [*tokenize("ab"), *tokenize("cde")]
    assert ids[: len(words)] == words[:length]
    assert len(ids) == length


def test_random_start_has_the_scale_of_the_table_in_every_dimension():
    vectors = from_gaussian(WORDS)(20_000, generator(1, "x"))
    torch.testing.assert_close(vectors.mean(0), TABLE.mean(0), atol=1e-3, rtol=0)
    torch.testing.assert_close(vectors.std(0), TABLE.std(0, correction=0), atol=1e-3, rtol=0)


SAVED = PromptTensors(
    {"topic": SlotTensors(embed=torch.ones(4, WIDTH)), "tone": SlotTensors(embed=torch.zeros(2, WIDTH))}
)


def test_saved_prompt_continues_exactly():
    vectors = from_prompt(SAVED, "topic", width=WIDTH)(4, generator(0, "x"))
    assert torch.equal(vectors, torch.ones(4, WIDTH))


def test_a_single_saved_slot_serves_any_name_but_two_do_not():
    single = PromptTensors({"soft": SAVED.slots["topic"]})
    assert len(from_prompt(single, "other", width=WIDTH)(4, generator(0, "x"))) == 4
    with pytest.raises(PromptError, match="no vectors for slot 'tne'; did you mean 'tone'"):
        from_prompt(SAVED, "tne", width=WIDTH)


@pytest.mark.parametrize("length", [3, 5])
def test_another_length_is_refused_unless_it_may_adapt(length: int):
    with pytest.raises(PromptError, match=rf"has {length} soft tokens, the saved prompt has 4 \[prompt.other_slots\]"):
        from_prompt(SAVED, "topic", width=WIDTH)(length, generator(0, "x"))
    adapted = from_prompt(SAVED, "topic", width=WIDTH, fill=from_vocabulary(WORDS))(length, generator(0, "x"))
    assert len(adapted) == length
    assert torch.equal(adapted[:4], torch.ones(min(4, length), WIDTH))


def test_another_width_is_refused():
    with pytest.raises(PromptError, match="6 wide, this model's are 8"):
        from_prompt(SAVED, "topic", width=8)


def test_a_slots_own_text_wins_over_the_setting():
    init = initialiser(StartSettings(kind="random"), WORDS, text="hi")
    assert rows_of(init(2, generator(0, "x"))) == list(tokenize("hi"))


@pytest.mark.parametrize("kind", ["vocabulary", "random", "labels", "prompt"])
def test_every_kind_is_wired(kind: str):
    init = initialiser(StartSettings.parse({"kind": kind}), WORDS, slot="topic", says=["ab"], saved=SAVED)
    assert init(4, generator(0, "x")).shape == (4, WIDTH)


@pytest.mark.parametrize(("kind", "needs"), [("labels", "fixed labels"), ("prompt", "a saved prompt")])
def test_a_kind_without_what_it_needs_is_refused(kind: str, needs: str):
    with pytest.raises(ConfigError, match=needs):
        initialiser(StartSettings.parse({"kind": kind}), WORDS)


@pytest.mark.parametrize("data", [{"kind": "text"}, {"text": "hi"}, {"kind": "labels", "text": "hi"}])
def test_text_and_kind_text_belong_together(data: dict[str, str]):
    with pytest.raises(ConfigError, match="belongs to kind: text"):
        StartSettings.parse(data)


def test_slots_do_not_depend_on_each_other_nor_on_their_order():
    init = from_vocabulary(WORDS)

    def start(*names):
        return start_prompt(dict.fromkeys(names, (5, init)), scale=1.0, seed=3).slots

    alone, together, turned = start("a"), start("a", "b"), start("b", "a")
    assert torch.equal(alone["a"], together["a"])
    assert torch.equal(together["b"], turned["b"])
    assert not torch.equal(together["a"], together["b"])


def test_seeds_give_different_starts():
    init = from_vocabulary(WORDS)
    one, two = (start_prompt({"a": (5, init)}, scale=1.0, seed=seed).slots["a"] for seed in (0, 1))
    assert not torch.equal(one, two)


@given(st.lists(st.lists(st.integers(0, 19), min_size=1, max_size=4), min_size=2, max_size=6), st.booleans())
def test_label_vectors_start_as_the_zero_shot_model(answers: list[list[int]], with_bias: bool):
    rng = torch.Generator().manual_seed(2)
    weight, bias, state = (torch.randn(shape, generator=rng, dtype=torch.float32) for shape in [(20, 5), (20,), (5,)])
    logits = weight @ state + (bias if with_bias else 0)
    head = head_from_answers(lambda ids: (weight[ids], bias[ids] if with_bias else None), answers)
    scores = head.weight @ state + head.bias
    first = [answer[0] for answer in answers]
    for answer, score in zip(answers, scores, strict=True):
        expected = logits[answer[0]] if first.count(answer[0]) == 1 else logits[answer].mean()
        torch.testing.assert_close(score, expected)


def test_a_label_without_tokens_is_refused():
    with pytest.raises(ConfigError, match="label 1"):
        head_from_answers(lambda ids: (TABLE[ids], None), [[3], []])
