"""What is answered: plain documents from what the engine gives, in the shapes that clients know.

Knows the engine's records; no web framework, no clock but the one it is given.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from softprompt.model.decoding import Finish
from softprompt.model.prediction import Prediction
from softprompt.ops.serving import Answers, Completion, Completions, Engine, Served

__all__ = [
    "Kind",
    "Stream",
    "classified",
    "completed",
    "health",
    "model_card",
    "model_cards",
    "usage",
    "vllm_classified",
]

Kind = Literal["text", "chat"]

_OBJECTS: Mapping[Kind, tuple[str, str]] = {
    "text": ("text_completion", "text_completion"),
    "chat": ("chat.completion", "chat.completion.chunk"),
}


def finish_reason(finished: Finish) -> str:
    """OpenAI's word for why an answer ended.

    >>> finish_reason("terminator"), finish_reason("length")
    ('stop', 'length')
    """
    return "length" if finished == "length" else "stop"


def health(engine: Engine) -> dict[str, Any]:
    """Whether the server works, and on what."""
    spec = engine.spec
    return {
        "status": "ok" if engine.ready else "stopping",
        "model": {
            "id": spec.name,
            "fingerprint": spec.fingerprint,
            "dtype": str(spec.dtype).removeprefix("torch."),
            "device": str(spec.device),
        },
        "prompts": [prompt.name for prompt in engine.prompts],
        "waiting": engine.num_waiting,
    }


def model_card(prompt: Served, engine: Engine) -> dict[str, Any]:
    """A prompt as OpenAI lists a model, and what one needs to ask it."""
    return {
        "id": prompt.name,
        "object": "model",
        "created": int(datetime.fromisoformat(prompt.created).timestamp()) if prompt.created else 0,
        "owned_by": "softprompt",
        "task": prompt.kind,
        "labels": list(prompt.ask.task.names),
        "fields": [*prompt.fields, *prompt.candidate_fields],
        "base_model": engine.spec.name,
    }


def model_cards(engine: Engine) -> dict[str, Any]:
    """All prompts."""
    return {"object": "list", "data": [model_card(prompt, engine) for prompt in engine.prompts]}


# ---------------------------------------------------------------- classification


def classified(answers: Answers) -> dict[str, Any]:
    """Answers by text and by name of the prompt."""
    return {
        "object": "list",
        "data": [
            {"index": n, "answers": {name: _said(one) for name, one in row.items()}}
            for n, row in enumerate(answers.rows)
        ],
        "milliseconds": answers.times.to_dict(),
    }


def _said(prediction: Prediction) -> dict[str, Any]:
    """As a prediction says itself; ``label`` also where the answer is withheld."""
    found = {key: value for key, value in prediction.to_dict().items() if key != "id"}
    return {"label": found.pop("answer"), **found}


def vllm_classified(answers: Answers, name: str, *, id: str, created: int) -> dict[str, Any]:
    """The answers of one prompt in the shape of vLLM's ``/classify``."""
    rows = [row[name] for row in answers.rows]
    return {
        "id": f"classify-{id}",
        "object": "list",
        "created": created,
        "model": name,
        "data": [
            {
                "index": n,
                "label": one.text,
                "probs": list((one.probabilities or {}).values()),
                "num_classes": len(one.probabilities or {}),
            }
            for n, one in enumerate(rows)
        ],
        "usage": usage(answers.prompt_tokens, 0),
    }


# ---------------------------------------------------------------- completions


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Tokens as OpenAI counts them.

    >>> usage(5, 2)["total_tokens"]
    7
    """
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def completed(found: Completions, name: str, *, kind: Kind, id: str, created: int) -> dict[str, Any]:
    """Written answers as a completion or a chat completion."""
    return {
        **_head(name, kind, id, created, chunked=False),
        "choices": list(_choices(found.rows, kind)),
        "usage": usage(found.prompt_tokens, sum(row.tokens for row in found.rows)),
    }


class Stream:
    """The events of one answer that is sent while it is written.

    >>> stream = Stream("summary", kind="chat", id="7", created=0)
    >>> stream.piece("Hi")["choices"][0]["delta"], stream.piece("!")["choices"][0]["delta"]
    ({'role': 'assistant', 'content': 'Hi'}, {'content': '!'})
    >>> stream.end("length")["choices"][0]
    {'index': 0, 'delta': {}, 'logprobs': None, 'finish_reason': 'length'}
    """

    def __init__(self, name: str, *, kind: Kind, id: str, created: int) -> None:
        self._kind: Kind = kind
        self._head = _head(name, kind, id, created, chunked=True)
        self._begun = False

    def piece(self, text: str) -> dict[str, Any]:
        """A piece of the text; the first of a chat says whose turn it is."""
        role = {} if self._begun else {"role": "assistant"}
        self._begun = True
        return self._event({"text": text} if self._kind == "text" else {"delta": {**role, "content": text}}, None)

    def end(self, finished: Finish) -> dict[str, Any]:
        """Why the answer ended."""
        return self._event({"text": ""} if self._kind == "text" else {"delta": {}}, finish_reason(finished))

    def usage(self, found: Completions) -> dict[str, Any]:
        """The tokens, where they were asked for."""
        return {**self._head, "choices": [], "usage": usage(found.prompt_tokens, found.rows[0].tokens)}

    def _event(self, said: dict[str, Any], reason: str | None) -> dict[str, Any]:
        return {**self._head, "choices": [{"index": 0, **said, "logprobs": None, "finish_reason": reason}]}


def _head(name: str, kind: Kind, id: str, created: int, *, chunked: bool) -> dict[str, Any]:
    prefix = "cmpl" if kind == "text" else "chatcmpl"
    return {"id": f"{prefix}-{id}", "object": _OBJECTS[kind][chunked], "created": created, "model": name}


def _choices(rows: Sequence[Completion], kind: Kind) -> Iterator[dict[str, Any]]:
    for n, row in enumerate(rows):
        said = {"text": row.text} if kind == "text" else {"message": {"role": "assistant", "content": row.text}}
        yield {"index": n, **said, "logprobs": None, "finish_reason": finish_reason(row.finished)}
