"""Small problems on a tiny model: rows made of numbers, no templates, so that a whole training takes a blink."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch

from softprompt.core.records import Answer, Node, Readout, Row, Soft, Text
from softprompt.lab.training.outcome import Event, Outcome
from softprompt.lab.training.problem import Problem
from softprompt.lab.training.settings import TrainingSettings
from softprompt.lab.training.trainer import Trainer
from softprompt.model.backbones.base import Backbone
from softprompt.model.methods.base import Method
from softprompt.model.methods.starts import Layers, from_vocabulary, head_from_answers, start_prompt
from softprompt.model.methods.table import parse_method, start_method
from softprompt.model.methods.vocabulary import Vocabulary
from softprompt.model.prompted import PromptedModel, Scores
from softprompt.model.states import StateStore
from softprompt.testing import tiny

LABELS = ((65, 257), (66, 67, 257), (66, 68, 257))

#: What each family of tests trains with unless it says otherwise.
SETTINGS = TrainingSettings(
    steps=6,
    batch_size=4,
    seeds=(0,),
    rate=0.05,
    evaluations=3,
    patience=9,
    micro_tokens=100_000,
    recompute="never",
    keep="best",
).resolved()


@cache
def llama() -> Backbone:
    """One model for all tests: it is frozen."""
    return tiny("llama")


def row(ids: Sequence[int], target: int, *, answers: str = "vectors", place: str = "after", weight: float = 1.0) -> Row:
    """A row of prompt 0: text, four soft tokens, a cue, the answers; but for the text on a decoder's side if said."""
    text, soft, cue = Text(tuple(ids), "text"), Soft("soft", 4), Text((58,))
    chain = (soft, text, cue) if place == "before" else (text, soft, cue)
    nodes = [
        Node(segment, i - 1 if i else None, "decoder" if i and place == "decoder" else "main")
        for i, segment in enumerate(chain)
    ]
    if answers == "vectors":
        nodes.append(Node(Readout(), 2))
    else:
        nodes.extend(Node(Answer(ids, i), 2) for i, ids in enumerate(LABELS))
    return Row(tuple(nodes), weight=weight, target={0: target})


def rows(count: int, *, seed: int = 0, **form: Any) -> list[Row]:
    """Texts of 3 to 12 tokens whose first token decides the label."""
    rng = random.Random(seed)
    made = []
    for i in range(count):
        label = i % 3
        ids = [97 + label, *(rng.randrange(32, 127) for _ in range(rng.randrange(2, 11)))]
        made.append(row(ids, label, weight=1.0 + (i % 4) / 2, **form))
    return made


def accuracy(targets: Sequence[int]) -> Callable[[int, Scores, Sequence[int]], float]:
    def judge(prompt: int, scores: Scores, indices: Sequence[int]) -> float:
        found = scores.values.argmax(1).tolist()
        return sum(guess == targets[i] for guess, i in zip(found, indices, strict=True)) / len(found)

    return judge


def problem(
    prompts: Sequence[int] = (0,),
    *,
    num_train: int = 12,
    num_validation: int = 6,
    masks: Sequence[Callable[[int], bool]] | None = None,
    **form: Any,
) -> Problem:
    """Prompts of the given seeds; ``masks[k](i)`` says whether prompt k learns from example i."""
    train, validation = rows(num_train, **form), rows(num_validation, seed=1, **form)
    shown = masks or [lambda i: True] * len(prompts)
    return Problem(
        train=[
            [one.for_prompt(k) if shown[k](i) else None for i, one in enumerate(train)] for k in range(len(prompts))
        ],
        validation=[[one.for_prompt(k) for one in validation] for k in range(len(prompts))],
        objectives=["choice"] * len(prompts),
        judge=accuracy([one.target[0] for one in validation]),
        seeds=list(prompts),
        lengths=[
            sum(len(node.segment) for node in one.nodes if not isinstance(node.segment, Readout)) for one in train
        ],
    )


def method(
    prompts: Sequence[int] = (0,),
    *,
    backbone: Backbone | None = None,
    name: str | Mapping[str, Any] = "plain",
    head: bool = True,
    max_rms: float | None = None,
    groups: Sequence[str] = (),
) -> Method[Any]:
    """Prompts of the given seeds at their starts, in the given groups."""
    model = backbone or llama()
    words = Vocabulary(model.embed, model.tokenizer.encode, 256)
    vectors = head_from_answers(model.output_vectors, [ids[:-1] for ids in LABELS]) if head else None
    starts = [
        start_prompt(
            {"soft": (4, from_vocabulary(words))},
            scale=words.statistics.rms,
            seed=seed,
            head=vectors,
            head_scale=0.2,
            words=words,
            kept={"soft": 1},
            layers={"soft": Layers(3, lambda vectors, layer: model.prefill(vectors, layer=layer))},
        )
        for seed in prompts
    ]
    starts = [replace(one, group=group) for one, group in zip(starts, groups or [""] * len(starts), strict=True)]
    return start_method(parse_method(name), starts, max_rms=max_rms)


def trainer(
    prompts: Sequence[int] = (0,),
    *,
    settings: TrainingSettings = SETTINGS,
    task: Problem | None = None,
    backbone: Backbone | None = None,
    rates: Sequence[float] | None = None,
    store: StateStore | None = None,
    name: str | Mapping[str, Any] = "plain",
    answers: str = "vectors",
    change: Callable[[Method[Any]], None] = lambda method: None,
    groups: Sequence[str] = (),
    **rest: Any,
) -> Trainer:
    """A trainer of small prompts, not yet run."""
    model = backbone or llama()
    form = {"head": answers == "vectors", "max_rms": settings.max_rms, "groups": groups}
    made = method(prompts, backbone=model, name=name, **form)
    with torch.no_grad():
        change(made)
    return Trainer(
        PromptedModel(model),
        made,
        task or problem(prompts, answers=answers),
        settings=settings,
        rates=rates or [settings.rate or 0.05] * len(prompts),
        store=store,
        **rest,
    )


def filled(task: Problem, backbone: Backbone | None = None, **budget: Any) -> StateStore:
    """A store that holds the problem's texts."""
    from softprompt.model.states import Budget

    store = StateStore(backbone or llama(), Budget(**budget), chunk_tokens=64)
    store.fill([one for part in (task.train, task.validation) for rows in part for one in rows if one is not None])
    return store


def same(left: Sequence[Outcome], right: Sequence[Outcome]) -> bool:
    """Whether two trainings ended bit for bit alike."""
    return [bits(one) for one in left] == [bits(one) for one in right]


def bits(one: Outcome) -> tuple[Any, ...]:
    tensors = [(name, tensor.numpy().tobytes()) for name, tensor in one.tensors.tensors()]
    return (tensors, repr((one.value, one.loss)), one.step, one.stop, one.losses, one.evaluations)


class Interrupt:
    """A callback that raises at the n-th event."""

    def __init__(self, after: int, error: type[BaseException]) -> None:
        self.left, self.error = after, error

    def __call__(self, event: Event) -> None:
        self.left -= 1
        if self.left == 0:
            raise self.error("here")
