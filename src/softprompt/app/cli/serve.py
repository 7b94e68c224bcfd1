"""``softprompt serve``: saved prompts behind HTTP, until somebody stops it."""

import json
import traceback
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from softprompt.app.cli import options
from softprompt.app.cli.face import Face, Screen, to_json
from softprompt.app.cli.failures import failure_text, usage_error, wants_traceback
from softprompt.app.cli.options import model_of
from softprompt.app.cli.paths import prompt_paths
from softprompt.core.errors import ExtraError

LOCAL = ("127.0.0.1", "::1")
SAMPLE = "Where is my parcel?"  #: in the command to try that is shown


def serve(
    prompts: Annotated[
        list[str],
        typer.Argument(metavar="[NAME=]PROMPT", help="Saved prompts of one model: folders, zip files, run folders."),
    ],
    *,
    host: Annotated[str, typer.Option(metavar="HOST", help="Address to listen at; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="0 takes a free one.")] = 8000,
    max_batch: Annotated[
        int, typer.Option(metavar="N", min=1, max=4096, help="Texts that go through the model together.")
    ] = 32,
    min_confidence: options.MinConfidence = None,
    min_precision: options.MinPrecision = None,
    log_requests: Annotated[
        bool, typer.Option("--log-requests", help="A JSON line on stderr for every request, without its texts.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Load and check everything, show it, and serve nothing.")
    ] = False,
    model: options.OfModel = None,
    dtype: options.Dtype = None,
    device: options.Device = None,
    quantise: options.Quantise = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON once requests are taken.")] = False,
) -> None:
    """Serve saved prompts over HTTP: several prompts of one model, over one reading of each text.

        softprompt serve runs/topic mood=runs/tone --port 8000

    It says a request to try. Ctrl-C and SIGTERM finish what has begun, and end with status 0. See docs/serving.md.
    """
    with Face(as_json=as_json) as face:
        named = named_prompts(prompts)
        require_extra()
        from softprompt.app.http.application import make_app
        from softprompt.app.http.server import Server, bind, url_of
        from softprompt.app.recipes.serve import open_engine
        from softprompt.ops.serving import Limits

        with bind(host, port) as bound:
            plan = open_engine(
                named,
                model=model_of(model, dtype, device, quantise, prompts=[path for _, path in named]),
                min_confidence=min_confidence,
                min_precision=min_precision,
                limits=Limits(max_batch=max_batch),
                watcher=face.watcher,
            )
            document = {"url": url_of(bound), "host": host, "port": bound.getsockname()[1], **plan.to_dict()}
            if dry_run:
                announce(face, document, running=False)
                return
            log = line_writer(face) if log_requests else None
            app = make_app(plan.engine, version=version(), log=log, on_bug=lambda error: tell_bug(face, error))
            with plan.engine:
                Server(app, on_ready=lambda: announce(face, document, running=True)).serve_at(bound)
        if not as_json:
            face.out.say("stopped")


def named_prompts(given: Sequence[str]) -> list[tuple[str, Path]]:
    """Names and paths from ``PATH`` or ``NAME=PATH``; a path that exists is never taken apart.

    Raises:
        ConfigError: ``config.usage``.

    >>> [(name, path.name) for name, path in named_prompts(["topic=nowhere/run.zip", "nowhere/tone.zip"])]
    [('topic', 'run.zip'), ('', 'tone.zip')]
    """
    found = []
    for text in given:
        name, mark, path = text.partition("=")
        if not mark or Path(text).exists():
            name, path = "", text
        elif not (name and path):
            raise usage_error(f"{text!r} names no prompt", cure="write PATH, or NAME=PATH")
        found.append((name, prompt_paths([Path(path)])[0]))
    return found


def require_extra() -> None:
    """Say what to install, where the web framework is missing.

    Raises:
        ExtraError: ``extra.missing``.
    """
    for package in ("fastapi", "uvicorn"):
        if find_spec(package) is None:
            raise ExtraError.needs(package, extra="serve", purpose="softprompt serve")


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as installed

    return installed("softprompt")


def announce(face: Face, document: dict[str, Any], *, running: bool) -> None:
    """What is served, and where: for programs a line, for people how to try it."""
    face.settle()
    if face.as_json:
        face.write(to_json(document))
    else:
        render(face.out, document, running=running)
    face.out.file.flush()


def render(out: Screen, document: dict[str, Any], *, running: bool) -> None:
    """The prompts, a command to try, and what stops it."""
    model, url = document["model"], document["url"]
    verb = "serving" if running else "would serve"
    out.say(f"{verb} over {model['id']} ({model['dtype']}, {model['device']}) at {url}")
    for prompt in document["prompts"]:
        labels = f": {', '.join(prompt['labels'])}" if prompt["labels"] else ""
        out.say(f"  {prompt['name']} ({prompt['task']}, reads {', '.join(prompt['fields'])}){labels}")
    if document["host"] not in (*LOCAL, "localhost"):
        out.say("whoever reaches this address may ask: nobody is asked for a key", style="yellow")
    path, body = sample(document["prompts"])
    out.say(f"try: curl {url}{path} -H 'Content-Type: application/json' -d '{json.dumps(body)}'")
    if running:
        out.say("Ctrl-C stops it")


def sample(prompts: Sequence[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """A request that works with these prompts.

    >>> sample([{"name": "topic", "fields": ["text"], "candidate_fields": [], "writes": False}])
    ('/v1/classify', {'input': 'Where is my parcel?', 'prompts': ['topic']})
    """
    first = next((prompt for prompt in prompts if not prompt["writes"]), prompts[0])
    fields, choices = first["fields"], first["candidate_fields"]
    value: Any = SAMPLE if len(fields) == 1 and not choices else dict.fromkeys(fields, SAMPLE)
    if choices:
        value |= {choices[0]: ["yes", "no"]} if len(choices) == 1 else dict(zip(choices, "abcdefgh", strict=False))
    if first["writes"]:
        return "/v1/completions", {"model": first["name"], "prompt": value}
    alike = [
        one["name"]
        for one in prompts
        if not one["writes"] and (one["fields"], one["candidate_fields"]) == (fields, choices)
    ]
    return "/v1/classify", {"input": value, "prompts": alike}


def line_writer(face: Face) -> Callable[[dict[str, Any]], None]:
    """What writes records to stderr, a line each."""

    def write(record: dict[str, Any]) -> None:
        face.err.file.write(to_json(record) + "\n")
        face.err.file.flush()

    return write


def tell_bug(face: Face, error: Exception) -> None:
    """A fault of ours while a request was answered: one line, or where it is on request."""
    if wants_traceback():
        face.err.file.write("".join(traceback.format_exception(error)))
    face.print_error(failure_text(error))
