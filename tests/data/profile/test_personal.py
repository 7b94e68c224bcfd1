"""Personal data by its form: what has the right check digits is found, what only looks like it is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.data.profile.personal import find_personal, masked, personal_counts


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("write to ada.lovelace+x@mail.example.org.", "mail address"),
        ("pay to GB82 WEST 1234 5698 7654 32 please", "bank account"),
        ("DE89370400440532013000", "bank account"),
        ("card 5500-0000-0000-0004", "payment card"),
        ("call +44 20 7946 0958", "phone number"),
        ("call (030) 901820-11 today", "phone number"),
        ("from 192.168.10.254 yesterday", "IP address"),
    ],
)
def test_forms_are_found(text: str, form: str) -> None:
    assert [found for found, _ in find_personal(text)] == [form]


@pytest.mark.parametrize(
    "text",
    [
        "on 03.04.2024",
        "2024-03-04 10:12",
        "order 4111111111111112",
        "version 1.2.3.400",
        "3.14159",
        "12,50 EUR",
        "@ada",
    ],
)
def test_what_only_looks_like_it_is_not(text: str) -> None:
    assert find_personal(text) == []


@given(st.text(alphabet="0123456789", min_size=15, max_size=15))
def test_one_digit_in_ten_closes_a_card_number(digits: str) -> None:
    cards = [find_personal(f"4{digits[1:]}{last}") for last in "0123456789"]
    assert sum(("payment card") in [form for form, _ in found] for found in cards) == 1


@given(st.text())
def test_masking_leaves_nothing_whole(text: str) -> None:
    whole = f"{text} ada@example.org"
    assert "ada@example.org" not in masked(whole)
    assert set(personal_counts([whole])) >= {"mail address"}
