"""The result of a comparison as plain data: what reports, curves and cards read.

    ComparisonTable            one comparison: rows, budget, reference, lines, verdicts, environment
      .contenders: Line        one contender: its settings, and why it was left out, if it was
        .runs: RunRecord       one training and one judgement: a seed, an Evaluation (items with predictions), a Cost
      .verdicts: Against       every other line beside the reference, what decides first

``table.json`` of a comparison's folder is :meth:`ComparisonTable.to_dict`; ``ComparisonTable.from_dict`` reads it back,
in another process and without a model. Items stand in the order of the test rows in all runs, so any two runs can be
compared again (:meth:`Evaluation.score <softprompt.lab.evaluation.Evaluation.score>`), and rows that flip are found by
place. What could not be measured is None, never 0.

Knows evaluations and intervals; no models, no contenders and no files.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from softprompt.core.errors import DataError
from softprompt.core.stats import Interval, Verdict
from softprompt.lab.evaluation import Evaluation, interval_from

__all__ = ["CODE", "SCHEMA", "Against", "ComparisonTable", "Cost", "Line", "RunRecord"]

#: Of the document. Numbers of another schema are never mixed with these.
SCHEMA = 1

#: Of what a contender does. Raised when the same settings would give other numbers, so that nothing old is shown.
CODE = 1


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a run took.

    Attributes:
        fit_seconds: To learn, the probe of the learning rate included; 0 where nothing is learnt.
        predict_seconds: For all test rows in batches.
        latency_ms: One request alone, the median; None where it was not measured.
        num_trained: Learnt numbers.
        num_bytes: To store beside the model; 0 for a text prompt, the whole model for full fine-tuning.
        peak_bytes: Memory over what was in use before, at its highest while learning.
        tokens: That the model reads for one request, the mean over the test rows; None where no model is asked.
        tokens_out: That it writes for one request; 0 where answers are scored.
        joules: Energy of learning; None where the machine cannot tell.
        usd: What an API asked for, by the prices given; None where nobody asks money.
    """

    fit_seconds: float
    predict_seconds: float
    latency_ms: float | None = None
    num_trained: int = 0
    num_bytes: int = 0
    peak_bytes: int | None = None
    tokens: float | None = None
    tokens_out: float | None = None
    joules: float | None = None
    usd: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One contender, fitted once and judged on the test rows.

    Attributes:
        seed: Of every random choice; one for contenders that have none.
        evaluation: On the test rows, with its items.
        cost: What it took.
        note: What was chosen on the way, for people.
        probe: Validation score by learning rate (None: it diverged); empty where there was none.
        curve: (step, mean training loss) of the training; empty where there was none.
        looks: (step, validation score) of the training; None where it was not finite.
        started: When, ISO 8601, UTC.
    """

    seed: int
    evaluation: Evaluation
    cost: Cost
    note: str = ""
    probe: Mapping[str, float | None] = field(default_factory=dict)
    curve: tuple[tuple[int, float], ...] = ()
    looks: tuple[tuple[int, float | None], ...] = ()
    started: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        pairs = {"curve": [list(one) for one in self.curve], "looks": [list(one) for one in self.looks]}
        own = {"seed": self.seed, "note": self.note, "probe": dict(self.probe), "started": self.started}
        return {**own, **pairs, "cost": asdict(self.cost), "evaluation": self.evaluation.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_dict`."""
        return cls(
            seed=data["seed"],
            evaluation=Evaluation.from_dict(data["evaluation"]),
            cost=Cost(**_known(Cost, data["cost"])),
            note=data["note"],
            probe=dict(data["probe"]),
            curve=tuple((step, loss) for step, loss in data["curve"]),
            looks=tuple((step, value) for step, value in data["looks"]),
            started=data["started"],
        )


@dataclass(frozen=True, kw_only=True)
class Line:
    """One contender of the table.

    Attributes:
        name: For people, unique in the table.
        kind: ``majority``, ``tfidf``, ``embeddings``, ``zero-shot``, ``few-shot``, ``text``, ``soft``, ``ensemble``,
            ``lora``, ``full``, ``api``.
        config: Its resolved settings; no keys and no secrets.
        key: Content hash of everything that its numbers depend on; equal keys are not run again.
        runs: By seed; empty where it was left out.
        left_out: Why it has no numbers: it does not fit the task, an extra is missing, the money is spent; else empty.
        score: The metric that decides, over the seeds and the items; None without runs.
        spread: Standard deviation of the score over the seeds; None with fewer than two.
    """

    name: str
    kind: str
    config: Mapping[str, Any]
    key: str
    runs: tuple[RunRecord, ...] = ()
    left_out: str = ""
    score: Interval | None = None
    spread: float | None = None

    @property
    def seeds(self) -> tuple[int, ...]:
        """In the order of the runs."""
        return tuple(run.seed for run in self.runs)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "key": self.key,
            "left_out": self.left_out,
            "score": None if self.score is None else self.score.as_dict(),
            "spread": self.spread,
            "config": dict(self.config),
            "runs": [run.to_dict() for run in self.runs],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_dict`."""
        return cls(
            name=data["name"],
            kind=data["kind"],
            config=dict(data["config"]),
            key=data["key"],
            runs=tuple(RunRecord.from_dict(run) for run in data["runs"]),
            left_out=data["left_out"],
            score=None if data["score"] is None else interval_from(data["score"]),
            spread=data["spread"],
        )


@dataclass(frozen=True, kw_only=True)
class Against:
    """One contender beside the reference: what decides.

    Attributes:
        name: The contender.
        reference: What it is compared with.
        verdict: ``better``, ``worse`` or ``cannot tell``, of the contender.
        difference: Its score minus the reference's, on the same rows.
        p_value: Of no difference.
        p_adjusted: The same for all lines of the table together (Holm).
        test: How the p-value was had.
        detectable: Smallest true difference that so many rows would show four times in five; None where the metric is
            no share of right answers.
        rows_to_decide: Test rows that would show a difference as large as the one measured, four times in five; None
            where it is decided already, or where there is none to show.
        sentence: All of it in words.
    """

    name: str
    reference: str
    verdict: Verdict
    difference: Interval
    p_value: float
    p_adjusted: float
    test: str
    detectable: float | None
    rows_to_decide: int | None
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "difference": self.difference.as_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_dict`."""
        return cls(**_known(cls, {**data, "difference": interval_from(data["difference"])}))


@dataclass(frozen=True, kw_only=True)
class ComparisonTable:
    """One comparison.

    Attributes:
        name: Of the comparison.
        task: ``kind``, ``metrics``, ``labels``, ``template`` (as text).
        metric: The score that decides; of answers, so that it can be had again from the items.
        reference: Name of the line that the others stand beside; empty where no line has numbers.
        rows: By split ``count`` and ``hash``, and for ``train`` and ``test`` the rows a ``label``.
        budget: What every trained contender could spend: ``steps``, ``tokens`` or ``minutes``.
        seeds: Of the trained contenders.
        contenders: The lines, in the order asked for.
        verdicts: Every other line with numbers beside the reference, in the same order.
        verdict: One sentence for the whole table.
        warnings: What must be read with the numbers: test rows that stand in train, too few rows for a verdict.
        environment: Versions, machine, model with its fingerprint.
        config: The settings of the comparison.
        created: When the table was put together, ISO 8601, UTC: the one thing that a rerun changes.
    """

    name: str
    task: Mapping[str, Any]
    metric: str
    reference: str
    rows: Mapping[str, Mapping[str, Any]]
    budget: Mapping[str, int | float]
    seeds: tuple[int, ...]
    contenders: tuple[Line, ...]
    verdicts: tuple[Against, ...] = ()
    verdict: str = ""
    warnings: tuple[str, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    created: str = ""

    @property
    def judged(self) -> tuple[Line, ...]:
        """The lines that have numbers."""
        return tuple(line for line in self.contenders if line.runs)

    def line(self, name: str) -> Line:
        """The line of a name.

        Raises:
            KeyError: There is none.
        """
        return {line.name: line for line in self.contenders}[name]

    def against(self, name: str) -> Against | None:
        """What decides for one line; None for the reference itself, and for lines without numbers."""
        return {one.name: one for one in self.verdicts}.get(name)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON.

        >>> table = ComparisonTable(
        ...     name="demo", task={}, metric="accuracy", reference="", rows={}, budget={}, seeds=(0,), contenders=()
        ... )
        >>> ComparisonTable.from_dict(table.to_dict()) == table
        True
        """
        plain = ("name", "task", "metric", "reference", "verdict", "rows", "budget", "environment", "config", "created")
        return {
            "schema": SCHEMA,
            **{name: getattr(self, name) for name in plain},
            "seeds": list(self.seeds),
            "warnings": list(self.warnings),
            "verdicts": [one.to_dict() for one in self.verdicts],
            "contenders": [line.to_dict() for line in self.contenders],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_dict`.

        Raises:
            DataError: ``data.unknown_schema`` for a document of another version.
        """
        if data.get("schema") != SCHEMA:
            message = f"a comparison of schema {data.get('schema')!r}; this version reads {SCHEMA}"
            raise DataError("data.unknown_schema", message, cure="run softprompt compare again")
        parts = {
            "seeds": tuple(data["seeds"]),
            "warnings": tuple(data["warnings"]),
            "verdicts": tuple(Against.from_dict(one) for one in data["verdicts"]),
            "contenders": tuple(Line.from_dict(one) for one in data["contenders"]),
        }
        return cls(**_known(cls, {**data, **parts}))


def _known(cls: type[Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that a class knows; what a later version adds is left."""
    names = {one.name for one in fields(cls)}
    return {name: value for name, value in data.items() if name in names}
