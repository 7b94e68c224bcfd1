"""Superposition: mixtures of words that the prompt's seed draws, and nothing outside of their space."""

from dataclasses import replace

import pytest
import torch

from softprompt.core.errors import ConfigError
from softprompt.model.methods.superposition import Superposition, SuperpositionSettings
from tests.model.methods.begun import STARTS, words_at

START = replace(STARTS[0], head=None)


def words_of(method: Superposition) -> torch.Tensor:
    return method.get_buffer("prompts.0.words")


def test_words_are_rows_of_the_table_in_units_of_the_scale():
    table = words_at(START.scale).vectors(range(200))
    method = Superposition.start(SuperpositionSettings(words=7, num_frequent=50), [START])
    for word in words_of(method) * START.scale:
        (place,) = [i for i, row in enumerate(table) if torch.allclose(row, word)]
        assert place < 50


def test_the_seed_draws_the_words_and_a_neighbour_changes_nothing():
    other = replace(START, seed=9)
    one, both = (Superposition.start(SuperpositionSettings(words=5), starts) for starts in ([other], [START, other]))
    assert torch.equal(words_of(one), both.get_buffer("prompts.1.words"))
    assert not torch.equal(words_of(one), words_of(both))


def test_vectors_move_within_the_space_of_the_words():
    method = Superposition.start(SuperpositionSettings(words=2), [START])
    begun = method.materialise()[0].slots["soft"].embed
    with torch.no_grad():
        next(method.parameters_of(0)).normal_(generator=torch.Generator().manual_seed(0))
    moved = method.materialise()[0].slots["soft"].embed
    assert moved is not None
    assert begun is not None
    joined = torch.cat([moved - begun, words_of(method) * START.scale])
    assert torch.linalg.matrix_rank(joined, rtol=1e-5) == 2


def test_there_are_no_more_words_than_the_table_has():
    method = Superposition.start(SuperpositionSettings(words=1000, num_frequent=30), [START])
    assert words_of(method).shape == (30, 6)


def test_a_start_without_words_is_refused():
    with pytest.raises(ConfigError, match=r"knows none \[config.invalid\]"):
        Superposition.start(SuperpositionSettings(), [replace(START, words=None)])
