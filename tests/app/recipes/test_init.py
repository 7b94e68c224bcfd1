"""``init`` over files as people have them: what it writes runs as it stands, what it cannot tell it says."""

from dataclasses import replace
from pathlib import Path

import pytest

from softprompt.app.config import ModelSettings, RunConfig
from softprompt.app.recipes.draft import MOST_LINES
from softprompt.app.recipes.init import Draft, Question, Wishes, init, save
from softprompt.app.recipes.plan import plan
from softprompt.app.recipes.prepare import load_backbone, prepare
from softprompt.app.recipes.tune import tune
from softprompt.app.watch import Watcher
from softprompt.app.yaml import read_yaml
from softprompt.core.errors import ConfigError, DataError, ModelError
from softprompt.model.backbones.base import Backbone
from softprompt.testing import tiny, tiny_tokenizer
from tests.app.recipes.files import CASES, UNCLEAR, Case, lines, messages, relabelled, table

GOOD = [case for case in CASES if not case.code]
BAD = [case for case in (*CASES, *UNCLEAR) if case.code]
TINY = {"training": {"steps": 3, "rate": 0.1, "seeds": [0], "evaluations": 1, "batch_size": 4}, "baselines": False}


@pytest.fixture(scope="module")
def model() -> Backbone:
    return load_backbone(ModelSettings(), Watcher())


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def drafted(case: Case, wishes: Wishes | None = None) -> Draft:
    Path(case.name).write_bytes(case.content)
    return init(case.name, wishes)


def names(cases: list[Case]) -> list[str]:
    return [case.name for case in cases]


def test_enough_files_are_tried_and_all_but_two_run() -> None:
    assert len(CASES) >= 20
    assert len(CASES) - len(GOOD) == 2


@pytest.mark.parametrize("case", GOOD, ids=names(GOOD))
def test_settings_run_as_they_are_written(case: Case, model: Backbone) -> None:
    draft = drafted(case, Wishes(**case.flags))
    save(draft, Path("run.yaml"))
    text = Path("run.yaml").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    assert all(said in text for said in case.says), text
    config = RunConfig.parse(read_yaml("run.yaml"))
    assert (config.task.kind, config.task.target) == (case.kind, case.target)
    assert ",".join(config.data.columns.values()) == case.text
    assert len(config.task.labels or config.task.scale or ()) == case.labels
    ready = prepare(config, backbone=model)
    assert ready.template.fields == tuple(config.data.columns)
    assert all(row.fields[name].strip() for row in ready.splits["train"] for name in ready.template.fields)
    ready.builder.row(ready.splits["train"][0])


@pytest.mark.parametrize("name", ["spellings.csv", "summaries.jsonl"])
def test_settings_learn(name: str, model: Backbone) -> None:
    (case,) = (case for case in CASES if case.name == name)
    draft = drafted(case)
    report = tune(draft.config.with_({"training": TINY["training"], "baselines": False}), backbone=model)
    assert (report.folder / "prompt" / "manifest.json").is_file()


KINDS = {case.kind: case for case in reversed(GOOD)}


@pytest.fixture(scope="module", params=["t5", "bart", "bert", "minilm"])
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that is not causal."""
    made, path = tiny(request.param), tmp_path_factory.mktemp("models") / request.param
    made.model.save_pretrained(path)
    tokenizer = tiny_tokenizer({"t5": "$A <eos>", "bart": "<bos> $A <eos>"}.get(request.param))
    if made.spec.kind == "masked":
        tokenizer.add_special_tokens({"mask_token": "<mask>"})
    tokenizer.save_pretrained(path)
    return path


@pytest.mark.usefixtures("few_resamples")
def test_settings_for_other_kinds_of_models_run_as_they_are_written(other: Path) -> None:
    for kind, case in KINDS.items():
        wishes = Wishes(**case.flags, model=str(other))
        if kind in ("generate", "extract", "dialogue") and other.name in ("bert", "minilm"):
            with pytest.raises(ModelError, match=r"model.cannot_write\]; .+"):
                drafted(case, wishes)
            continue
        save(drafted(case, wishes), path := Path(f"{kind}.yaml"))
        config = RunConfig.parse(read_yaml(path))
        assert config.model.name == str(other)
        if kind != "dialogue":
            assert ("<decoder>" in str(config.template.text)) is (other.name in ("t5", "bart"))
        assert plan(config).placement == "after"
    assert {"classify", "generate", "multilabel", "score"} <= set(KINDS)
    report = tune(RunConfig.parse(read_yaml("classify.yaml")).with_(TINY))
    assert (report.folder / "prompt" / "manifest.json").is_file()


@pytest.mark.parametrize("case", BAD, ids=names(BAD))
def test_what_cannot_be_told_is_said(case: Case) -> None:
    with pytest.raises(DataError) as caught:
        drafted(case, Wishes(**case.flags))
    assert caught.value.code == case.code
    assert case.name in str(caught.value)
    assert all(said in str(caught.value) for said in case.says), str(caught.value)


def test_a_path_without_a_model_is_said_at_once(tmp_path: Path) -> None:
    for model, code in [(str(tmp_path), "model.unreadable"), ("./nowhere", "model.not_found")]:
        with pytest.raises(ModelError) as caught:
            drafted(GOOD[0], Wishes(model=model))
        assert caught.value.code == code


def test_every_decision_has_a_reason_and_a_flag() -> None:
    for case in GOOD[:5]:
        draft = drafted(case)
        assert {"file", "target", "task", "text"} <= {decision.about for decision in draft.decisions}
        assert all(one.chosen and one.why and "--" in one.flag for one in draft.decisions)


def test_flags_settle_what_is_unclear() -> None:
    pairs, targets, *_ = UNCLEAR
    both = drafted(pairs, Wishes(target="relation", text_columns=("sent_more", "sent_less")))
    assert both.config.data.columns == {"sent_more": "sent_more", "sent_less": "sent_less"}
    assert drafted(targets, Wishes(target="sentiment")).config.task.target == "sentiment"


def test_questions_are_asked_where_somebody_can_answer() -> None:
    asked: list[Question] = []

    def answer(question: Question) -> tuple[str, ...]:
        asked.append(question)
        return question.options[-1:]

    Path("pairs.csv").write_bytes(UNCLEAR[0].content)
    draft = init("pairs.csv", Wishes(target="relation"), ask=answer)
    assert draft.config.data.columns == {"text": "sent_less"}
    (question,) = asked
    assert (question.options, question.flag, question.many) == (("sent_more", "sent_less"), "--text-column", True)


def test_spellings_are_kept_on_request() -> None:
    (case,) = (case for case in CASES if case.name == "spellings.csv")
    draft = drafted(case, Wishes(fold=False))
    assert tuple(draft.config.task.labels) == ("Billing", "billing", "Delivery")


def test_sentences_that_come_again_are_labels() -> None:
    labels = [f"the customer wants to have the {word} thing sent again" for word in ("red", "blue")]
    draft = drafted(Case("long.csv", table(("text", "label"), relabelled(20, labels))))
    assert (draft.config.task.kind, len(draft.config.task.labels or ())) == ("classify", 2)


def test_labels_that_are_given_are_taken() -> None:
    case = Case("stars.csv", table(("text", "stars"), relabelled(20, (0, 1))))
    draft = drafted(case, Wishes(labels={"0": "bad", "1": "good"}))
    assert draft.config.task.labels == {"0": "bad", "1": "good"}


def test_candidates_in_columns_make_a_choice() -> None:
    rows = [(f"Why {i}?", f"because {i}", f"so {i}", i % 2) for i in range(20)]
    draft = drafted(Case("choice.csv", table(("question", "choice1", "choice2", "label"), rows)))
    assert (draft.config.task.kind, draft.config.task.candidates) == ("choose", ("choice1", "choice2"))
    counted = [(*row[:3], row[3] + 1) for row in rows]
    with pytest.raises(DataError, match="count from 1"):
        drafted(Case("one.csv", table(("question", "choice1", "choice2", "label"), counted)), Wishes(task="choose"))


def test_a_text_column_called_otherwise_wins_over_one_called_text(model: Backbone) -> None:
    rows = [(text, "noise", label) for text, label in messages(20)]
    draft = drafted(Case("both.csv", table(("body", "text", "label"), rows)), Wishes(text_columns=("body",)))
    assert "noise" not in {row.fields["text"] for row in prepare(draft.config, backbone=model).splits["train"]}


def test_personal_data_is_counted_and_never_shown() -> None:
    rows = [{"text": f"{text} Mail ada{i}@example.org", "label": label} for i, (text, label) in enumerate(messages(20))]
    draft = drafted(Case("mails.jsonl", lines(rows)))
    assert draft.findings.personal == {"text": {"mail address": 20}}
    assert "example.org" not in str(draft.to_dict())


def test_many_rows_keep_some_for_the_score() -> None:
    draft = drafted(Case("many.csv", table(("text", "label"), messages(1000))))
    assert draft.config.data.split.test == 0.2


def test_a_file_that_is_there_is_not_overwritten() -> None:
    draft = drafted(replace(GOOD[1]))
    save(draft, Path("run.yaml"))
    with pytest.raises(ConfigError, match="--force") as caught:
        save(draft, Path("run.yaml"))
    assert caught.value.code == "config.file_exists"
    save(draft, Path("run.yaml"), force=True)


def test_rows_from_a_pipe_cannot_be_named() -> None:
    with pytest.raises(DataError, match="save the rows to a file"):
        init("-")
