"""A model behind an API as a contender: asked in words, with or without answered training rows.

The request is the task's instruction and the template's own words without soft slots, in one message, so that it asks
what every other text prompt asks. What comes back is read as a label where exactly one is meant; an answer that names
none counts as wrong and is counted in the note. There are no probabilities.

Knows templates and tasks; HTTP and money stand in :mod:`~softprompt.lab.comparison.prompting.endpoint`.
"""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.data.duplicates import fold
from softprompt.lab.comparison.contenders import Fitted
from softprompt.lab.comparison.prompting.demonstrations import BETWEEN, by_label, demonstration, num_demonstrations
from softprompt.lab.comparison.prompting.endpoint import Answered, Endpoint
from softprompt.lab.comparison.prompting.similar import Nearest
from softprompt.lab.comparison.prompting.text_prompts import in_words
from softprompt.lab.comparison.settings import ApiSettings
from softprompt.model.prediction import Prediction, candidate_names
from softprompt.model.templates import Template

__all__ = ["ApiContender", "read_label"]

#: Longest answer where candidates are given: a model may say a little more than the label.
LABEL_TOKENS = 24


@dataclass(frozen=True)
class ApiContender:
    """A model behind an endpoint.

    Attributes:
        settings: Where it is, what is asked, with how many demonstrations.
        template: Soft slots are left out of it.
        endpoint: The client.
    """

    settings: ApiSettings
    template: Template
    endpoint: Endpoint

    @property
    def name(self) -> str:
        """In the table."""
        return self.settings.called

    def supports(self, task: Task) -> bool:
        return task.objective in {"choice", "likelihood"} and task.one_right and self.template.turns is None

    def fit(self, train: Dataset, validation: Dataset | None, task: Task, *, seed: int = 0) -> Fitted:
        """Chooses demonstrations; nothing is sent yet. Raises ``extra.missing`` for similar ones without an extra."""
        plain = in_words(self.template, task)
        similar = self.settings.shots and self.settings.choose == "similar"
        return _Asking(
            contender=self,
            task=task,
            plain=plain,
            instruction=_instruction(self.settings, task),
            train=train,
            nearest=Nearest(train, fields=plain.fields) if similar else None,
            drawn=_drawn(train, task, self.settings.shots, seed) if not similar else (),
        )


@dataclass(frozen=True, kw_only=True)
class _Asking:
    contender: ApiContender
    task: Task
    plain: Template
    instruction: str
    train: Dataset
    nearest: Nearest | None
    drawn: tuple[Example, ...]
    answered: list[Answered] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    num_trained: int = 0
    num_bytes: int = 0

    @property
    def note(self) -> str:
        """Demonstrations, and answers that named no candidate."""
        shown = f"{self._count} demonstrations" if self._count else ""
        lost = f"{len(self.unread)} answers named no candidate" if self.unread else ""
        return ", ".join(part for part in (shown, lost) if part)

    @property
    def latency_ms(self) -> float | None:
        """Median of the requests."""
        return statistics.median(one.ms for one in self.answered) if self.answered else None

    @property
    def usd(self) -> float | None:
        """What all requests cost; None without prices."""
        costs = [self.contender.endpoint.cost(one) for one in self.answered]
        found = [cost for cost in costs if cost is not None]
        return sum(found) if found else None

    @property
    def tokens(self) -> tuple[float | None, float | None]:
        """Read and written for one request, the mean, by the endpoint's count."""
        read = [one.tokens_in for one in self.answered if one.tokens_in is not None]
        written = [one.tokens_out for one in self.answered if one.tokens_out is not None]
        return (statistics.fmean(read) if read else None, statistics.fmean(written) if written else None)

    @property
    def _count(self) -> int:
        shots = self.contender.settings.shots
        return num_demonstrations(self.task, shots) if self.nearest else len(self.drawn)

    def predict(self, examples: Sequence[Example]) -> list[Prediction]:
        """Raises ``resource.endpoint``, ``resource.budget``."""
        if not examples:
            return []
        chosen = self._chosen(examples)
        prompts = [self._prompt(one, shown) for one, shown in zip(examples, chosen, strict=True)]
        by_task = LABEL_TOKENS if self.task.candidates(examples[0]) is not None else 0
        longest = self.contender.settings.max_tokens or by_task or int(getattr(self.task, "max_new_tokens", 64))
        found = self.contender.endpoint.ask(prompts, max_tokens=longest)
        self.answered.extend(found)
        return [self._prediction(one, said.text) for one, said in zip(examples, found, strict=True)]

    def _chosen(self, examples: Sequence[Example]) -> list[list[Example]]:
        if self.nearest is None:
            return [list(self.drawn)] * len(examples)
        rows = self.nearest(examples, count=self._count)
        return [[self.train[i] for i in reversed(near)] for near in rows]

    def _prompt(self, example: Example, shown: Sequence[Example]) -> str:
        demonstrations = [demonstration(self.plain, one, self.task) for one in shown]
        question = self.plain.render(example.fields, answer="").rstrip()
        candidates = self.task.candidates(example)
        choices = ""
        if not self.task.fixed_candidates and candidates:
            choices = "Choose one of these and answer with it alone:\n" + "\n".join(candidates) + BETWEEN
        return "".join([self.instruction, *demonstrations, choices, question])

    def _prediction(self, example: Example, said: str) -> Prediction:
        candidates = self.task.candidates(example)
        if candidates is None:
            return Prediction(example.id, self.task.written_as(said.strip()), None, 1.0)
        place = read_label(said, candidates, names=candidate_names(self.task, example))
        if place is None:
            self.unread.append(said)
            return Prediction(example.id, candidate_names(self.task, example)[0], None, 0.0, abstained=True)
        shares = [float(i == place) for i in range(len(candidates))]
        return Prediction(example.id, self.task.decode(shares, example), None, 1.0)


def read_label(said: str, candidates: Sequence[str], *, names: Sequence[str] = ()) -> int | None:
    """The candidate that an answer means: the first line that is one, else the only one that it begins with or names.

    Args:
        said: As it came.
        candidates: Their texts.
        names: What users call them; empty: the same.

    >>> read_label(" Billing.", ["billing", "delivery"]), read_label("It is about delivery", ["billing", "delivery"])
    (0, 1)
    >>> read_label("billing or delivery", ["billing", "delivery"]), read_label("not sure", ["billing", "delivery"])
    (0, None)
    """
    texts = [fold(text) or text for text in candidates]
    also = [fold(name) or name for name in names] or texts
    lines = [fold(line) for line in said.splitlines() if line.strip()]
    for line in lines:
        for i, forms in enumerate(zip(texts, also, strict=True)):
            if line in forms:
                return i
    whole = f" {' '.join(lines)} "
    longest_first = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    for i in longest_first:
        if whole.startswith((f" {texts[i]} ", f" {also[i]} ")):
            return i
    meant = {i for i in range(len(texts)) if f" {texts[i]} " in whole or f" {also[i]} " in whole}
    return meant.pop() if len(meant) == 1 else None


def _instruction(settings: ApiSettings, task: Task) -> str:
    """What is asked, before everything else."""
    if settings.instruction is not None:
        return settings.instruction.rstrip() + BETWEEN
    if task.fixed_candidates and task.says:
        return f"Answer with exactly one of these and nothing else: {', '.join(task.says)}.{BETWEEN}"
    return ""


def _drawn(train: Dataset, task: Task, shots: int, seed: int) -> tuple[Example, ...]:
    """Demonstrations, as many of each label, in an order by chance."""
    rng = random.Random(seed)
    piles = by_label(train, task, rng)
    chosen = [one for label in sorted(piles) for one in piles[label][:shots]]
    return tuple(rng.sample(chosen, len(chosen)))
