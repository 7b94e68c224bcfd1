"""Which way to try first: facts about task, rows, model and machine against a table of rules, each with its source.

Every rule that applies gives or takes votes and says why. The way with most votes is the one to try first; how far it
leads decides how sure the advice sounds. It is a prior for the first hour: a comparison on your rows decides, and the
advice ends with the command for it. Knows facts; reads no rows and loads no model.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["RULES", "WAYS", "Advice", "Facts", "Reason", "Rule", "advise"]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What advice rests on; None where it is not known.

    Attributes:
        kind: Of the task.
        rows: Labelled rows to learn from.
        test_rows: Rows that judge.
        labels: How many there are; 0 where answers are written.
        fewest: Rows of the rarest label.
        tokens: Of a text, the mean.
        parameters: Of the model.
        embedded: Whether it is the small model of the package.
        accelerator: Whether the machine has one.
        majority: Share of the most frequent label in the judging rows.
        zero_shot: Lower bound of the share that the model answers rightly without training.
        zero_shot_high: The upper bound.
        tfidf: Lower bound of the share that TF-IDF with logistic regression answers rightly.
        embeddings: Lower bound of the share that logistic regression on the frozen model's states answers rightly.
        lead_low: Lower bound of TF-IDF's share less that of the states, on the same rows.
        lead_high: The upper bound.
    """

    kind: str
    rows: int
    test_rows: int
    labels: int
    fewest: int
    tokens: float
    parameters: int
    embedded: bool
    accelerator: bool
    majority: float | None = None
    zero_shot: float | None = None
    zero_shot_high: float | None = None
    tfidf: float | None = None
    embeddings: float | None = None
    lead_low: float | None = None
    lead_high: float | None = None

    @property
    def unproved(self) -> bool:
        """Whether nothing that was measured is plainly better than the most frequent answer."""
        found = [one for one in (self.zero_shot, self.tfidf, self.embeddings) if one is not None]
        return self.majority is not None and bool(found) and max(found) <= self.majority

    @property
    def fixed(self) -> bool:
        """Whether answers are labels."""
        return self.labels > 0


@dataclass(frozen=True)
class Rule:
    """One line of the table.

    Attributes:
        name: For tests and JSON.
        when: Whether it applies.
        votes: Way -> votes for it, or against.
        why: In plain words; ``{...}`` are facts.
        source: Where it comes from.
    """

    name: str
    when: Callable[[Facts], bool]
    votes: Mapping[str, int]
    why: str
    source: str


#: Way -> what it is, in words, and its contender in ``softprompt compare``.
WAYS: Mapping[str, tuple[str, str]] = {
    "after": ("a soft prompt after the text", "after"),
    "before": ("a soft prompt before the text", "before"),
    "lora": ("LoRA", "lora"),
    "embeddings": ("the frozen model's embeddings with logistic regression", "embeddings"),
    "tfidf": ("TF-IDF with logistic regression", "tfidf"),
    "few-shot": ("a text prompt with answered examples", "few-shot"),
}

#: Where nothing speaks for one of them: what costs least to try comes first.
PRIOR: Mapping[str, int] = {"after": 1, "before": 0, "lora": 0, "embeddings": 0, "tfidf": 1, "few-shot": 0}

RULES: tuple[Rule, ...] = (
    Rule(
        "the model can do it",
        lambda f: f.zero_shot is not None and f.majority is not None and f.zero_shot > f.majority,
        {"after": 2, "before": 2, "few-shot": 1},
        "untrained, the model is better than the most frequent answer: a prompt can steer what it can do already",
        "Petrov, Torr, Bibi, ICLR 2024, arXiv:2310.19698",
    ),
    Rule(
        "the model cannot do it",
        lambda f: f.zero_shot_high is not None and f.majority is not None and f.zero_shot_high < f.majority + 0.1,
        {"lora": 2, "tfidf": 1, "few-shot": -1},
        "untrained, the model is hardly better than the most frequent answer: new skills want LoRA, or no model",
        "Petrov, Torr, Bibi, ICLR 2024, arXiv:2310.19698; Biderman et al., TMLR 2024, arXiv:2405.09673",
    ),
    Rule(
        "single words decide",
        lambda f: f.lead_low is not None and f.lead_low > 0,
        {"tfidf": 3},
        "words alone, counted, are plainly better than a classifier of the model's states: hard to beat, nearly free",
        "Wang, Manning, ACL 2012, 90-94; measured, benchmarks/results/adopters.md",
    ),
    Rule(
        "the model's states decide",
        lambda f: f.lead_high is not None and f.lead_high < 0,
        {"embeddings": 3, "after": 2, "tfidf": -1},
        "a classifier of the model's states is plainly better than counted words; soft tokens after the text read them",
        "measured, benchmarks/results/adopters.md",
    ),
    Rule(
        "states and words are level",
        lambda f: f.lead_low is not None and f.lead_high is not None and f.lead_low <= 0 <= f.lead_high,
        {"embeddings": 1},
        "a classifier of the model's states and one of words cannot be told apart: both cost seconds to try",
        "measured, benchmarks/results/adopters.md",
    ),
    Rule(
        "very few rows",
        lambda f: f.rows < 32 or (f.fixed and f.fewest < 4),
        {"few-shot": 2, "embeddings": 1, "lora": -2, "before": -1},
        "{rows} labelled rows, {fewest} of the rarest label: training has little to hold on to or to choose by",
        "Perez, Kiela, Cho, NeurIPS 2021, arXiv:2105.11447",
    ),
    Rule(
        "few rows and many labels",
        lambda f: f.labels >= 10 and f.rows < 16 * f.labels,
        {"embeddings": 2, "few-shot": -1},
        "{labels} labels over {rows} rows: a classifier of the model's embeddings needs the fewest rows a label",
        "Tunstall et al. (SetFit), arXiv:2209.11055",
    ),
    Rule(
        "some rows",
        lambda f: 32 <= f.rows < 1000,
        {"after": 1, "before": 1},
        "with some hundred rows a prompt is worth most beside tuned weights",
        "Le Scao, Rush, NAACL 2021, arXiv:2103.08493",
    ),
    Rule(
        "many rows",
        lambda f: f.rows >= 2000,
        {"lora": 2, "tfidf": 1},
        "with {rows} rows the lead of prompts over tuned weights is gone",
        "Le Scao, Rush, NAACL 2021, arXiv:2103.08493",
    ),
    Rule(
        "a small model",
        lambda f: f.parameters < 1_000_000_000,
        {"lora": 1, "embeddings": 1},
        "{millions} million parameters: soft prompts reach tuned weights on large models, and lag on small ones",
        "Lester, Al-Rfou, Constant, EMNLP 2021, arXiv:2104.08691",
    ),
    Rule(
        "a large model",
        lambda f: f.parameters >= 3_000_000_000,
        {"after": 1, "before": 2},
        "on a model of this size soft prompts reach tuned weights",
        "Lester, Al-Rfou, Constant, EMNLP 2021, arXiv:2104.08691",
    ),
    Rule(
        "no accelerator",
        lambda f: not f.accelerator and f.parameters >= 100_000_000,
        {"after": 1, "before": -1, "lora": -2},
        "no accelerator: soft tokens after the text read it once for all steps, LoRA and those before in every one",
        "measured, benchmarks/results/step_time.md",
    ),
    Rule(
        "long texts",
        lambda f: f.tokens >= 100,
        {"after": 1},
        "texts of {tokens:.0f} tokens: reading them once instead of in every step saves most of the time",
        "measured, benchmarks/results/step_time.md",
    ),
    Rule(
        "answers are written",
        lambda f: not f.fixed,
        {"tfidf": -9, "embeddings": -9, "few-shot": 1, "before": 1},
        "answers are written: classifiers cannot take part, and vectors before the text steer how it goes on",
        "Li, Liang, ACL 2021, arXiv:2101.00190",
    ),
)

#: What is to be said beside the way, whichever it is.
CAUTIONS: tuple[Rule, ...] = (
    Rule(
        "few test rows",
        lambda f: f.test_rows < 100,
        {},
        "{test_rows} rows judge: a score is good to within {within} points at worst; more test rows decide more",
        "Card et al., EMNLP 2020, 9263-9274",
    ),
    Rule(
        "nothing is proved",
        lambda f: f.unproved,
        {},
        "nothing that was measured is plainly better than the most frequent answer: where a comparison says the same, "
        "another model is wanted, or many more labels",
        "measured, benchmarks/results/adopters.md",
    ),
    Rule(
        "a model for trying",
        lambda f: f.embedded,
        {},
        "the embedded model is for trying things; what wins on it does not predict what wins on yours (--model)",
        "its model card",
    ),
)


@dataclass(frozen=True)
class Reason:
    """A rule that applies, in words."""

    rule: str
    why: str
    source: str
    votes: Mapping[str, int]


@dataclass(frozen=True)
class Advice:
    """What to try first.

    Attributes:
        first: The way.
        second: What stands next.
        sure: How far it leads: ``clear``, ``likely`` or ``open``.
        reasons: Rules that speak for it, the strongest first.
        against: Rules that speak against it.
        cautions: What to keep in mind whichever way it is.
        votes: By way, the most first.
    """

    first: str
    second: str
    sure: str
    reasons: tuple[Reason, ...]
    against: tuple[Reason, ...]
    cautions: tuple[Reason, ...]
    votes: Mapping[str, int]

    @property
    def sentence(self) -> str:
        """In words."""
        first, second = WAYS[self.first][0], WAYS[self.second][0]
        if self.sure == "open":
            return f"it is open: try {first} and {second}, and compare them"
        doubt = ", which is likely but not certain" if self.sure == "likely" else ""
        return f"try {first} first{doubt}; then {second}"

    @property
    def contenders(self) -> tuple[str, ...]:
        """Who should be compared: the two ways, and the cheapest that they have to beat."""
        cheap = "tfidf" if self.votes["tfidf"] > -5 else "few-shot"
        return tuple(dict.fromkeys((WAYS[self.first][1], WAYS[self.second][1], cheap)))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "sentence": self.sentence, "contenders": list(self.contenders)}


def advise(facts: Facts) -> Advice:
    """Count the votes of all rules that apply.

    >>> facts = Facts(
    ...     kind="classify", rows=300, test_rows=200, labels=5, fewest=40, tokens=120.0, parameters=7_000_000_000,
    ...     embedded=False, accelerator=True, majority=0.2, zero_shot=0.5, zero_shot_high=0.6,
    ... )
    >>> advise(facts).sentence
    'try a soft prompt after the text first, which is likely but not certain; then a soft prompt before the text'
    """
    applying = [rule for rule in RULES if rule.when(facts)]
    votes = {way: prior + sum(rule.votes.get(way, 0) for rule in applying) for way, prior in PRIOR.items()}
    ranked = sorted(votes, key=lambda way: -votes[way])
    first, second = ranked[:2]
    lead = votes[first] - votes[second]
    told = [_reason(rule, facts) for rule in applying]
    return Advice(
        first,
        second,
        "clear" if lead >= 3 else "likely" if lead >= 1 else "open",
        tuple(sorted((one for one in told if one.votes.get(first, 0) > 0), key=lambda one: -one.votes[first])),
        tuple(one for one in told if one.votes.get(first, 0) < 0),
        tuple(_reason(rule, facts) for rule in CAUTIONS if rule.when(facts)),
        {way: votes[way] for way in ranked},
    )


def _reason(rule: Rule, facts: Facts) -> Reason:
    within = 98 / max(facts.test_rows, 1) ** 0.5  # points: 1.96 standard errors of a share of one half
    words = {**asdict(facts), "millions": f"{facts.parameters / 1e6:,.0f}", "within": f"{within:.0f}"}
    return Reason(rule.name, rule.why.format(**words), rule.source, dict(rule.votes))
