"""vLLM itself, with the embedded model: ``make test-vllm`` starts it from an environment of its own.

The log-probabilities of forced answers agree, and greedy tokens are the same wherever the two most probable ones are
further apart than a rounding error. Left out where ``SOFTPROMPT_VLLM`` names no Python with vLLM in it.
"""

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import softprompt as sp
from softprompt.core.records import Batch, Example
from softprompt.core.tasks import parse_task
from softprompt.model.backbones.base import Want
from softprompt.model.backbones.loading import embedded_folder, load
from softprompt.model.prompted import PromptedModel
from softprompt.model.prompts.prompt import Prompt
from softprompt.model.templates import RowBuilder
from softprompt.ops.formats.opening import template_of
from softprompt.ops.formats.vllm_client import VllmClient
from tests.ops.formats.samples import build

PORT = 18437
PYTHON = os.environ.get("SOFTPROMPT_VLLM", "") and str(Path(os.environ["SOFTPROMPT_VLLM"]).absolute())
TEXTS = ("Where is my parcel?", "The jacket is too small, I want to send it back.", "You charged me twice")
TEMPLATES = ("{bos}<soft 8>{text} It was {answer}", "{bos}{text}<soft 8> It was {answer}")
CHAT = "{% for m in messages %}User:\n{{ m.content }}\nAssistant:{% endfor %}"
MARGIN, MOST_SECONDS = 1e-3, 300

pytestmark = pytest.mark.skipif(not PYTHON, reason="no vLLM: make test-vllm, or SOFTPROMPT_VLLM=/path/to/python")


@pytest.fixture(scope="module")
def model() -> sp.Backbone:
    return load("embedded", dtype="fp32", device="cpu")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("vllm")
    (folder / "chat.jinja").write_text(CHAT, encoding="utf-8")
    words = [PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", str(embedded_folder())]
    words += ["--served-model-name", "embedded", "--host", "127.0.0.1", "--port", str(PORT), "--dtype", "float32"]
    words += ["--enable-prompt-embeds", "--enforce-eager", "--max-model-len", "512", "--max-num-seqs", "4"]
    words += ["--chat-template", str(folder / "chat.jinja")]
    quiet = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    cpu = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    with (folder / "log.txt").open("wb") as log:
        server = subprocess.Popen(words, stdout=log, stderr=log, cwd=folder, env={**os.environ, **quiet, **cpu})
        try:
            wait(server, folder / "log.txt")
            yield f"http://127.0.0.1:{PORT}"
        finally:
            server.terminate()
            server.wait(60)


def wait(server: subprocess.Popen[bytes], log: Path) -> None:
    """Until the server answers."""
    begun = time.monotonic()
    while time.monotonic() - begun < MOST_SECONDS:
        assert server.poll() is None, log.read_text("utf-8", "replace")[-3000:]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=5):
                return
        except OSError:
            time.sleep(1)
    raise AssertionError(f"vLLM did not start within {MOST_SECONDS} s: {log.read_text('utf-8', 'replace')[-3000:]}")


@pytest.mark.parametrize("template", TEMPLATES)
def test_log_probabilities_of_forced_answers_agree(template: str, model: sp.Backbone, url: str) -> None:
    prompt = build(model, template)
    client = VllmClient(prompt, model, url=url, model="embedded")
    builder = RowBuilder(template_of(prompt), parse_task(prompt.manifest.task), model.tokenizer, max_tokens=400)
    for text in TEXTS:
        row = builder.row(Example({"text": text}), target=False)
        ours = PromptedModel(model, [prompt.tensors]).score_all([row])[0].values[0].tolist()
        assert list(client.scores({"text": text}).values()) == pytest.approx(ours, abs=2e-3)


@pytest.mark.parametrize("template", TEMPLATES)
def test_greedy_tokens_are_the_same(template: str, model: sp.Backbone, url: str) -> None:
    prompt = build(model, template)
    client = VllmClient(prompt, model, url=url, model="embedded")
    compared = 0
    for text in TEXTS:
        done = client.complete({"text": text}, decoding={"max_new_tokens": 12})
        builder = RowBuilder(template_of(prompt), parse_task({"kind": "generate"}), model.tokenizer, max_tokens=400)
        row = builder.row(Example({"text": text}), target=False)
        out = model.forward(Batch((row,)), [prompt.tensors], want=Want(last=True, state=True))
        logits, state = out.last, out.state
        assert logits is not None
        assert state is not None
        for token in done.tokens:
            best = logits[0].topk(2)
            if float(best.values[0] - best.values[1]) > MARGIN:
                assert token == int(best.indices[0])
                compared += 1
            logits, state = model.step(state, torch.tensor([[token]]))
    assert compared >= 20, "almost every token was a tie: nothing was compared"


def test_a_users_turn_in_a_chat_is_the_row_of_the_frozen_template(model: sp.Backbone, url: str) -> None:
    prompt = build(model, '{special "User:\n"}{text}<soft 8> ok?{special "\nAssistant:"}{answer}')
    task = parse_task({"kind": "generate", "max_new_tokens": 6})
    prompt = Prompt(prompt.tensors, prompt.manifest.model_copy(update={"task": json.loads(task.model_dump_json())}))
    client = VllmClient(prompt, model, url=url, model="embedded")
    for text in TEXTS:
        chat, whole = client.chat({"text": text}), client.complete({"text": text})
        assert chat.tokens == whole.tokens
        assert list(chat.log_probs) == pytest.approx(list(whole.log_probs), abs=2e-3)


def test_a_saved_prompt_is_written_as_its_task_says(model: sp.Backbone, url: str) -> None:
    """A draw from the one likeliest token is greedy, a seed repeats its draws, and fewest and most tokens count."""
    prompt = build(model, TEMPLATES[1])
    task = parse_task({"kind": "generate", "max_new_tokens": 8, "decoding": {"temperature": 1.5, "seed": 5}})
    prompt = Prompt(prompt.tensors, prompt.manifest.model_copy(update={"task": json.loads(task.model_dump_json())}))
    client, fields = VllmClient(prompt, model, url=url, model="embedded"), {"text": TEXTS[0]}
    greedy = client.complete(fields, decoding={"temperature": 0}).tokens
    assert client.complete(fields, decoding={"top_k": 1}).tokens == greedy
    drawn = [client.complete(fields, decoding={"seed": seed, "min_new_tokens": 8}).tokens for seed in (5, 5, 6)]
    assert [len(tokens) for tokens in drawn] == [8, 8, 8]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(client.complete(fields, decoding={"temperature": 0, "max_new_tokens": 2}).tokens) <= 2
