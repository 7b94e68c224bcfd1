"""The page on serving and the promptfoo example: commands, requests, limits, the provider."""

import ast
import importlib.util
import json
import re
import shlex
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient

from softprompt.app.http.application import MAX_BODY, make_app
from softprompt.app.http.server import GRACE, Server, bind, url_of
from softprompt.ops.serving import Engine, Limits
from softprompt.testing import tiny
from tests.app.cli.conftest import cli, prompts
from tests.ops.serving.desk import served

__all__ = ["cli", "prompts"]  # fixtures


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "serving.md").read_text("utf-8")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server of the tiny model's prompts."""
    backbone, ready = tiny(), threading.Event()
    with bind("127.0.0.1", 0) as bound, Engine(backbone, served(backbone)) as engine:
        server = Server(make_app(engine), on_ready=ready.set)
        thread = threading.Thread(target=server.serve_at, args=[bound])
        thread.start()
        assert ready.wait(30)
        yield url_of(bound)
        server.stop()
        thread.join(30)


def test_commands_of_the_page_work(page, cli, prompts, tmp_path):
    for name in ("topic", "second"):
        shutil.copytree(prompts["good"], tmp_path / "runs" / name / "prompt")
    shutil.copytree(prompts["good"], tmp_path / "runs" / "topic", dirs_exist_ok=True)
    lines = re.findall(r"^\$ (softprompt serve .*)$", page, re.M)
    assert lines
    for line in lines:
        words = shlex.split(line.replace("--port 8000", "--port 0"))[1:]
        done = cli(*words, "--dry-run")
        assert done.status == 0, done.err
        assert "tone (classify, reads text): bad, good" in done.out


def test_requests_of_the_page_are_answered(page):
    backbone = tiny()
    found = re.findall(r"curl (?:http://)?(?:localhost|127\.0\.0\.1):8000(\S+) .*?-d '(\{.*?\})'", page, re.S)
    assert len(found) == 2
    with Engine(backbone, served(backbone)) as engine:
        client = TestClient(make_app(engine))
        for path, body in found:
            said = client.post(path, json=json.loads(body)).json()
            assert list(said["data"][0]["answers"]) == ["topic", "tone"]
        (shown,) = re.findall(r'^\{"object": "list".*?^```', page, re.M | re.S)
        shown = json.loads(shown.removesuffix("```"))
        assert shape(shown) == shape(said)
        refused = client.post("/v1/classify", json={"input": "Fine", "prompts": ["topik"]}).json()
    (error,) = re.findall(r'^\{"error".*?^```', page, re.M | re.S)
    assert refused["error"].keys() == json.loads(error.removesuffix("```"))["error"].keys()


def shape(value: Any) -> Any:
    """The keys of a document; those of probabilities are the labels."""
    if isinstance(value, dict):
        return {key: None if key == "probabilities" else shape(inner) for key, inner in value.items()}
    return [shape(inner) for inner in value] if isinstance(value, list) else None


def test_limits_of_the_page_are_those_of_the_code(page):
    limits = Limits()
    assert f"| body of a request | {MAX_BODY // 2**20} MiB |" in page
    assert f"| texts in a request | {limits.max_texts} |" in page
    assert f"| characters of a text | {limits.max_characters:,};" in page
    assert f"| requests that wait | {limits.max_waiting} |" in page
    assert f"({GRACE} seconds at most)" in page


def test_python_of_the_page_can_be_read(page):
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    assert {"model", "messages", "stream"} <= {keyword.arg for call in calls for keyword in call.keywords}


# --- promptfoo


@pytest.fixture(scope="module")
def example(repository: Path) -> Path:
    return repository / "docs" / "examples" / "promptfoo"


@pytest.fixture(scope="module")
def provider(example) -> Any:
    spec = importlib.util.spec_from_file_location("promptfoo_provider", example / "provider.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_provider_says_labels_texts_and_errors(provider, url):
    config = {"url": url, "prompt": "topic"}
    found = provider.call_api("Where is it?", {"config": config}, {})
    assert found["output"] in ("billing", "delivery", "bill")
    assert found["tokenUsage"]["total"] == found["tokenUsage"]["prompt"] > 0
    settings = {"kind": "write", "prompt": "summary", "settings": {"max_tokens": 3}}
    written = provider.call_api("Where is it?", {"config": {**config, **settings}}, {})
    assert 0 < written["tokenUsage"]["completion"] <= 3
    wrong = provider.call_api("Where is it?", {"config": {**config, "prompt": "topik"}}, {})
    assert "did you mean 'topic'" in wrong["error"]
    with bind("127.0.0.1", 0) as nobody:
        gone = provider.call_api("Where is it?", {"config": {**config, "url": url_of(nobody)}}, {})
    assert gone["error"].startswith("no answer from http://127.0.0.1:")


def test_the_config_names_what_is_there_and_its_http_provider_works(example, url, provider):
    config = yaml.safe_load((example / "promptfooconfig.yaml").read_text("utf-8"))
    python, http = config["providers"]
    assert (example / python["id"].removeprefix("file://")).is_file()
    assert python["config"]["prompt"] == "topic"
    variables = set(re.findall(r"\{\{(\w+)\}\}", " ".join(config["prompts"])))
    assert all(variables <= case["vars"].keys() and case["assert"] for case in config["tests"])
    settings = http["config"]
    body = json.loads(json.dumps(settings["body"]).replace("{{prompt}}", "Where is it?"))
    path = settings["url"].removeprefix("http://127.0.0.1:8000")
    found: Any = provider._post({"url": url}, path, body)
    for key in re.findall(r"\w+", settings["transformResponse"].removeprefix("json")):
        found = found[int(key)] if key.isdigit() else found[key]
    assert found == provider.call_api("Where is it?", {"config": {"url": url, "prompt": "topic"}}, {})["output"]
