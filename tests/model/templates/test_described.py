"""What a manifest keeps under ``template``: there and back, and what nobody wrote is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.errors import TemplateError
from softprompt.model.templates import Described, Template

TEMPLATE = Template.parse("{question} about {text}<soft 3> It is {answer}", keep={"text": "tail"})


@given(st.none() | st.integers(1, 10**6), st.booleans(), st.integers(1, 10**6))
def test_there_and_back(max_tokens: int | None, strip_html: bool, most: int) -> None:
    described = Described(TEMPLATE, max_tokens, strip_html)
    assert Described.from_dict(described.to_dict()) == described
    assert described.room(most) == min(most, max_tokens or most)


def test_a_plain_template_is_written_as_it_was_before_there_was_more() -> None:
    assert Described(TEMPLATE).to_dict() == TEMPLATE.to_dict()


def test_keys_of_a_later_version_mean_nothing_here() -> None:
    assert Described.from_dict({**TEMPLATE.to_dict(), "tone": "calm"}) == Described(TEMPLATE)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"max_tokens": "many"}, "'max_tokens' of a saved template cannot be 'many'; allowed: a whole number from 1"),
        ({"max_tokens": 0}, "cannot be 0"),
        ({"max_tokens": True}, "cannot be True"),
        ({"strip_html": "yes"}, "'strip_html' of a saved template cannot be 'yes'; allowed: true, false"),
    ],
)
def test_what_nobody_wrote_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(TemplateError, match=says) as caught:
        Described.from_dict({**TEMPLATE.to_dict(), **changes})
    assert caught.value.code == "template.invalid"
