"""``softprompt serve``: a real process that answers, stops when told, and says in one line why it cannot start."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import softprompt.app.cli.serve as serving
from softprompt.app.http.application import make_app
from softprompt.app.http.server import Server, bind, url_of
from softprompt.app.recipes.serve import open_engine
from softprompt.model.prompts.prompt import Prompt
from tests.app.cli.conftest import interruptible

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


@pytest.fixture
def running(prompts, tmp_path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A server of both prompts, and its first line."""
    program = "from softprompt.app.cli import main; main()"
    words = [sys.executable, "-c", program, "serve", str(prompts["good"]), f"mood={prompts['tone']}"]
    words += ["--port", "0", "--json", "--log-requests"]
    process = interruptible(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def test_it_answers_as_predict_does_and_stops_when_told(running, cli, prompts):
    process, said = running
    assert [prompt["name"] for prompt in said["prompts"]] == ["good", "mood"]
    assert ask(f"{said['url']}/health")["status"] == "ok"
    (found,) = ask(f"{said['url']}/v1/classify", {"input": "good 7"})["data"]
    (expected,) = cli("predict", prompts["good"], prompts["tone"], "--text", "good 7").lines
    for name, known in (("good", "good"), ("mood", "tone")):
        assert found["answers"][name]["probabilities"] == pytest.approx(expected["answers"][known]["probabilities"])
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    records = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert [(record["path"], record["status"]) for record in records] == [("/health", 200), ("/v1/classify", 200)]
    assert "good 7" not in err
    assert "Traceback" not in err


def test_a_second_ctrl_c_does_not_wait():
    server = Server(None, on_ready=lambda: None)
    server.handle_exit(signal.SIGINT, None)
    assert (server.should_exit, server.force_exit) == (True, False)
    server.handle_exit(signal.SIGTERM, None)
    assert not server.force_exit
    server.handle_exit(signal.SIGINT, None)
    assert server.force_exit


def test_a_dry_run_checks_everything_and_serves_nothing(cli, prompts):
    done = cli("serve", prompts["good"], prompts["tone"], "--port", "0", "--dry-run", "--json")
    assert done.status == 0
    assert done.json["max_batch"] == 32
    assert [prompt["labels"] for prompt in done.json["prompts"]] == [["bad", "good"]] * 2
    done = cli("serve", prompts["good"], "--port", "0", "--dry-run")
    assert "would serve over embedded" in done.out
    assert "good (classify, reads text): bad, good" in done.out
    assert "Ctrl-C" not in done.out


def test_what_it_shows_to_try_works(prompts, cli):
    plan = open_engine([("", prompts["good"]), ("mood", prompts["tone"])])
    path, body = serving.sample(plan.to_dict()["prompts"])
    with plan.engine:
        answer = TestClient(make_app(plan.engine)).post(path, json=body)
    assert answer.status_code == 200
    assert list(answer.json()["data"][0]["answers"]) == ["good", "mood"]


@pytest.mark.parametrize(
    ("prompt", "path", "body"),
    [
        ({"fields": ["text"], "candidate_fields": [], "writes": True}, "/v1/completions", {"prompt": serving.SAMPLE}),
        (
            {"fields": ["question"], "candidate_fields": ["options"], "writes": False},
            "/v1/classify",
            {"input": {"question": serving.SAMPLE, "options": ["yes", "no"]}},
        ),
        (
            {"fields": ["q"], "candidate_fields": ["one", "two"], "writes": False},
            "/v1/classify",
            {"input": {"q": serving.SAMPLE, "one": "a", "two": "b"}},
        ),
    ],
)
def test_a_request_to_try_fits_the_prompt(prompt, path, body):
    found, said = serving.sample([{"name": "x", **prompt}])
    assert found == path
    assert body.items() <= said.items()


def test_a_port_in_use_is_one_line(cli, prompts):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = cli("serve", prompts["good"], "--port", str(taken.getsockname()[1]))
    assert done.status == 11
    assert "Address already in use [serving.no_port]; name another --port, or 0 for a free one" in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["{good}", "good={tone}"], 11, "two prompts are called 'good'"),
        (["nowhere"], 6, "prompt.not_found"),
        (["=nowhere"], 2, "names no prompt"),
        (["{good}", "--host", "no host"], 11, "there is no host 'no host'"),
        (["{good}", "--min-precision", "0.9"], 6, "keeps no threshold"),
        (["{good}", "--max-batch", "0"], 2, "--max-batch"),
        (["{good}", "--port", "70000"], 2, "--port"),
        (["{good}", "{other}"], 6, "'other' belongs to tiny-llama, 'good' to embedded"),
    ],
)
def test_what_cannot_be_served_is_one_line(cli, prompts, tmp_path, arguments, status, words):
    good = Prompt.load(prompts["good"])
    identity = good.manifest.model.model_copy(update={"id": "tiny-llama", "fingerprint": "another"})
    other = Prompt(good.tensors, good.manifest.model_copy(update={"name": "other", "model": identity}))
    paths = {**prompts, "other": other.save(tmp_path / "other")}
    port = [] if "--port" in arguments else ["--port", "0"]
    done = cli("serve", *(word.format_map(paths) for word in arguments), *port, "--dry-run")
    assert done.status == status
    assert words in done.err
    assert "Traceback" not in done.err


def test_a_missing_extra_is_a_sentence_with_the_cure(cli, prompts, monkeypatch):
    monkeypatch.setattr(serving, "find_spec", lambda name: None)
    done = cli("serve", prompts["good"])
    assert done.status == 9
    assert "softprompt serve needs fastapi [extra.missing]; pip install 'softprompt[serve]'" in done.err


def test_names_stand_before_paths_that_do_not_exist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b").mkdir()
    assert serving.named_prompts(["a=b", "c=d"]) == [("", Path("a=b")), ("c", Path("d"))]


def test_a_server_in_a_thread_stops_and_lets_the_last_request_end(prompts):
    ready = threading.Event()
    with bind("127.0.0.1", 0) as bound, open_engine([("", prompts["good"])]).engine as engine:
        server = Server(make_app(engine), on_ready=ready.set)
        thread = threading.Thread(target=server.serve_at, args=[bound])
        thread.start()
        assert ready.wait(30)
        work = engine._desk.work

        def slow(requests):
            server.stop()
            return work(requests)

        engine._desk.work = slow
        assert ask(f"{url_of(bound)}/v1/classify", {"input": "good 7"})["data"][0]["answers"]["good"]["label"]
        thread.join(30)
        assert not thread.is_alive()
