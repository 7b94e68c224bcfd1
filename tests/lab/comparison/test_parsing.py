"""How contenders are written: every kind can be, every word means something, and what is neither is refused."""

from typing import get_args

import pytest

from softprompt.core.errors import ConfigError
from softprompt.lab.comparison.parsing import INCOMPLETE, KINDS, WORDS, parse_entrant
from softprompt.lab.comparison.settings import AnyEntrantSettings, CompareSettings
from softprompt.model.methods.table import METHODS


def test_the_kinds_are_those_of_the_settings() -> None:
    union, _ = get_args(AnyEntrantSettings)
    kinds = [kind for one in get_args(union) for kind in get_args(one.model_fields["kind"].annotation)]
    assert sorted(kinds) == sorted(KINDS)


@pytest.mark.parametrize("word", sorted({*KINDS, *WORDS, *METHODS} - set(INCOMPLETE)))
def test_every_word_alone_is_a_contender(word: str) -> None:
    (found,) = CompareSettings(contenders=word).contenders or ()
    assert found.kind == parse_entrant(word)["kind"]
    assert found.called


@pytest.mark.parametrize("word", sorted(INCOMPLETE))
def test_a_word_that_is_not_enough_says_what_to_write(word: str) -> None:
    with pytest.raises(ConfigError, match="needs more than its name") as caught:
        parse_entrant(word)
    assert caught.value.cure == f"write {INCOMPLETE[word]}"


@pytest.mark.parametrize(
    ("text", "kind"), [("{text} Topic: {answer}", "text"), ("{text}<soft 4> Topic: {answer}", "soft")]
)
def test_a_template_is_a_text_prompt_unless_it_has_soft_slots(text: str, kind: str) -> None:
    assert parse_entrant(text) == {"kind": kind, "template": text}


def test_a_mapping_of_no_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'lora'"):
        parse_entrant({"kind": "lorra"})
