"""The scale of a table and its frequent words."""

import pytest
import torch

from softprompt.model.methods.vocabulary import TableStatistics, Vocabulary


def test_statistics_equal_those_of_the_whole_table_when_it_is_small():
    table = torch.randn(300, 8, generator=torch.Generator().manual_seed(0)) * 3 + 1
    measured = TableStatistics.measure(lambda ids: table[ids], size=300)
    torch.testing.assert_close(measured.mean, table.mean(0))
    torch.testing.assert_close(measured.std, table.std(0, correction=0))
    assert measured.rms == pytest.approx(table.square().mean().sqrt().item())


def test_statistics_of_a_large_table_are_sampled_over_all_of_it_and_are_always_the_same():
    size, asked = 100_000, []

    def vectors_of(ids: torch.Tensor) -> torch.Tensor:
        asked.append(ids)
        return ids[:, None].float() / size

    first = TableStatistics.measure(vectors_of, size=size)
    assert first.rms == TableStatistics.measure(vectors_of, size=size).rms
    assert len(asked[0]) == 4096
    assert (asked[0][0], asked[0][-1]) == (0, size - 1)
    assert first.rms == pytest.approx(3**-0.5, rel=1e-3)  # the RMS of uniform numbers in [0, 1)


def test_statistics_are_fp32_whatever_the_model_is_in():
    measured = TableStatistics.measure(lambda ids: torch.ones(len(ids), 4, dtype=torch.bfloat16), size=5)
    assert measured.mean.dtype == measured.std.dtype == torch.float32


def test_frequent_leaves_special_tokens_out_and_follows_the_counts():
    table = torch.zeros(10, 2)
    plain = Vocabulary(lambda ids: table[ids], lambda text: (), 10, frozenset({0, 1}))
    assert plain.frequent(3) == (2, 3, 4)
    assert plain.frequent(99) == tuple(range(2, 10))
    counted = Vocabulary(plain.embed, plain.tokenize, 10, frozenset({0}), {0: 100, 9: 5, 4: 7, 3: 0})
    assert counted.frequent(10) == (4, 9)


def test_vectors_come_from_the_callable_and_are_cut_from_its_graph():
    table = torch.ones(4, 2, requires_grad=True)
    words = Vocabulary(lambda ids: table[ids] * 7, lambda text: (), 4)  # a model that scales its embeddings
    vectors = words.vectors([1, 3])
    assert vectors.tolist() == [[7.0, 7.0], [7.0, 7.0]]
    assert not vectors.requires_grad
