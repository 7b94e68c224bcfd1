"""The engine: the answers of the predictor, one reading for several prompts, waiting requests together."""

import threading

import pytest
import torch

from softprompt.core.answers import AnswerSettings
from softprompt.core.errors import ServingError, TemplateError
from softprompt.core.records import Answer, Example
from softprompt.core.tasks import Dialogue, Extract, Multilabel, Score
from softprompt.core.tensors import Head, PromptTensors
from softprompt.model.decoding import Decoding
from softprompt.model.prediction import Ask, Predictor
from softprompt.model.templates import RowBuilder, Template
from softprompt.ops.serving import Engine, Limits, Served
from softprompt.testing import tiny
from tests.ops.serving.desk import SUMMARY, TEXTS, ask, hold, served


@pytest.fixture(scope="module")
def backbone():
    return tiny()


@pytest.fixture
def engine(backbone):
    with Engine(backbone, served(backbone)) as running:
        yield running


def predicted(backbone, names, texts):
    asks = [one.ask for one in served(backbone) if one.name in names]
    return list(Predictor(backbone, asks).predict(Example({"text": text}, id=str(n)) for n, text in enumerate(texts)))


@pytest.mark.parametrize("names", [["topic"], ["topic", "tone"]])
def test_one_text_gets_bit_for_bit_what_predict_says(engine, backbone, names):
    for text in TEXTS:
        (row,) = engine.judge(text, names).result().rows
        (expected,) = predicted(backbone, names, [text])
        assert [dict(one.probabilities) for one in row.values()] == [dict(one.probabilities) for one in expected]
        assert list(row) == names


def test_the_order_of_prompts_is_that_of_the_request(engine):
    (row,) = engine.judge("Fine", ["tone", "topic", "tone"]).result().rows
    assert list(row) == ["tone", "topic"]
    assert set(row["tone"].probabilities) == {"good", "bad"}


def test_without_names_all_that_do_not_write_are_asked(engine):
    (row,) = engine.judge({"text": "Fine", "question": "Which?", "options": ["this", "that"]}).result().rows
    assert list(row) == ["topic", "tone", "pick"]
    assert set(row["pick"].probabilities) == {"this", "that"}


def test_several_prompts_share_one_reading(backbone, engine, monkeypatch):
    batches = []
    forward = backbone.forward
    monkeypatch.setattr(backbone, "forward", lambda batch, *a, **k: (batches.append(batch), forward(batch, *a, **k))[1])
    engine.judge(TEXTS[1], ["topic", "tone"]).result()
    ids = backbone.tokenizer.encode(TEXTS[1])
    assert sum(getattr(node.segment, "ids", ()) == ids for batch in batches for row in batch for node in row.nodes) == 1


def test_what_waits_goes_together_and_is_the_same_as_alone(backbone, monkeypatch):
    with Engine(backbone, served(backbone), limits=Limits(max_batch=3)) as engine:
        go, calls = hold(engine, monkeypatch)
        first = engine.judge(TEXTS[0], ["topic"])
        while engine.num_waiting:
            pass
        behind = [engine.judge(text, ["topic"]) for text in TEXTS[1:]]
        go.set()
        found = [future.result().rows[0]["topic"].probabilities for future in (first, *behind)]
    assert calls == [[1], [1, 1, 1], [1]]
    for probabilities, (expected,) in zip(found, predicted(backbone, ["topic"], TEXTS), strict=True):
        assert probabilities == pytest.approx(dict(expected.probabilities), abs=1e-5)


def test_requests_for_other_prompts_are_worked_on_apart(backbone, monkeypatch):
    with Engine(backbone, served(backbone)) as engine:
        go, calls = hold(engine, monkeypatch)
        futures = [engine.judge("Fine", ["topic"])]
        while engine.num_waiting:
            pass
        futures += [engine.judge("Fine", names) for names in (["tone"], ["tone", "topic"], ["topic", "tone"], ["tone"])]
        go.set()
        answers = [list(future.result().rows[0]) for future in futures]
    assert answers == [["topic"], ["tone"], ["tone", "topic"], ["topic", "tone"], ["tone"]]
    assert calls == [[1], [1, 1], [1, 1]]


def test_a_fault_is_one_requests_own(backbone, monkeypatch):
    bare = Served("bare", next(one.ask for one in served(backbone) if one.name == "topic"))
    with Engine(backbone, [bare]) as engine:
        go, _ = hold(engine, monkeypatch)
        first = engine.judge("Fine")
        while engine.num_waiting:
            pass
        row = bare.ask.builder.row

        def refusing(example, **settings):
            if example.fields["text"] == "wrong":
                raise TemplateError("template.no_context", "nothing stands before the answer of this row")
            return row(example, **settings)

        monkeypatch.setattr(bare.ask.builder, "row", refusing)
        good, wrong, better = (engine.judge(text) for text in ("Fine", "wrong", "Fine"))
        go.set()
        assert good.result().rows[0]["bare"].text == better.result().rows[0]["bare"].text
        assert first.exception() is None
        with pytest.raises(TemplateError, match="nothing stands before"):
            wrong.result()


def test_more_than_may_wait_is_refused_and_what_waits_is_answered_at_the_end(backbone, monkeypatch):
    engine = Engine(backbone, served(backbone), limits=Limits(max_waiting=2, max_batch=1))
    engine.start()
    go, _ = hold(engine, monkeypatch)
    futures = [engine.judge("Fine", ["topic"])]
    while engine.num_waiting:
        pass
    futures += [engine.judge("Fine", ["topic"]) for _ in range(2)]
    with pytest.raises(ServingError, match=r"2 requests wait already \[serving\.busy\]"):
        engine.judge("Fine", ["topic"])
    closing = threading.Thread(target=engine.close)
    go.set()
    closing.start()
    closing.join(10)
    assert [future.result().rows[0]["topic"].text for future in futures] == [
        futures[0].result().rows[0]["topic"].text
    ] * 3
    assert not engine.ready
    with pytest.raises(ServingError, match=r"serving\.stopping"):
        engine.judge("Fine", ["topic"])
    engine.close()


def test_a_cancelled_request_is_not_worked_on(backbone, monkeypatch):
    with Engine(backbone, served(backbone)) as engine:
        go, calls = hold(engine, monkeypatch)
        first = engine.judge("Fine", ["topic"])
        while engine.num_waiting:
            pass
        assert engine.judge("Fine", ["topic"]).cancel()
        go.set()
        first.result()
    assert calls == [[1]]


def test_unsure_answers_are_withheld_by_prompt_or_by_request(backbone):
    prompts = [
        Served(one.name, one.ask, min_confidence=bar) for one, bar in zip(served(backbone), (1.0, 0.0), strict=False)
    ]
    with Engine(backbone, prompts) as engine:
        (kept,) = engine.judge("Fine").result().rows
        (asked,) = engine.judge("Fine", min_confidence=0.0).result().rows
    assert {name: one.abstained for name, one in kept.items()} == {"topic": True, "tone": False}
    assert not any(one.abstained for one in asked.values())


def test_tokens_before_the_answers_are_counted_where_asked(engine, backbone):
    found = engine.judge(TEXTS, ["topic", "tone"], count=True).result()
    builders = [one.ask.builder for one in served(backbone)[:2]]
    rows = [builder.row(Example({"text": text}), target=False) for text in TEXTS for builder in builders]
    before = [sum(len(node.segment) for node in row.nodes if not isinstance(node.segment, Answer)) for row in rows]
    assert found.prompt_tokens == sum(before)
    assert engine.judge(TEXTS, ["topic"]).result().prompt_tokens == 0


def test_times_are_those_of_waiting_and_of_work(backbone):
    ticks = iter(map(float, range(100)))
    with Engine(backbone, served(backbone), clock=lambda: next(ticks)) as engine:
        assert engine.judge("Fine", ["topic"]).result().times.to_dict() == {"waited": 1000, "computed": 1000}


def test_two_prompts_of_one_name_are_refused(backbone):
    with pytest.raises(ServingError, match=r"two prompts are called 'topic'.*NAME=PATH"):
        Engine(backbone, [*served(backbone), served(backbone)[0]])


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (["topik"], r"no prompt is called 'topik'; did you mean 'topic'\? known: pick, summary, tone, topic"),
        (["topic", "summary"], r"'summary' writes text, it has no labels .* ask it for completions"),
    ],
)
def test_wrong_prompts_are_named(engine, names, fault):
    with pytest.raises(ServingError, match=fault):
        engine.judge("Fine", names)


# --- written answers


@pytest.mark.parametrize("template", ["{text}<soft 4> In short: {answer}", "<soft 60>{text} In short: {answer}"])
def test_a_written_answer_is_the_predicted_one(backbone, template):
    one = ask(backbone, template, SUMMARY, seed=4)
    expected = [
        found.text for (found,) in Predictor(backbone, [one]).predict([Example({"text": text}) for text in TEXTS])
    ]
    with Engine(backbone, [Served("summary", one)]) as engine:
        found = engine.write(TEXTS, "summary").result()
        streamed = [[] for _ in TEXTS]
        for text, pieces in zip(TEXTS, streamed, strict=True):
            engine.write(text, "summary", on_text=pieces.append).result()
    assert [row.text for row in found.rows] == expected
    assert ["".join(pieces) for pieces in streamed] == expected
    assert all(1 <= row.tokens <= 6 and row.finished in ("length", "terminator") for row in found.rows)
    lengths = [one.builder.lengths(Example({"text": text})).prompt for text in TEXTS]
    assert found.prompt_tokens == sum(lengths)


def test_answers_within_a_schema_and_conversations_are_the_predicted_ones(backbone):
    schema = {"type": "object", "properties": {"place": {"type": "string", "maxLength": 3}}, "required": ["place"]}
    extract = Extract.parse({"schema": schema, "max_new_tokens": 40})
    asks = {
        "facts": ask(backbone, "{text}<soft 3> JSON: {answer}", extract, seed=5),
        "reply": ask(backbone, "{text}<soft 3>{answer}", Dialogue(max_new_tokens=5), seed=6),
    }
    examples = {"facts": Example({"text": "In Rome"}), "reply": Example({"text": "User: Hi"})}
    with Engine(backbone, [Served(name, one) for name, one in asks.items()]) as engine:
        for name, one in asks.items():
            ((expected,),) = Predictor(backbone, [one]).predict([examples[name]])
            (found,) = engine.write(examples[name].fields["text"], name).result().rows
            assert one.task.written_as(found.text) == expected.text
        turns = {"messages": [{"role": "user", "content": "Hi"}]}
        assert engine.write(turns, "reply").result().rows == (found,)
        assert engine.write("Hi", "reply").result().rows == (found,)


def test_sets_of_labels_and_numbers_are_the_predicted_ones(backbone):
    head = Head(torch.randn(2, backbone.spec.head_dim, generator=torch.Generator().manual_seed(0)), torch.zeros(2))
    many = RowBuilder(
        Template.parse("{text}: {answer}"),
        Multilabel.parse({"labels": ["late", "broken"]}),
        backbone.tokenizer,
        max_tokens=128,
        answers="vectors",
    )
    asks = {
        "faults": Ask(many, PromptTensors({}, head), AnswerSettings(form="vectors")),
        "stars": ask(backbone, "{text}<soft 2> Stars: {answer}", Score.parse({"scale": [1, 2, 3]}), seed=8),
    }
    (expected,) = Predictor(backbone, list(asks.values())).predict([Example({"text": TEXTS[1]})])
    with Engine(backbone, [Served(name, one) for name, one in asks.items()]) as engine:
        (found,) = engine.judge(TEXTS[1]).result().rows
        assert [one.to_dict() for one in found.values()] == [{**one.to_dict(), "id": "1"} for one in expected]
        assert not any(engine.find(name).says_one_label for name in asks)


def test_written_requests_that_wait_go_together_and_are_told_apart(backbone, monkeypatch):
    with Engine(backbone, served(backbone)) as engine:
        alone = [engine.write(text, "summary").result() for text in TEXTS]
        go, calls = hold(engine, monkeypatch)
        futures = [engine.write(TEXTS[0], "summary")]
        while engine.num_waiting:
            pass
        futures += [engine.write(TEXTS[1:3], "summary"), engine.write(TEXTS[3:], "summary")]
        go.set()
        together = [future.result() for future in futures]
    assert calls == [[1], [2, 2]]
    assert [row.text for found in together for row in found.rows] == [found.rows[0].text for found in alone]
    assert [found.prompt_tokens for found in together] == [
        alone[0].prompt_tokens,
        alone[1].prompt_tokens + alone[2].prompt_tokens,
        alone[3].prompt_tokens + alone[4].prompt_tokens,
    ]


def test_choices_are_those_of_seeds_one_after_another(engine):
    def sampled(seed):
        return Decoding(method="sample", temperature=1.5, seed=seed, max_new_tokens=5)

    found = engine.write(TEXTS[:2], "summary", decoding=sampled(7), choices=3).result().rows
    by_seed = [engine.write(TEXTS[:2], "summary", decoding=sampled(7 + n)).result().rows for n in range(3)]
    assert [row.text for row in found] == [by_seed[n][i].text for i in range(2) for n in range(3)]
    assert len({row.text for row in found}) > 2


def test_several_equal_answers_and_streams_of_several_are_refused(engine):
    with pytest.raises(ServingError, match="would all be the same without sampling"):
        engine.write("Fine", "summary", choices=2)
    with pytest.raises(ServingError, match="a stream carries one answer, not 2"):
        engine.write(["Fine", "Bad"], "summary", on_text=print)
    with pytest.raises(ServingError, match=r"'topic' answers a classify task.*ask it to classify"):
        engine.write("Fine", "topic")


def test_a_listener_that_is_gone_ends_its_answer(engine):
    class GoneError(Exception):
        pass

    def gone(text):
        raise GoneError

    with pytest.raises(GoneError):
        engine.write(TEXTS[0], "summary", on_text=gone).result()
    assert engine.ready
