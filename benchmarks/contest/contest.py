"""The run: every contender on every problem, cheap ones first, each result kept as soon as it stands."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from softprompt.lab.comparison import Contender, LinearProbe, Majority, TfidfLogistic
from softprompt.model.backbones.base import Backbone
from softprompt.model.templates import Template

from .our_tuning import OurTuning
from .outcomes import Clock, Cost, Outcome, Work
from .peft_tuning import PeftTuning, Setting
from .plan import CONTENDERS, Plan
from .problems import Problem

__all__ = ["play"]

#: All problems pass a stage before the next begins.
_STAGES = (("majority", "tfidf", "probe"), ("after",), ("peft_best",), ("before",), ("peft",))


def play(
    backbone: Backbone,
    problems: Sequence[Problem],
    plan: Plan,
    work: Work,
    *,
    on_outcome: Callable[[str, Outcome, float], None] = lambda problem, outcome, seconds: None,
) -> dict[str, dict[str, Outcome]]:
    """Outcomes by problem and contender.

    Args:
        backbone: The frozen model that all contenders use that use one.
        problems: In the order of the report.
        plan: How.
        work: Keeps results, and gives those back that stand; with ``only_kept`` the others are left out.
        on_outcome: Told the problem's name, each outcome, and how long it took now.
    """
    found: dict[str, dict[str, Outcome]] = {problem.name: {} for problem in problems}
    for stage in _STAGES:
        for problem in problems:
            for name in (name for name in stage if name in plan.contenders):
                start = time.perf_counter()
                try:
                    outcome = _outcome(name, backbone, problem, plan, work)
                except LookupError:
                    if not work.only_kept:
                        raise
                    continue
                found[problem.name][name] = outcome
                on_outcome(problem.name, outcome, time.perf_counter() - start)
    return {
        problem: {name: by_name[name] for name in CONTENDERS if name in by_name} for problem, by_name in found.items()
    }


def _outcome(name: str, backbone: Backbone, problem: Problem, plan: Plan, work: Work) -> Outcome:
    seeds = tuple(range(plan.seeds))
    if name in ("peft", "peft_best"):
        setting = Setting(steps=plan.steps, batch_size=plan.batch_size)
        peft = PeftTuning(backbone, problem, setting=setting, work=work)
        return peft.documented(seeds) if name == "peft" else peft.best(seeds, grid=plan.grid)
    if name in ("after", "before"):
        training = {"seeds": seeds, "steps": plan.steps, "batch_size": plan.batch_size, **plan.ours}
        settings = {"template": {"place": name}, "training": training}
        return OurTuning(backbone, problem, name=name, settings=settings, work=work).outcome()
    template = Template.preset("classify", fields=problem.fields)
    contender: Contender
    match name:
        case "tfidf":
            contender = TfidfLogistic(fields=problem.fields)
        case "probe":
            contender = LinearProbe(backbone, template)
        case _:
            contender = Majority()
    return _fitted(name, contender, backbone, problem, work)


def _fitted(name: str, contender: Contender, backbone: Backbone, problem: Problem, work: Work) -> Outcome:
    """A contender without luck: one fit."""

    def make() -> dict[str, Any]:
        clock = Clock()
        fitted = contender.fit(problem.train, problem.validation, problem.task)
        cost = clock.lap()
        task, rows = problem.task, problem.judged.rows
        right = [said.text == task.reference(one) for said, one in zip(fitted.predict(rows), rows, strict=True)]
        return Outcome(
            contender=name,
            seeds=(0,),
            right=("".join("1" if one else "0" for one in right),),
            validation=(None,),
            search=Cost(),
            train=cost,
            num_trained=fitted.num_trained,
            details={"note": fitted.note},
        ).to_dict()

    setting = {
        "model": backbone.spec.fingerprint,
        "dtype": str(backbone.spec.dtype),
        "rows": [problem.train.hash, problem.validation.hash, problem.judged.hash],
        "fields": list(problem.fields),
    }
    return Outcome.from_dict(work.once(problem.name, name, setting=setting, make=make))
