"""vLLM: what is sent, and what is made of the answers, against a server of one's own that computes with the tiny model.

Whether vLLM itself agrees is tested by ``make test-vllm`` (test_vllm_server.py).
"""

import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from softprompt.core.answers import AnswerSettings
from softprompt.core.errors import ConfigError, PromptError, ServingError
from softprompt.core.records import Example
from softprompt.core.tasks import parse_task
from softprompt.model.prediction import Ask, Predictor
from softprompt.model.prompted import PromptedModel
from softprompt.model.prompts.prompt import Prompt
from softprompt.model.templates import RowBuilder
from softprompt.ops.formats.opening import template_of
from softprompt.ops.formats.table import export, read
from softprompt.ops.formats.vllm_client import VllmClient, encode_embeds
from softprompt.testing import tiny
from tests.ops.formats.samples import BARE, FIELDS, build, exported

AFTER = "{text}<soft 4> It was<soft 2 cue> {answer}"


@pytest.fixture(scope="module")
def backbone():
    return tiny("qwen2")


@pytest.fixture(scope="module")
def server(backbone) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The part of vLLM's API that is used, over the tiny model; and what it was asked."""
    asked: list[dict[str, Any]] = []

    def choice(index: int, embeds: str, body: dict[str, Any]) -> dict[str, Any]:
        vectors = torch.load(io.BytesIO(base64.b64decode(embeds)), weights_only=True)  # noqa: TID251 - as vLLM does
        tokens, log_probs, tops = [], [], []
        for _ in range(body["max_tokens"]):
            with torch.no_grad():
                logs = backbone.model(inputs_embeds=vectors[None]).logits[0, -1].float().log_softmax(-1)
            token = int(logs.argmax())
            tokens.append(token)
            log_probs.append(float(logs[token]))
            tops.append({f"token_id:{n}": float(logs[n]) for n in body.get("logprob_token_ids", [token])})
            vectors = torch.cat([vectors, backbone.embed(torch.tensor([token]))])
        said = {"tokens": [f"token_id:{n}" for n in tokens], "token_logprobs": log_probs, "top_logprobs": tops}
        return {"index": index, "text": backbone.tokenizer.decode(tokens), "logprobs": said}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({"path": self.path, "key": self.headers.get("Authorization"), **body})
            wrong = body["model"] != "tiny"
            choices = [] if wrong else [choice(n, one, body) for n, one in enumerate(body["prompt_embeds"])]
            data = json.dumps({"error": "no such model"} if wrong else {"choices": choices[::-1]}).encode()
            self.send_response(404 if wrong else 200)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *words: object) -> None:
            return

    running = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}", asked
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.mark.parametrize("template", [BARE, AFTER, "{bos}<soft 4>{text} It was {answer}"])
def test_scores_over_http_are_ours(template: str, backbone, server) -> None:
    prompt = build(backbone, template)
    client = VllmClient(prompt, backbone, url=server[0], model="tiny", key="secret")
    builder = RowBuilder(template_of(prompt), parse_task(prompt.manifest.task), backbone.tokenizer, max_tokens=200)
    scores = PromptedModel(backbone, [prompt.tensors]).score_all([builder.row(Example(FIELDS), target=False)])[0].values
    assert client.scores(FIELDS) == pytest.approx(dict(zip(["good", "bad"], scores[0].tolist(), strict=True)), abs=1e-4)
    assert (server[1][-1]["path"], server[1][-1]["key"]) == ("/v1/completions", "Bearer secret")


def test_words_over_http_are_ours(backbone, server) -> None:
    prompt = build(backbone, AFTER)
    task = parse_task({"kind": "generate", "max_new_tokens": 5})
    prompt = Prompt(prompt.tensors, prompt.manifest.model_copy(update={"task": task.model_dump(by_alias=True)}))
    done = VllmClient(prompt, backbone, url=server[0], model="tiny").complete(FIELDS)
    builder = RowBuilder(template_of(prompt), task, backbone.tokenizer, max_tokens=200)
    ask = Ask(builder, prompt.tensors, AnswerSettings(form="words"))
    ((ours,),) = Predictor(backbone, [ask]).predict([Example(FIELDS)])
    assert done.text.startswith(ours.text)
    assert len(done.tokens) == len(done.log_probs) == 5


def test_the_whole_row_is_sent_in_the_models_dtype(backbone) -> None:
    prompt = build(backbone, AFTER)
    rows = VllmClient(prompt, backbone, url="http://127.0.0.1:1").embeds(FIELDS)
    words = [backbone.embed(torch.tensor(backbone.tokenizer.encode(text))) for text in ("Nice one", " It was")]
    soft = [prompt.tensors.slots[name].embed for name in ("soft", "cue")]
    assert rows.equal(torch.cat([words[0], soft[0], words[1], soft[1]]))
    half = tiny("qwen2", dtype=torch.bfloat16)
    mine = Prompt(prompt.tensors, build(half, AFTER).manifest)
    assert VllmClient(mine, half, url="http://127.0.0.1:1").embeds(FIELDS).dtype == torch.bfloat16


def test_a_users_turn_is_one_part_of_a_message(backbone) -> None:
    chat = '{special "<bos>"}{text}<soft 4> ok?{special "<pad>"}{answer}'
    client = VllmClient(build(backbone, chat), backbone, url="http://127.0.0.1:1")
    (part,) = client.message(FIELDS)["content"]
    whole = client.embeds(FIELDS)
    assert part == {"type": "prompt_embeds", "data": encode_embeds(whole[1:-1])}
    for template in (AFTER, chat.replace(" ok?", " ok? "), chat.replace('"<bos>"', '"User: "')):
        with pytest.raises(PromptError, match="not one turn of a user") as caught:
            VllmClient(build(backbone, template), backbone, url="http://127.0.0.1:1").message(FIELDS)
        assert caught.value.code == "prompt.unsupported_export"


def test_a_server_that_refuses_or_is_not_there_is_one_line(backbone, server) -> None:
    prompt = build(backbone, BARE)
    for client, says in (
        (VllmClient(prompt, backbone, url=server[0]), "404.*no such model"),
        (VllmClient(prompt, backbone, url="http://127.0.0.1:1", timeout_s=2.0), "does not answer"),
    ):
        with pytest.raises(ServingError, match=says) as caught:
            client.scores(FIELDS)
        assert caught.value.code == "serving.unreachable"


def test_an_export_is_the_vectors_in_the_models_dtype(tmp_path: Path) -> None:
    backbone = tiny(dtype=torch.bfloat16)
    prompt = build(backbone, AFTER)
    folder = exported(prompt, "vllm", tmp_path / "out", backbone)
    found = safetensors.torch.load_file(folder / "prompt_embeds.safetensors")
    assert found["cue"].equal(prompt.tensors.slots["cue"].embed.bfloat16())
    assert "--enable-prompt-embeds" in (folder / "README.md").read_text("utf-8")
    with pytest.raises(PromptError, match="rounded to the model's precision") as caught:
        read(folder)
    assert caught.value.code == "prompt.unsupported_import"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"head": True}, "answers by label vectors"),
        ({"kv": True}, "numbers that enter inside the model"),
        ({"template": "{text} It was {answer}"}, "has no soft tokens"),
        ({"kind": "seq2seq"}, "is for a seq2seq model"),
    ],
)
def test_what_cannot_be_sent_is_refused(changes, reason: str, backbone) -> None:
    with pytest.raises(PromptError, match=reason) as caught:
        export(build(backbone, **{"template": BARE, **changes}), "vllm", backbone=lambda: backbone)
    assert caught.value.code == "prompt.unsupported_export"


def test_another_model_is_refused(backbone) -> None:
    with pytest.raises(PromptError, match=r"belongs to tiny-qwen2, the embeddings are those of tiny-llama") as caught:
        VllmClient(build(backbone, BARE), tiny("llama"), url="http://127.0.0.1:1")
    assert caught.value.code == "prompt.other_model"


# --- how answers are written


def writing(backbone: Any, **task: Any) -> Prompt:
    """A prompt whose task writes."""
    prompt, asked = build(backbone, AFTER), parse_task({"kind": "generate", **task})
    described = asked.model_dump(mode="json", by_alias=True)
    return Prompt(prompt.tensors, prompt.manifest.model_copy(update={"task": described}))


def asked_with(prompt: Prompt, backbone: Any, server: Any, **decoding: Any) -> dict[str, Any]:
    """What the server was told beside the embeddings."""
    VllmClient(prompt, backbone, url=server[0], model="tiny").complete(FIELDS, decoding=decoding)
    return server[1][-1]


def test_answers_are_written_as_the_saved_prompt_says(backbone, server) -> None:
    drawn = {"temperature": 0.7, "top_p": 0.9, "top_k": 5, "seed": 3, "stop": ["."], "terminators": [7]}
    prompt = writing(backbone, max_new_tokens=4, decoding={**drawn, "min_new_tokens": 2})
    said = asked_with(prompt, backbone, server)
    told = {"stop_token_ids": [7], "max_tokens": 4, "min_tokens": 2}
    assert {name: said[name] for name in ("temperature", "top_p", "top_k", "seed", "stop", *told)} == {
        **{name: value for name, value in drawn.items() if name != "terminators"},
        **told,
    }
    other = asked_with(prompt, backbone, server, temperature=0, max_new_tokens=3)
    assert (other["temperature"], other["max_tokens"], other["stop"]) == (0.0, 3, ["."])
    assert "seed" not in other


def test_nothing_is_left_to_the_models_own_generation_config(backbone, server) -> None:
    said = asked_with(writing(backbone, max_new_tokens=2), backbone, server)
    neutral = {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "min_tokens": 0}
    assert {name: said[name] for name in neutral} == neutral


def test_what_vllm_cannot_write_is_refused_before_it_is_asked(backbone, server) -> None:
    beams = writing(backbone, max_new_tokens=2, decoding={"num_beams": 3})
    asked = len(server[1])
    with pytest.raises(PromptError, match="writes with 3 beams, and vLLM searches by beams from token ids") as caught:
        asked_with(beams, backbone, server)
    assert (caught.value.code, "num_beams" in caught.value.cure) == ("prompt.unsupported_export", True)
    objects = writing(backbone, kind="extract", schema={"name": "string"})
    with pytest.raises(PromptError, match="writes objects within the fields of its task"):
        asked_with(objects, backbone, server)
    assert len(server[1]) == asked
    assert asked_with(beams, backbone, server, num_beams=1)["temperature"] == 0.0
    with pytest.raises(ConfigError, match="top_q"):
        asked_with(beams, backbone, server, top_q=0.5)
