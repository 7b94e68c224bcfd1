"""Laws 2, 3, 4 and 9 on random row trees: every road, all rows in one batch, equals transformers' own plain forwards.

One batch mixes rows of different length, prompts whose slots are named alike and differ in length, placements, several
roots, and heads beside answers; so equality with single, unpadded paths is padding, mixing, caching and scoring in one.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softprompt.testing import FAMILIES, SEQ2SEQ, tiny
from tests.laws.oracle import oracle
from tests.laws.roads import ROADS, assert_equal, travel
from tests.laws.strategies import prompts_for, rows_of, sided, sketches

batches = st.lists(sketches(), min_size=1, max_size=3)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=8)
@given(drawn=batches)
def test_every_road_equals_plain_transformers(family, drawn):
    check_every_road(tiny(family), drawn)


@pytest.mark.parametrize("family", SEQ2SEQ)
@settings(max_examples=4)  # each row is taken twice, with and without a part on the decoder's side
@given(drawn=batches)
def test_every_road_equals_plain_transformers_on_two_sides(family, drawn):
    """In float64: T5's attention is not scaled, and among random rows some lie where rounding grows to 2e-5."""
    check_every_road(tiny(family, dtype=torch.float64), drawn)


def check_every_road(backbone, drawn):
    rows = sided(backbone, rows_of(drawn))
    prompts = prompts_for(backbone)
    with torch.no_grad():
        truth = oracle(backbone, rows, prompts)
        for road in ROADS:
            assert_equal(travel(backbone, rows, prompts, road), truth)
