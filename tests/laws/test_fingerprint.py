"""Law 8: which model is this?"""

import pytest

from softprompt.testing import FAMILIES, tiny
from tests.laws.checks import check_fingerprint
from tests.laws.strategies import EVERY


@pytest.mark.parametrize("family", EVERY)
def test_the_fingerprint_touches_every_tensor_and_not_the_dtype(family):
    check_fingerprint(tiny(family).model)


def test_equal_models_have_equal_fingerprints_and_others_do_not():
    marks = {tiny(family, seed=seed).spec.fingerprint for family in FAMILIES for seed in (0, 1)}
    assert len(marks) == 2 * len(FAMILIES)
    assert tiny("opt").spec.fingerprint == tiny("opt").spec.fingerprint
