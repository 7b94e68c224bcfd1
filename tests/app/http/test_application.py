"""The paths: answers equal the engine's, in the shapes that clients know, and every fault is a document with a code."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from softprompt.app.http.application import make_app
from softprompt.app.http.bodies import WriteBody
from softprompt.core.decoding import Decoding
from softprompt.core.records import Example
from softprompt.model.prediction import Predictor
from softprompt.ops.serving import Engine, Limits, Served
from softprompt.testing import tiny
from tests.ops.serving.desk import TEXTS, served


@pytest.fixture(scope="module")
def backbone():
    return tiny()


@pytest.fixture(scope="module")
def engine(backbone) -> Iterator[Engine]:
    with Engine(backbone, served(backbone), limits=Limits(max_texts=8, max_characters=2000)) as running:
        yield running


@pytest.fixture(scope="module")
def client(engine) -> TestClient:
    return TestClient(make_app(engine, version="1", max_body=10_000), raise_server_exceptions=False)


def posted(client: TestClient, path: str, **body: Any) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(client: TestClient, path: str, status: int, **body: Any) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    return answer.json()["error"]


def predicted(backbone, names, text):
    asks = [one.ask for one in served(backbone) if one.name in names]
    (found,) = Predictor(backbone, asks).predict([Example({"text": text}, id="1")])
    return found


# --- pages


def test_health_names_model_and_prompts(client, backbone):
    found = client.get("/health").json()
    assert (found["status"], found["prompts"]) == ("ok", ["topic", "tone", "pick", "summary"])
    assert found["model"]["fingerprint"] == backbone.spec.fingerprint


def test_a_stopped_engine_is_not_healthy_and_says_so(backbone):
    with Engine(backbone, served(backbone)) as engine:
        client = TestClient(make_app(engine))
    assert client.get("/health").status_code == 503
    error = refused(client, "/v1/classify", 503, input="Fine", prompts=["topic"])
    assert (error["code"], error["type"]) == ("serving.stopping", "server_error")


def test_prompts_are_listed_as_models(client):
    found = client.get("/v1/models").json()
    assert [card["id"] for card in found["data"]] == ["topic", "tone", "pick", "summary"]
    assert found["data"][0] == client.get("/v1/models/topic").json()
    assert found["data"][0]["labels"] == ["billing", "delivery", "bill"]
    assert found["data"][0]["created"] == 1795248000
    assert found["data"][2]["fields"] == ["question", "text", "options"]
    assert client.get("/v1/models/topik").json()["error"]["code"] == "serving.unknown_prompt"


def test_the_schema_is_served_and_no_page_loads_anything_from_elsewhere(client):
    schema = client.get("/openapi.json").json()
    assert {"/v1/classify", "/classify", "/v1/completions", "/v1/chat/completions"} <= set(schema["paths"])
    assert "input" in json.dumps(schema["components"]["schemas"]["ClassifyBody"])
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404


# --- classification


@pytest.mark.parametrize("text", TEXTS)
def test_probabilities_are_bit_for_bit_those_of_predict(client, backbone, text):
    found = posted(client, "/v1/classify", input=text, prompts=["topic", "tone"])["data"][0]["answers"]
    for name, one in zip(("topic", "tone"), predicted(backbone, ["topic", "tone"], text), strict=True):
        assert found[name]["probabilities"] == dict(one.probabilities)
        assert (found[name]["label"], found[name]["abstained"]) == (one.text, False)


def test_lists_objects_and_all_prompts(client):
    row = {"text": "Fine", "question": "Which?", "options": ["this", "that"]}
    found = posted(client, "/v1/classify", input=[row, {**row, "options": ["a", "b", "c"]}])
    assert [list(one["answers"]) for one in found["data"]] == [["topic", "tone", "pick"]] * 2
    assert list(found["data"][1]["answers"]["pick"]["probabilities"]) == ["a", "b", "c"]
    assert set(found["milliseconds"]) == {"waited", "computed"}


def test_unsure_answers_are_withheld(client):
    (found,) = posted(client, "/v1/classify", input="Fine", prompts=["topic"], min_confidence=1)["data"]
    assert found["answers"]["topic"]["label"] is None
    assert found["answers"]["topic"]["abstained"]


def test_one_prompt_in_the_form_of_vllm(client, backbone):
    found = posted(client, "/classify", model="topic", input=TEXTS[:2])
    assert (found["object"], found["model"], len(found["data"])) == ("list", "topic", 2)
    first = posted(client, "/classify", model="topic", input=TEXTS[0])["data"][0]
    (expected,) = predicted(backbone, ["topic"], TEXTS[0])
    assert first == {
        "index": 0,
        "label": expected.text,
        "probs": list(expected.probabilities.values()),
        "num_classes": 3,
    }
    assert found["usage"]["prompt_tokens"] == found["usage"]["total_tokens"] > len(TEXTS[0]) + len(TEXTS[1])


# --- completions


def test_a_completion_is_what_predict_writes(client, backbone):
    found = posted(client, "/v1/completions", model="summary", prompt=TEXTS[1])
    (expected,) = predicted(backbone, ["summary"], TEXTS[1])
    assert found["object"] == "text_completion"
    assert found["choices"][0]["text"] == expected.text
    assert found["choices"][0]["finish_reason"] in ("stop", "length")
    assert found["usage"]["completion_tokens"] <= 6
    chat = posted(client, "/v1/chat/completions", messages=[{"role": "user", "content": TEXTS[1]}])
    assert chat["object"] == "chat.completion"
    assert chat["choices"][0]["message"] == {"role": "assistant", "content": expected.text}
    assert chat["usage"] == found["usage"]


def test_settings_of_decoding_reach_the_model(client, engine):
    decoding = Decoding(method="sample", temperature=1.2, top_p=0.9, seed=5, max_new_tokens=4)
    expected = engine.write(TEXTS[:2], "summary", decoding=decoding, choices=2).result().rows
    settings = {"temperature": 1.2, "top_p": 0.9, "seed": 5, "max_tokens": 4, "n": 2}
    found = posted(client, "/v1/completions", prompt=TEXTS[:2], **settings)
    assert [choice["text"] for choice in found["choices"]] == [row.text for row in expected]
    assert [choice["index"] for choice in found["choices"]] == [0, 1, 2, 3]
    assert found["usage"]["completion_tokens"] == sum(row.tokens for row in expected)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, {"method": "sample", "temperature": 0.5, "seed": 7, "stop": ["."]}),
        ({"top_k": 3, "seed": 1}, {"method": "sample", "temperature": 0.5, "top_k": 3, "seed": 1, "stop": ["."]}),
        ({"temperature": 0, "top_p": 0.9}, {"method": "greedy", "stop": ["."]}),
        ({"stop": "!", "max_tokens": 3}, {"temperature": 0.5, "seed": 7, "stop": ["!"], "max_new_tokens": 3}),
    ],
)
def test_a_request_changes_what_the_task_says_and_keeps_the_rest(asked, expected):
    default = Decoding.parse({"temperature": 0.5, "seed": 7, "stop": ["."], "max_new_tokens": 9})
    assert WriteBody.parse(asked).decoding(default) == Decoding.parse({"max_new_tokens": 9, **expected})


def test_without_a_seed_draws_differ_and_temperature_0_does_not(client):
    def texts(**settings):
        found = [posted(client, "/v1/completions", prompt="Fine", **settings) for _ in range(4)]
        return {one["choices"][0]["text"] for one in found}

    assert len(texts(temperature=2)) > 1
    assert texts(temperature=0, seed=3) == texts()


def test_a_stop_text_ends_the_answer(client):
    whole = posted(client, "/v1/completions", prompt="Fine")["choices"][0]["text"]
    stop = next(character for character in whole[1:] if character not in whole[0])
    found = posted(client, "/v1/completions", prompt="Fine", stop=stop)["choices"][0]
    assert found == {"index": 0, "text": whole[: whole.index(stop)], "logprobs": None, "finish_reason": "stop"}


def events(answer) -> list[Any]:
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_a_stream_is_the_answer_in_pieces(client):
    whole = posted(client, "/v1/completions", prompt=TEXTS[1])
    body = {"prompt": TEXTS[1], "stream": True, "stream_options": {"include_usage": True}}
    *pieces, end, usage = events(client.post("/v1/completions", json=body))
    assert len(pieces) > 1
    assert "".join(one["choices"][0]["text"] for one in pieces) == whole["choices"][0]["text"]
    assert end["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert (usage["choices"], usage["usage"]) == ([], whole["usage"])
    chat = {"messages": [{"role": "user", "content": [{"type": "text", "text": TEXTS[1]}]}], "stream": True}
    *pieces, end = events(client.post("/v1/chat/completions", json=chat))
    assert pieces[0]["choices"][0]["delta"]["role"] == "assistant"
    assert "".join(one["choices"][0]["delta"]["content"] for one in pieces) == whole["choices"][0]["text"]
    assert {one["object"] for one in pieces} == {"chat.completion.chunk"}


def test_a_stream_that_cannot_begin_has_its_status(client):
    assert (
        "stream carries one answer"
        in refused(client, "/v1/completions", 400, prompt=["a", "b"], stream=True)["message"]
    )
    refused(client, "/v1/completions", 404, model="nobody", prompt="a", stream=True)


# --- what goes wrong


WRONG = [
    ("/v1/classify", 404, {"input": "a", "prompts": ["topik"]}, "serving.unknown_prompt", "did you mean 'topic'"),
    ("/v1/classify", 400, {"input": "a", "promts": ["topic"]}, "config.unknown_key", "did you mean 'prompts'"),
    ("/v1/classify", 400, {"prompts": ["topic"]}, "config.invalid", "input: field required"),
    ("/v1/classify", 400, {"input": "a", "prompts": []}, "config.invalid", "prompts"),
    ("/v1/classify", 400, {"input": "a", "min_confidence": 2}, "config.invalid", "min_confidence"),
    ("/v1/classify", 400, {"input": [], "prompts": ["topic"]}, "serving.bad_input", "empty"),
    ("/v1/classify", 400, {"input": [1], "prompts": ["topic"]}, "serving.bad_input", "input 1 is of type int"),
    (
        "/v1/classify",
        400,
        {"input": {"txt": "a"}, "prompts": ["topic"]},
        "serving.unknown_field",
        "did you mean 'text'",
    ),
    ("/v1/classify", 400, {"input": {}, "prompts": ["topic"]}, "serving.missing_field", "lacks 'text'"),
    ("/v1/classify", 400, {"input": "a", "prompts": ["summary"]}, "serving.wrong_task", "completions"),
    ("/v1/classify", 413, {"input": ["a"] * 9, "prompts": ["topic"]}, "serving.too_large", "9 texts"),
    ("/v1/classify", 413, {"input": "a" * 2001, "prompts": ["topic"]}, "serving.too_large", "2,001 characters"),
    ("/v1/classify", 413, {"input": "a" * 20_000}, "serving.too_large", "more than 10,000 bytes"),
    ("/classify", 404, {"input": "a"}, "serving.unknown_prompt", "3 of those served have labels: topic, tone, pick"),
    ("/classify", 400, {"input": {"text": "a"}, "model": "topic"}, "config.invalid", "input"),
    ("/classify", 400, {"input": "a", "model": "summary"}, "serving.wrong_task", "says no single label"),
    ("/v1/completions", 400, {"prompt": "a", "model": "topic"}, "serving.wrong_task", "ask it to classify"),
    ("/v1/completions", 400, {"prompt": "a", "n": 2}, "serving.unsupported", "temperature above 0"),
    ("/v1/completions", 400, {"prompt": "a", "top_n": 2}, "config.unknown_key", "did you mean 'top_p'"),
    ("/v1/completions", 400, {"prompt": "a", "max_tokens": 0}, "config.invalid", "max_tokens"),
    ("/v1/completions", 400, {"prompt": "a", "stop": [""]}, "serving.unsupported", "stop"),
    ("/v1/completions", 400, {"prompt": "a", "stream_options": {}}, "serving.unsupported", "no stream"),
    ("/v1/chat/completions", 400, {"messages": []}, "config.invalid", "messages"),
    (
        "/v1/chat/completions",
        400,
        {"messages": [{"role": "system", "content": "Be kind"}, {"role": "user", "content": "a"}]},
        "serving.unsupported",
        "the messages are system, user",
    ),
    (
        "/v1/chat/completions",
        400,
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "config.invalid",
        "messages",
    ),
]


@pytest.mark.parametrize(("path", "status", "body", "code", "words"), WRONG)
def test_what_is_wrong_is_said(client, path, status, body, code, words):
    error = refused(client, path, status, **body)
    assert error["code"] == code
    assert words in error["message"]
    assert error["type"] == "invalid_request_error"
    assert len(error["message"]) <= 1000


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"{", "application/json", "no valid JSON"),
        (b'{"input": "a"}', "application/x-www-form-urlencoded", "Content-Type: application/json"),
        (b"[1]", "application/json", "the body is a list, a JSON object is needed"),
        (b"", "application/json", "the body is nothing"),
        (b"\xff", "application/json", ""),
    ],
)
def test_a_body_that_is_no_object_is_refused(client, content, kind, words):
    answer = client.post("/v1/classify", content=content, headers={"Content-Type": kind})
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


def test_unknown_paths_and_methods(client):
    answer = client.post("/v1/clasify", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "serving.unknown_path")
    assert "did you mean '/v1/classify'" in answer.json()["error"]["message"]
    answer = client.get("/v1/classify")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_a_body_without_a_length_is_bounded_too(client):
    def endless():
        for _ in range(10**6):
            yield b" " * 1000

    answer = client.post("/v1/classify", content=endless(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "serving.too_large")


def test_a_bug_is_told_without_its_words(backbone, monkeypatch):
    bugs: list[Exception] = []
    with Engine(backbone, served(backbone)) as engine:
        monkeypatch.setattr(engine._desk, "work", lambda requests: {}["the text of a customer"])
        client = TestClient(make_app(engine, on_bug=bugs.append))
        error = refused(client, "/v1/classify", 500, input="Fine", prompts=["topic"])
    assert error["code"] == "bug"
    assert "customer" not in error["message"]
    assert [type(bug) for bug in bugs] == [KeyError]


def test_the_log_has_a_record_a_request_and_no_text(backbone, engine):
    records: list[dict[str, Any]] = []
    client = TestClient(make_app(engine, log=records.append))
    posted(client, "/v1/classify", input=["secret one", "secret two"], prompts=["topic", "tone"])
    client.post("/v1/completions", json={"prompt": "secret", "stream": True})
    client.get("/v1/secret")
    refused(client, "/v1/classify", 404, input="secret", prompts=["secret"])
    kept = [{key: value for key, value in record.items() if key not in ("time", "milliseconds")} for record in records]
    assert kept == [
        {"method": "POST", "path": "/v1/classify", "status": 200, "prompts": ["topic", "tone"], "texts": 2},
        {"method": "POST", "path": "/v1/completions", "status": 200, "prompts": ["summary"], "texts": 1},
        {"method": "GET", "path": "", "status": 404},
        {"method": "POST", "path": "/v1/classify", "status": 404},
    ]
    assert all(record["milliseconds"] > 0 for record in records)
    assert "secret" not in json.dumps(records)


def test_the_only_prompt_needs_no_name(backbone):
    topic = served(backbone)[0]
    with Engine(backbone, [Served("only", topic.ask)]) as engine:
        client = TestClient(make_app(engine))
        assert posted(client, "/classify", input="Fine")["model"] == "only"
        assert list(posted(client, "/v1/classify", input="Fine")["data"][0]["answers"]) == ["only"]
        error = refused(client, "/v1/completions", 404, prompt="Fine")
    assert "0 of those served write text: none" in error["message"]
