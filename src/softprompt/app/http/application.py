"""The paths: each reads a body, asks the engine, and answers with a document.

    GET  /health   /v1/models   /v1/models/NAME   /openapi.json
    POST /v1/classify                            several prompts over one reading of each text
    POST /classify                               vLLM's classification
    POST /v1/completions   /v1/chat/completions  OpenAI's completions, as one document or as a stream

Nothing is fetched from elsewhere: there is no page of documentation that would load its scripts, only the schema. Knows
no model and no queue.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, ParamSpec

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from softprompt.app.http import documents
from softprompt.app.http.bodies import BODIES, ChatBody, ClassifyBody, CompletionBody, VllmClassifyBody, WriteBody
from softprompt.app.http.failures import error_document, status_of
from softprompt.app.http.limits import BodyLimit
from softprompt.app.http.log import RequestLog
from softprompt.app.http.streams import event_stream
from softprompt.core.errors import ConfigError, DataError, ServingError, nearest
from softprompt.ops.serving import Engine

__all__ = ["MAX_BODY", "make_app"]

#: Bytes of a request that are read.
MAX_BODY = 4 * 2**20

#: Newer FastAPIs can report to collectors of traces; nothing here reports to anybody.
_SILENT: dict[str, Any] = {"telemetry": dict.fromkeys(("tracing", "metrics", "logs", "auto_configure"), False)}

P = ParamSpec("P")


def make_app(
    engine: Engine,
    *,
    version: str = "0",
    max_body: int = MAX_BODY,
    log: Callable[[dict[str, Any]], None] | None = None,
    on_bug: Callable[[Exception], None] | None = None,
) -> FastAPI:
    """The application over a started engine.

    Args:
        engine: What answers; who starts it closes it.
        version: Said in the schema.
        max_body: Bytes of a request that are read.
        log: Told of every request that was answered, without its texts.
        on_bug: Told of errors that are ours.
    """
    app = FastAPI(title="softprompt", version=version, docs_url=None, redoc_url=None, **_SILENT)
    _add_pages(app, engine)
    _add_classification(app, engine, on_bug)
    _add_completions(app, engine, on_bug)
    app.add_exception_handler(RequestValidationError, _bad_body)
    app.add_exception_handler(HTTPException, _no_such_path)
    app.add_middleware(BodyLimit, max_bytes=max_body, refuse=_too_large(max_body))
    if log is not None:
        app.add_middleware(RequestLog, log=log)
    return app


def _add_pages(app: FastAPI, engine: Engine) -> None:
    @app.get("/health", summary="Whether the server works, on which model, with which prompts")
    async def health() -> Response:
        return JSONResponse(documents.health(engine), 200 if engine.ready else 503)

    @app.get("/v1/models", summary="The prompts, as OpenAI lists models")
    async def models() -> Response:
        return JSONResponse(documents.model_cards(engine))

    @app.get("/v1/models/{name}", summary="One prompt")
    async def model(name: str) -> Response:
        try:
            return JSONResponse(documents.model_card(engine.find(name), engine))
        except ServingError as error:
            return _refusal(error)


def _add_classification(app: FastAPI, engine: Engine, on_bug: Callable[[Exception], None] | None) -> None:
    @app.post("/v1/classify", summary="Ask several prompts about texts, over one reading of each")
    @_guarded(on_bug)
    async def classify(body: ClassifyBody, request: Request) -> Response:
        future = engine.judge(body.input, body.prompts, min_confidence=body.min_confidence)
        answers = await asyncio.wrap_future(future)
        _note(request, list(answers.rows[0]), len(answers.rows))
        return JSONResponse(documents.classified(answers))

    @app.post("/classify", summary="Ask one prompt, in vLLM's form")
    @_guarded(on_bug)
    async def vllm_classify(body: VllmClassifyBody, request: Request) -> Response:
        name = _only(engine, body.model, writes=False)
        if not engine.find(name).says_one_label:
            message = f"{name!r} says no single label, and this form holds no other answer"
            raise ServingError("serving.wrong_task", message, cure="ask at /v1/classify, or for completions")
        answers = await asyncio.wrap_future(engine.judge(body.input, [name], count=True))
        _note(request, [name], len(answers.rows))
        return JSONResponse(documents.vllm_classified(answers, name, **_stamp()))


def _add_completions(app: FastAPI, engine: Engine, on_bug: Callable[[Exception], None] | None) -> None:
    @app.post("/v1/completions", summary="Let a prompt write")
    @_guarded(on_bug)
    async def completions(body: CompletionBody, request: Request) -> Response:
        return await _write(engine, body, body.prompt, "text", request)

    @app.post("/v1/chat/completions", summary="Let a prompt write, from one message")
    @_guarded(on_bug)
    async def chat(body: ChatBody, request: Request) -> Response:
        served = engine.find(_only(engine, body.model, writes=True))
        value = {"messages": body.turns} if served.reads_turns else body.text
        return await _write(engine, body, value, "chat", request)


async def _write(engine: Engine, body: WriteBody, value: Any, kind: documents.Kind, request: Request) -> Response:
    name = _only(engine, body.model, writes=True)
    settings = {"decoding": body.decoding(engine.decoding(name)), "choices": body.n}
    _note(request, [name], len(value) if isinstance(value, list) else 1)
    if body.stream_options is not None and not body.stream:
        message = "stream_options say how a stream ends, and this is no stream"
        raise ServingError("serving.unsupported", message, cure="stream=true")
    if body.stream:
        with_usage = body.stream_options is not None and body.stream_options.include_usage
        stream = documents.Stream(name, kind=kind, **_stamp())
        return await event_stream(
            lambda on_text: engine.write(value, name, on_text=on_text, **settings), stream, with_usage=with_usage
        )
    found = await asyncio.wrap_future(engine.write(value, name, **settings))
    return JSONResponse(documents.completed(found, name, kind=kind, **_stamp()))


def _only(engine: Engine, name: str | None, *, writes: bool) -> str:
    """The prompt of a request; one that names none means the only one that can be meant.

    Raises:
        ServingError: ``serving.unknown_prompt``.
    """
    if name is not None:
        return engine.find(name).name
    names = [prompt.name for prompt in engine.prompts if prompt.writes == writes]
    if len(names) != 1:
        able = "write text" if writes else "have labels"
        message = f"the request names no prompt, and {len(names)} of those served {able}: {', '.join(names) or 'none'}"
        raise ServingError("serving.unknown_prompt", message, cure="name one as model")
    return names[0]


def _stamp() -> dict[str, Any]:
    return {"id": uuid.uuid4().hex, "created": int(time.time())}


def _note(request: Request, prompts: list[str], texts: int) -> None:
    """What the log may say of a request."""
    request.state.asked = {"prompts": prompts, "texts": texts}


# ---------------------------------------------------------------- what goes wrong


def _refusal(error: BaseException) -> Response:
    return JSONResponse(error_document(error), status_of(error))


def _guarded(
    on_bug: Callable[[Exception], None] | None,
) -> Callable[[Callable[P, Awaitable[Response]]], Callable[P, Awaitable[Response]]]:
    """Whatever goes wrong in a path is a document; the framework would answer in another form."""

    def guard(path: Callable[P, Awaitable[Response]]) -> Callable[P, Awaitable[Response]]:
        @wraps(path)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> Response:
            try:
                return await path(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - the document says which, on_bug where
                if status_of(error) == 500 and on_bug is not None:
                    on_bug(error)
                return _refusal(error)

        return guarded

    return guard


async def _bad_body(request: Request, error: Exception) -> Response:
    """A body that is no JSON, or whose keys or values are wrong: all faults, in the words of every other setting."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", "it cannot be read")
        return _refusal(DataError("data.bad_json", f"the body is no valid JSON: {reason}"))
    if isinstance(error.body, bytes | str):
        cure = "send the header Content-Type: application/json"
        return _refusal(ConfigError("config.invalid", "the body is not marked as JSON", cure=cure))
    if not isinstance(error.body, dict):
        came = "nothing" if error.body is None else f"a {type(error.body).__name__}"
        return _refusal(ConfigError("config.invalid", f"the body is {came}, a JSON object is needed"))
    try:
        BODIES[request.url.path].parse(error.body)
    except ConfigError as fault:
        return _refusal(fault)
    return _refusal(ConfigError("config.invalid", f"the body cannot be read: {first['msg']}"))


async def _no_such_path(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "POST")
        message = f"{request.url.path} is not for {request.method}"
        refused = ServingError("serving.unknown_path", message, cure=f"use {allowed}")
        return JSONResponse(error_document(refused), 405, headers=error.headers)
    if error.status_code == 404:
        known = nearest(request.url.path, [*BODIES, "/health", "/v1/models", "/openapi.json"])
        return _refusal(ServingError("serving.unknown_path", f"nothing answers at {request.url.path}; {known}"))
    document = error_document(ServingError("serving.bad_input", str(error.detail)))
    return JSONResponse(document, error.status_code, headers=error.headers)


def _too_large(max_body: int) -> Response:
    message = f"the request has more than {max_body:,} bytes"
    return _refusal(ServingError("serving.too_large", message, cure="send several requests"))
