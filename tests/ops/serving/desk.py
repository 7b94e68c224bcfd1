"""Prompts with random vectors over a tiny model, under names; and an engine that begins when a test says so."""

import threading

import torch

from softprompt.core.tasks import Task
from softprompt.core.tensors import PromptTensors, SlotTensors
from softprompt.model.prediction import Ask
from softprompt.model.templates import RowBuilder, Template
from softprompt.ops.serving import Served
from softprompt.testing import tiny

TOPIC = Task.classify(["billing", "delivery", "bill"])
TONE = Task.classify(["good", "bad"])
SUMMARY = Task.generate(max_new_tokens=6)
TEXTS = ["Where is it?", "I was billed twice in May, and nobody answers.", "Fine", "", "<eos> thanks ☃"]


def ask(backbone, template, task, *, seed=0, **settings):
    parsed = Template.parse(template)
    builder = RowBuilder(parsed, task, backbone.tokenizer, max_tokens=128)
    rng = torch.Generator().manual_seed(seed)
    slots = {
        name: SlotTensors(embed=torch.randn(slot.length, backbone.spec.embed_dim, generator=rng) * 0.5)
        for name, slot in parsed.slots.items()
    }
    return Ask(builder, PromptTensors(slots), **settings)


def served(backbone):
    """Two prompts that classify, one that chooses among fields of the row, and one that writes."""
    return [
        Served(
            "topic", ask(backbone, "{text}<soft 4> It was {answer}", TOPIC, seed=1), created="2026-11-21T08:00:00+00:00"
        ),
        Served("tone", ask(backbone, "{text}<soft 3> It was {answer}", TONE, seed=2)),
        Served("pick", ask(backbone, "{question}{? ({text})?}<soft 2>: {answer}", Task.choose("options"), seed=3)),
        Served("summary", ask(backbone, "{text}<soft 4> In short: {answer}", SUMMARY, seed=4)),
    ]


def backbone():
    return tiny()


def hold(engine, monkeypatch):
    """The engine's model waits for the returned event, and each call of it is noted as the sizes of its requests."""
    go, calls = threading.Event(), []
    work = engine._desk.work

    def held(requests):
        go.wait(10)
        calls.append([request.size for request in requests])
        return work(requests)

    monkeypatch.setattr(engine._desk, "work", held)
    return go, calls
