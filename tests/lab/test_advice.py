"""The table of rules: each fires where it should and not elsewhere, votes for ways there are, and names its source."""

from dataclasses import replace

import hypothesis
import hypothesis.strategies as st
import pytest

from softprompt.lab.advice import CAUTIONS, PRIOR, RULES, WAYS, Facts, advise
from softprompt.lab.comparison.parsing import parse_entrant

PLAIN = Facts(
    kind="classify",
    rows=1500,
    test_rows=400,
    labels=4,
    fewest=60,
    tokens=30.0,
    parameters=2_000_000_000,
    embedded=False,
    accelerator=True,
)

#: Rule -> facts in which it applies, and the way that it speaks for or against.
CASES = {
    "the model can do it": (replace(PLAIN, majority=0.3, zero_shot=0.5, zero_shot_high=0.7), "before"),
    "the model cannot do it": (replace(PLAIN, majority=0.3, zero_shot=0.2, zero_shot_high=0.35), "lora"),
    "single words decide": (replace(PLAIN, lead_low=0.02, lead_high=0.2), "tfidf"),
    "the model's states decide": (replace(PLAIN, lead_low=-0.3, lead_high=-0.01), "embeddings"),
    "states and words are level": (replace(PLAIN, lead_low=-0.1, lead_high=0.05), "embeddings"),
    "very few rows": (replace(PLAIN, rows=20, fewest=5), "few-shot"),
    "few rows and many labels": (replace(PLAIN, rows=1200, labels=77, fewest=10), "embeddings"),
    "some rows": (replace(PLAIN, rows=300), "after"),
    "many rows": (replace(PLAIN, rows=20_000), "lora"),
    "a small model": (replace(PLAIN, parameters=100_000_000), "lora"),
    "a large model": (replace(PLAIN, parameters=8_000_000_000), "before"),
    "no accelerator": (replace(PLAIN, accelerator=False), "lora"),
    "long texts": (replace(PLAIN, tokens=300.0), "after"),
    "answers are written": (replace(PLAIN, kind="generate", labels=0, fewest=0), "tfidf"),
}

CAUTION_CASES = {
    "few test rows": replace(PLAIN, test_rows=40),
    "a model for trying": replace(PLAIN, embedded=True),
    "nothing is proved": replace(PLAIN, majority=0.5, zero_shot=0.3, tfidf=0.45, embeddings=0.5),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_applies_where_it_should_and_moves_the_votes(rule) -> None:
    facts, way = CASES[rule.name]
    assert not rule.when(PLAIN)
    assert rule.when(facts)
    found = advise(facts)
    told = [one for one in (*found.reasons, *found.against) if one.rule == rule.name]
    assert rule.votes.get(found.first, 0) == 0 or told
    others = sum(other.votes.get(way, 0) for other in RULES if other is not rule and other.when(facts))
    assert found.votes[way] == PRIOR[way] + others + rule.votes[way]


@pytest.mark.parametrize("rule", CAUTIONS, ids=lambda rule: rule.name)
def test_every_caution_is_said_where_it_should(rule) -> None:
    assert rule.name not in [one.rule for one in advise(PLAIN).cautions]
    (said,) = [one for one in advise(CAUTION_CASES[rule.name]).cautions if one.rule == rule.name]
    assert "{" not in said.why
    assert not rule.votes


def test_rules_vote_for_ways_that_can_be_compared_and_name_a_source() -> None:
    assert set(CASES) == {rule.name for rule in RULES}
    for rule in RULES:
        assert rule.votes
        assert set(rule.votes) <= set(WAYS) == set(PRIOR)
        assert len(rule.source) > 10
    assert all(parse_entrant(contender)["kind"] for _, contender in WAYS.values())


def test_what_few_rows_can_show_is_said_for_their_number() -> None:
    def told(rows: int) -> str:
        (one,) = (one for one in advise(replace(PLAIN, test_rows=rows)).cautions if one.rule == "few test rows")
        return one.why

    assert "24 rows judge: a score is good to within 20 points" in told(24)
    assert "96 rows judge: a score is good to within 10 points" in told(96)


def test_one_that_is_plainly_better_than_the_most_frequent_answer_is_enough() -> None:
    assert not replace(PLAIN, majority=0.5, zero_shot=0.3, tfidf=0.45, embeddings=0.51).unproved
    assert not replace(PLAIN, majority=0.5).unproved, "nothing was measured"


def test_words_come_first_only_where_they_beat_the_states_of_the_model() -> None:
    small = replace(PLAIN, rows=300, parameters=20_000_000, majority=0.3, zero_shot=0.25, zero_shot_high=0.5, tfidf=0.6)
    assert advise(replace(small, lead_low=0.01, lead_high=0.2)).first == "tfidf"
    level = advise(replace(small, lead_low=-0.1, lead_high=0.1))
    assert {level.first, level.second} == {"after", "embeddings"}
    assert level.sure == "open"


def test_how_sure_it_sounds_follows_the_lead() -> None:
    new_skill = advise(replace(PLAIN, rows=20_000, majority=0.3, zero_shot=0.2, zero_shot_high=0.3))
    assert (new_skill.first, new_skill.sure) == ("lora", "likely")
    assert new_skill.sentence == (
        "try LoRA first, which is likely but not certain; then TF-IDF with logistic regression"
    )
    assert advise(PLAIN).sure == "open"
    assert advise(PLAIN).sentence.startswith("it is open: try ")
    written = advise(replace(PLAIN, kind="generate", labels=0, fewest=0))
    assert "tfidf" not in written.contenders


@hypothesis.given(
    st.sampled_from(["classify", "generate"]),
    st.integers(4, 10**6),
    st.integers(0, 200),
    st.floats(1, 5000),
    st.integers(10**6, 10**12),
    st.booleans(),
    st.one_of(st.none(), st.floats(0, 1)),
)
def test_some_way_is_always_advised_and_told_in_words(
    kind, rows, labels, tokens, parameters, accelerator, score
) -> None:
    facts = Facts(
        kind=kind,
        rows=rows,
        test_rows=50,
        labels=labels if kind == "classify" else 0,
        fewest=1,
        tokens=tokens,
        parameters=parameters,
        embedded=False,
        accelerator=accelerator,
        majority=score,
        zero_shot=score,
        zero_shot_high=score,
        tfidf=score,
        embeddings=score,
        lead_low=None if score is None else score - 0.5,
        lead_high=None if score is None else score,
    )
    found = advise(facts)
    assert found.first != found.second
    assert len(found.contenders) >= 2
    assert "{" not in "".join(one.why for one in (*found.reasons, *found.against, *found.cautions))
