"""Tasks together: what they share is shared by seed, they take one rate, and teachers are a part of what is asked."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from softprompt.core.errors import ConfigError
from softprompt.core.tasks import Task
from softprompt.lab.distillation import Distillation
from softprompt.lab.multitask import taught, tune_together
from softprompt.lab.tuning import tune
from softprompt.model.methods.multitask import MultitaskSettings
from softprompt.model.methods.plain import PlainSettings
from tests.lab.lessons import SETTINGS, lesson, run
from tests.lab.training.small import bits, llama


def two() -> list[Any]:
    return [lesson("one"), lesson("two", "{text}<soft 3> was it? {answer}")]


def test_tasks_share_by_seed_and_take_the_first_ones_rate():
    found = tune_together(llama(), two(), settings=SETTINGS)
    one, other = found.learnt
    assert one.rate == other.rate
    assert one.probe
    assert not other.probe
    for k in range(2):  # a prompt a seed
        left, right = (learnt.outcomes[k].tensors.slots["soft"].embed for learnt in (one, other))
        assert left is not None
        assert right is not None
        assert torch.linalg.matrix_rank(left / right - 1, rtol=1e-3) <= 3
        assert one.outcomes[k].step == other.outcomes[k].step


def test_tasks_that_share_nothing_learn_as_if_alone():
    given = {"settings": SETTINGS.model_copy(update={"rate": 0.05})}
    together = tune_together(llama(), two(), method=PlainSettings(), **given)
    for mine, alone in zip(together.learnt, run(two(), **given).learnt, strict=True):
        assert [bits(one) for one in mine.outcomes] == [bits(one) for one in alone.outcomes]


def test_sharing_changes_what_is_learnt():
    given = {"settings": SETTINGS.model_copy(update={"rate": 0.05})}
    together = tune_together(llama(), two(), **given)
    alone = tune(llama(), two(), method=MultitaskSettings(), **given)
    for mine, own in zip(together.learnt, alone.learnt, strict=True):
        assert bits(mine.outcomes[0]) != bits(own.outcomes[0])


def test_a_killed_run_of_a_group_goes_on(tmp_path: Path):
    grouped = [replace(one, group="tasks") for one in two()]
    given = {"method": MultitaskSettings(), "settings": SETTINGS.model_copy(update={"checkpoint_every": 1e-9})}
    whole = tune(llama(), grouped, **given)
    left = [9]

    def cut(stage: str, event: Any) -> None:
        left[0] -= stage == "train"
        if left[0] == 0:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        tune(llama(), grouped, folder=tmp_path, on_event=cut, **given)
    again = tune(llama(), grouped, folder=tmp_path, **given)
    for one, other in zip(whole.learnt, again.learnt, strict=True):
        assert [bits(outcome) for outcome in one.outcomes] == [bits(outcome) for outcome in other.outcomes]


def test_teachers_say_a_part_of_what_rows_ask():
    task = lesson()
    teacher = run([task]).learnt[0].prompt
    asked = taught(llama(), task, teacher, distil=Distillation(share=0.5))
    assert all(shares is not None and sum(shares) == pytest.approx(1) for shares in asked.shares)
    for example, shares in zip(task.train, asked.shares, strict=True):
        assert example is not None
        assert shares is not None
        right = task.builder.task.names.index(example.target)
        assert 0.5 <= shares[right] < 1
    answers = taught(llama(), task, teacher, distil=Distillation(share=0.0))
    assert all(shares is not None and sorted(shares) == [0, 1] for shares in answers.shares)


def test_the_second_stage_learns_from_the_teachers():
    given = {"settings": SETTINGS.model_copy(update={"rate": 0.05})}
    plain, distilled = (tune_together(llama(), two(), distil=one, **given) for one in (None, Distillation(share=0.9)))
    assert bits(plain.learnt[0].outcomes[0]) != bits(distilled.learnt[0].outcomes[0])


def test_a_task_of_free_text_cannot_be_taught():
    free = lesson(answers="words", task=Task.generate(target="label"))
    teacher = run([lesson()]).learnt[0].prompt
    with pytest.raises(ConfigError, match=r"one: only tasks with one right answer.*config.invalid.*leave distil out"):
        taught(llama(), free, teacher, distil=Distillation())


def test_the_pages_example_runs(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """On a tiny model instead of the embedded one."""
    import softprompt as sp

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sp, "load_model", lambda name: llama(), raising=False)
    page = (repository / "docs/methods/multitask.md").read_text("utf-8")
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", page, re.S)[0], names)
    assert list(names["prompts"]) == ["topic", "urgent"]
    assert names["prompts"]["topic"].tensors.head.bias.shape == (4,)
    assert sorted(path.name for path in (tmp_path / "runs/run").iterdir() if path.is_dir()) == ["topic", "urgent"]
