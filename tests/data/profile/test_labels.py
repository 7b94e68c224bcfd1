"""How labels are written."""

from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.tasks import Task
from softprompt.data.profile.labels import look_at_labels


def test_spellings_fold_into_the_commonest() -> None:
    found = look_at_labels(["billing", "Billing", "BILLING", "Billing", "not_urgent", "Not urgent.", "Not urgent."])
    assert dict(found.counts) == {"Billing": 4, "Not urgent.": 3}
    assert found.spellings == {"Billing": {"billing": 1, "BILLING": 1}, "Not urgent.": {"not_urgent": 1}}


def test_signs_that_matter_are_not_folded() -> None:
    assert len(look_at_labels(["C", "C#", "C++", "c++", "-1", "1", "A+"]).counts) == 6
    assert dict(look_at_labels(["+", "-", "-"]).counts) == {"-": 2, "+": 1}


def test_numbers_fold_by_value() -> None:
    found = look_at_labels(["1", "1.0", "2", "1"])
    assert dict(found.counts) == {"1": 3, "2": 1}
    assert found.whole_numbers


def test_gaps_are_no_labels() -> None:
    found = look_at_labels(["a", "", "NaN", "n/a", "none", "b"])
    assert list(found.counts) == ["a", "none", "b"]
    assert (found.num_missing, dict(found.gaps)) == (3, {"NaN": 1, "n/a": 1})


def test_codes_say_their_word_only_when_each_has_its_own() -> None:
    assert look_at_labels(["A_BILL_01", "B_BILL_02"]).says == {}
    assert look_at_labels(["BILL_01", "BILL_02"]).says == {}
    assert dict(look_at_labels(["01-bill", "02-post"]).says) == {"01-bill": "bill", "02-post": "post"}


def test_slips_are_reported_and_not_folded() -> None:
    found = look_at_labels(["delivery"] * 20 + ["delivry"])
    assert found.slips == (("delivry", "delivery"),)
    assert len(found.counts) == 2


def test_lists_of_labels_are_counted() -> None:
    assert look_at_labels(["a", "b", "a;b", "b|a", "c, d and more"]).num_several == 2


@given(st.lists(st.text(max_size=6), max_size=12))
def test_every_row_has_a_label_or_is_missing_and_the_task_knows_every_spelling(texts: list[str]) -> None:
    found = look_at_labels(texts)
    assert sum(found.counts.values()) + found.num_missing == len(texts)
    if len(found.counts) > 1:
        task = Task.classify({name: {"from": list(found.spellings.get(name, ()))} for name in found.counts})
        named = {text.strip() for text in texts} - set(found.gaps) - {""}
        assert {task.spelt(text) for text in named} == set(found.counts)
