"""A comparison held on a tiny model: lines, costs, keys, what is kept, what is left out, what is stopped."""

import json
import re
from dataclasses import replace

import pytest

from softprompt.core.answers import AnswerSettings
from softprompt.core.errors import ConfigError, ModelError, TemplateError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison import contest as subject
from softprompt.lab.comparison.contest import Kept, hold, key_of
from softprompt.lab.comparison.entrants import default_entrants, entrant_of
from softprompt.lab.comparison.measuring.meter import Taken
from softprompt.lab.comparison.settings import BudgetSettings, CompareSettings
from softprompt.lab.comparison.stage import Stage
from softprompt.lab.learning_curve.entering import Entering
from softprompt.lab.training.settings import EFFORTS, TrainingSettings
from softprompt.model.backbones.weights.copies import module_of
from softprompt.model.methods.plain import PlainSettings
from softprompt.model.methods.residual import ResidualSettings
from softprompt.model.templates import RowBuilder, Template
from softprompt.testing import tiny

WORDS = {"no": "alpha", "yes": "beta"}
TASK = Task.classify(list(WORDS), metrics=("accuracy",))
BACKBONE = tiny()
TRAINING = TrainingSettings(
    steps=4, batch_size=4, probe_steps=2, rates=(0.03, 0.3), evaluations=1, seeds=(0, 1), micro_tokens=4096
).resolved()


def rows(count, start=0):
    names = list(WORDS)
    return [
        Example({"text": f"{WORDS[names[i % 2]]} {i}"}, names[i % 2], id=str(i)) for i in range(start, start + count)
    ]


def template_of(settings):
    text = (
        settings.template
        or {
            "before": "<soft 2>{text} is {answer}",
            "after": "{text}<soft 2> is {answer}",
            None: "{text}<soft 2> is {answer}",
        }[settings.place]
    )
    return Template.parse(text)


def stage(**changes):
    kept = {}
    builder = RowBuilder(
        Template.parse("{text}<soft 2> is {answer}"), TASK, BACKBONE.tokenizer, max_tokens=64, answers="vectors"
    )
    made = Stage(
        backbone=BACKBONE,
        builder=builder,
        answers=AnswerSettings(form="vectors"),
        splits={
            "train": Dataset(tuple(rows(12))),
            "validation": Dataset(tuple(rows(6, 12))),
            "test": Dataset(tuple(rows(10, 18))),
        },
        weighted=tuple(rows(12)),
        training=TRAINING,
        method=PlainSettings(),
        template_of=template_of,
        keep=lambda settings, seed, builder, method, tensors: kept.__setitem__((settings.called, seed), tensors),
        recall=lambda settings, seed: kept.get((settings.called, seed)),
    )
    return replace(made, **changes)


def entrants(*contenders, on=None):
    settings = CompareSettings.parse({"contenders": list(contenders)}).contenders
    on = on or stage()
    return on, [entrant_of(one, on, others=settings) for one in settings]


def test_lines_runs_and_costs(tmp_path):
    on, there = entrants("majority", "tfidf", "zero-shot", "before", "after", {"kind": "ensemble"})
    lines = hold(on, there, kept=Kept(tmp_path))
    by = {line.name: line for line in lines}
    assert [line.left_out for line in lines] == [""] * 6
    assert [len(line.runs) for line in lines] == [1, 1, 1, 2, 2, 1]
    soft, ensemble = by["soft prompt after"], by["ensemble of seeds"]
    assert soft.seeds == (0, 1)
    assert soft.spread is not None
    run = soft.runs[0]
    assert set(run.probe) == {"0.03", "0.3"}
    assert run.curve
    assert run.looks
    assert run.cost.num_trained == 2 * BACKBONE.spec.embed_dim + 2 * BACKBONE.spec.head_dim + 2
    assert run.cost.num_bytes == 4 * run.cost.num_trained
    assert run.cost.fit_seconds > 0
    assert run.cost.latency_ms > 0
    # the ensemble's own place of the soft prompt: the first of the table, before the text, read once for each
    assert ensemble.runs[0].cost.num_trained == 2 * by["soft prompt before"].runs[0].cost.num_trained
    assert ensemble.runs[0].cost.tokens > by["zero-shot text prompt"].runs[0].cost.tokens
    assert by["majority"].runs[0].cost.tokens is None
    assert [item.id for item in run.evaluation.items] == [row.id for row in on.splits["test"]]


class Counting:
    """A meter by which every piece of work takes a second, ten bytes and two joules, if it can tell at all."""

    tells: list[bool]

    def __init__(self, device):
        self.taken = Taken(1.0, 10, 2.0 if self.tells.pop(0) else None)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


@pytest.mark.parametrize(("tells", "joules"), [([True] * 5, 10.0), ([True, False, True, True, True], None)])
def test_what_was_learnt_for_a_part_is_paid_by_the_whole(monkeypatch, tells, joules):
    monkeypatch.setattr(subject, "Meter", Counting)
    monkeypatch.setattr(Counting, "tells", list(tells), raising=False)
    soft, ensemble = hold(*entrants("before", {"kind": "ensemble"}))
    assert Counting.tells == []  # each seed, and one look behind the last of them
    assert [run.cost.joules for run in soft.runs] == ([3.0, 3.0] if joules else [None, None])
    (whole,) = ensemble.runs
    assert (whole.cost.fit_seconds, whole.cost.peak_bytes, whole.cost.joules) == (5.0, 10, joules)


def test_a_rerun_runs_nothing_and_gives_the_same_lines(tmp_path):
    on, there = entrants("majority", "after")
    first = hold(on, there, kept=Kept(tmp_path))
    fresh = []
    again = hold(*entrants("majority", "after"), kept=Kept(tmp_path), on_line=lambda line, new: fresh.append(new))
    assert fresh == [False, False]
    assert json.dumps([line.to_dict() for line in again]) == json.dumps([line.to_dict() for line in first])


def test_a_further_contender_runs_alone_and_a_new_name_runs_nothing(tmp_path):
    hold(*entrants("majority", "after"), kept=Kept(tmp_path))
    fresh = {}
    named = {"kind": "soft", "place": "after", "name": "ours"}
    lines = hold(
        *entrants("majority", "tfidf", named),
        kept=Kept(tmp_path),
        on_line=lambda line, new: fresh.__setitem__(line.name, new),
    )
    assert fresh == {"majority": False, "TF-IDF + logistic regression": True, "ours": False}
    assert lines[2].runs[0].evaluation.name == "ours"


@pytest.mark.parametrize(
    "change",
    [
        {"training": TRAINING.model_copy(update={"steps": 5})},
        {"training": TRAINING.model_copy(update={"seeds": (0, 2)})},
        {"budget": BudgetSettings(tokens=500)},
        {"method": ResidualSettings()},
        {"answers": AnswerSettings(form="vectors", offsets=(0.0, 1.0))},
        {"splits": {**stage().splits, "test": Dataset(tuple(rows(9, 18)))}},
    ],
    ids=["steps", "seeds", "budget", "method", "offsets", "rows"],
)
def test_what_numbers_depend_on_changes_the_key(change):
    (one,), (other,) = (entrants("after", on=on)[1] for on in (stage(), stage(**change)))
    assert key_of(one) != key_of(other)


def test_what_they_do_not_depend_on_does_not():
    lines = [
        entrants("majority", on=on)[1][0] for on in (stage(), stage(training=TRAINING.model_copy(update={"steps": 9})))
    ]
    assert key_of(lines[0]) == key_of(lines[1])
    faster = TRAINING.model_copy(update={"checkpoint_every": 1.0})
    soft = [entrants("after", on=on)[1][0] for on in (stage(), stage(training=faster))]
    assert key_of(soft[0]) == key_of(soft[1])


def test_contenders_make_as_many_steps_as_the_rows_of_their_stage_want(monkeypatch):
    monkeypatch.setitem(EFFORTS, "quick", EFFORTS["quick"].model_copy(update={"steps": 2, "most": 20}))
    training = TrainingSettings(effort="quick", batch_size=4, rate=0.03, seeds=(0,))
    told = []
    on = stage(training=training, on_event=lambda stage, event: told.append(event.steps))
    assert on.spending(on.builder, cached=True).steps == 15
    assert replace(on, budget=BudgetSettings(steps=7)).spending(on.builder, cached=True).steps == 7
    settings = CompareSettings.parse({"contenders": ["after"]}).contenders[0]
    entering = Entering(settings, on)
    entering.fit(Dataset(tuple(rows(4))), Dataset(tuple(rows(4, 12))), TASK)
    assert set(told) == {5}
    wider = replace(on, weighted=tuple(rows(100)), splits={**on.splits, "train": Dataset(tuple(rows(100)))})
    assert Entering(settings, wider).identity == entering.identity
    longer = replace(on, training=training.model_copy(update={"steps": 9}))
    assert Entering(settings, longer).identity != entering.identity


def test_who_does_not_fit_is_said_and_the_others_go_on():
    lines = hold(
        *entrants(
            {"kind": "soft", "template": "{text} is {answer}"},
            {"kind": "api", "url": "http://127.0.0.1:9/v1", "model": "m", "key_env": "NO_SUCH_KEY_IS_SET"},
            "majority",
        )
    )
    assert [bool(line.runs) for line in lines] == [False, False, True]
    reasons = [line.left_out for line in lines]
    assert "no soft slot" in reasons[0]
    assert "NO_SUCH_KEY_IS_SET is not set" in reasons[1]


WRONG = {
    "field": ({"kind": "text", "template": "{nothing} is {answer}"}, TemplateError, "nothing"),
    "field of a soft prompt": ({"kind": "soft", "template": "{nothing}<soft 2> is {answer}"}, TemplateError, "nothing"),
    "module": ({"kind": "lora", "targets": ["q_proj", "v_projj"]}, ConfigError, "did you mean 'v_proj'"),
    "pattern": ({"kind": "lora", "targets": "(nowhere|here)"}, ConfigError, "not found in the base model"),
    "layer": ({"kind": "soft", "method": {"name": "late", "layer": 99}}, ConfigError, "99"),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_wrong_settings_of_the_last_are_refused_before_the_first_is_fitted(name):
    settings, error, said = WRONG[name]
    started = []
    with pytest.raises(error, match=re.escape(said)) as raised:
        hold(*entrants("majority", "after", {**settings, "name": "ours"}), on_start=started.append)
    assert started == []
    assert str(raised.value).startswith("ours: ")
    assert raised.value.cure


def test_columns_that_one_reads_besides_change_nobody_else():
    texts = {(row.id, row.content): {"title": f"title {row.id}"} for row in rows(28)}
    plain, wide = stage(), stage(further=texts)
    more = {"kind": "text", "template": "{title}: {text} is {answer}"}
    (_, before), (on, after) = entrants("majority", "after", on=plain), entrants("majority", "after", more, on=wide)
    assert [key_of(one) for one in before] == [key_of(one) for one in after[:2]]
    assert [row.fields["title"] for row in after[2].stage.splits["test"]] == [f"title {n}" for n in range(18, 28)]
    assert [row.fields["title"] for row in after[2].stage.weighted] == [f"title {n}" for n in range(12)]
    assert all(line.runs for line in hold(on, after[::2]))


def test_a_method_that_the_model_cannot_take_is_said_before_anybody_is_fitted():
    told, started = [], []
    behind = {"kind": "soft", "template": "{text}<soft 2>{answer}", "method": "deep", "name": "deep"}
    on = stage(answers=AnswerSettings(form="words"))
    lines = hold(
        *entrants("majority", behind, on=on),
        on_start=lambda name: started.append((name, list(told))),
        on_line=lambda line, fresh: told.append(line.name),
    )
    assert "an answer is read directly behind slot" in lines[1].left_out
    assert started == [("majority", ["deep"])]


def test_generation_leaves_out_who_needs_labels():
    task = Task.generate(target="answer", max_new_tokens=2)
    written = [Example(one.fields, f"w{one.target}", id=one.id) for one in rows(20)]
    on = stage(
        builder=RowBuilder(Template.parse("{text}<soft 2> is {answer}"), task, BACKBONE.tokenizer, max_tokens=64),
        answers=AnswerSettings(form="words"),
        splits={
            name: Dataset(tuple(written[a:b]))
            for name, a, b in (("train", 0, 10), ("validation", 10, 14), ("test", 14, 18))
        },
        weighted=tuple(written[:10]),
        training=TRAINING.model_copy(update={"seeds": (0,)}),
    )
    lines = hold(*entrants("tfidf", "embeddings", "zero-shot", on=on))
    assert "kind generate" in lines[0].left_out
    assert "kind generate" in lines[1].left_out
    assert lines[2].runs
    assert not {"tfidf", "embeddings"} & {one.kind for one in default_entrants(on)}


def test_ctrl_c_keeps_complete_lines_and_goes_on_in_the_middle(tmp_path):
    def stop(name, event):
        if name == "train" and event.kind == "step" and event.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hold(*entrants("majority", "after", on=stage(on_event=stop)), kept=Kept(tmp_path))
    fresh, steps = {}, []
    on, there = entrants("majority", "after", on=stage(on_event=lambda name, event: steps.append((name, event.step))))
    found = hold(on, there, kept=Kept(tmp_path), on_line=lambda line, new: fresh.__setitem__(line.name, new))
    assert fresh == {"majority": False, "soft prompt after": True}
    assert min(steps) > ("train", 1)
    whole = hold(*entrants("after"))[0]
    assert [run.evaluation.items for run in found[1].runs] == [run.evaluation.items for run in whole.runs]
    assert not any((tmp_path / "work").iterdir())


def test_a_changed_model_ends_the_comparison(monkeypatch):
    def bug(entrant, folder):
        next(module_of(BACKBONE).parameters()).data.view(-1)[0] += 1
        raise ModelError("model.changed", "somebody changed it")

    monkeypatch.setattr(subject.Entrant, "attempts", bug, raising=False)
    on, there = entrants("majority")
    monkeypatch.setattr(type(there[0]), "attempts", lambda self, folder: bug(self, folder))
    state = {name: one.clone() for name, one in module_of(BACKBONE).state_dict().items()}
    with pytest.raises(ModelError, match="somebody"):
        hold(on, there)
    module_of(BACKBONE).load_state_dict(state)


def test_defaults_fit_the_machine():
    names = [one.kind for one in default_entrants(stage())]
    assert names[0] == "majority"
    assert {"soft", "full", "ensemble"} <= set(names)
    assert "ensemble" not in [
        one.kind for one in default_entrants(stage(training=TRAINING.model_copy(update={"seeds": (0,)})))
    ]


def test_tokens_of_the_budget_become_steps():
    on = stage(budget=BudgetSettings(tokens=2000))
    after = on.spending(on.builder, cached=True).steps
    whole = on.spending(on.builder, cached=False).steps
    assert after > whole >= 1
