"""What one reading for several prompts saves in use: three prompts in one request, against a request for each.

    python benchmarks/serving.py                       two minutes on one core
    python benchmarks/serving.py --repeats 3 --print   to see that it works; nothing is written

The embedded model, one thread; three prompts of 20 soft tokens with label vectors for five topics, random numbers: what
they answer costs no less than what a trained one answers. A real server on this machine, asked over one open
connection, a new text every time, both sides in turns. Milliseconds are those of the client.

Knows the engine and the server; no training.
"""

import http.client
import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.rig.machine import load_average, sentence
from benchmarks.rig.results import parser_of, publish
from benchmarks.rig.rows import example_file, rows_in
from softprompt.app.http.application import make_app
from softprompt.app.http.server import Server, bind
from softprompt.core.answers import AnswerSettings
from softprompt.core.tasks import Task
from softprompt.core.tensors import Head, PromptTensors, SlotTensors
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.loading import load
from softprompt.model.prediction import Ask
from softprompt.model.templates import RowBuilder, Template
from softprompt.ops.serving import Engine, Served

__all__ = ["main", "measured", "page", "texts_of"]

LABELS = ["delivery", "product", "billing", "returns", "account"]
TOKENS, PLACES = (64, 256), {"after": "{text}<soft 20> It was {answer}", "before": "<soft 20>{text} It was {answer}"}
TOGETHER, APART = "one request", "three requests"

#: Place and length -> side -> milliseconds on the clock and of the processor, by repeat.
Found = dict[tuple[str, int], dict[str, list[tuple[float, float]]]]


def prompts(backbone: Backbone, template: str) -> list[Served]:
    """Three prompts of one template."""
    parsed, width = Template.parse(template), backbone.spec.head_dim
    builder = RowBuilder(
        parsed, Task.classify(LABELS), backbone.tokenizer, max_tokens=backbone.spec.max_positions, answers="vectors"
    )
    found = []
    for seed in range(3):
        rng = torch.Generator().manual_seed(seed)
        values = 0.05 * torch.randn(20, backbone.spec.embed_dim, generator=rng)
        head = Head(torch.randn(len(LABELS), width, generator=rng), torch.zeros(len(LABELS)))
        tensors = PromptTensors({"soft": SlotTensors(embed=values)}, head).to(device=backbone.spec.device)
        found.append(Served(f"prompt-{seed}", Ask(builder, tensors, AnswerSettings(form="vectors"))))
    return found


def texts_of(backbone: Backbone, tokens: int) -> Iterator[str]:
    """Texts of about so many tokens from the example messages, a new one every time."""
    ids = [id for row in rows_in(example_file("train")) for id in backbone.tokenizer.encode(" " + row["text"])]
    begin = 0
    while True:
        yield backbone.tokenizer.decode([ids[(begin + n) % len(ids)] for n in range(tokens)])
        begin += tokens + 1


@contextmanager
def server(engine: Engine) -> Iterator[http.client.HTTPConnection]:
    """A connection to a server in a thread."""
    ready = threading.Event()
    with bind("127.0.0.1", 0) as bound:
        running = Server(make_app(engine), on_ready=ready.set)
        thread = threading.Thread(target=running.serve_at, args=[bound])
        thread.start()
        ready.wait()
        connection = http.client.HTTPConnection(*bound.getsockname())
        try:
            yield connection
        finally:
            connection.close()
            running.stop()
            thread.join()


def asked(connection: http.client.HTTPConnection, text: str, groups: Sequence[Sequence[str]]) -> tuple[float, float]:
    """Milliseconds on the clock and of the processor, until all groups of prompts have answered, a request each."""
    begun, worked = time.perf_counter(), time.process_time()
    for names in groups:
        body = json.dumps({"input": text, "prompts": list(names)})
        connection.request("POST", "/v1/classify", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        document = json.loads(answer.read())
        assert answer.status == 200, document
    return 1000 * (time.perf_counter() - begun), 1000 * (time.process_time() - worked)


def measured(backbone: Backbone, repeats: int) -> Found:
    """Milliseconds by place and length, of both sides."""
    found: Found = {}
    for place, template in PLACES.items():
        served = prompts(backbone, template)
        names = [one.name for one in served]
        sides = {TOGETHER: [names], APART: [[name] for name in names]}
        with Engine(backbone, served) as engine, server(engine) as connection:
            for tokens in TOKENS:
                texts = texts_of(backbone, tokens)
                times: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
                for _ in range(repeats + 2):
                    for side, groups in sides.items():
                        times[side].append(asked(connection, next(texts), groups))
                found[place, tokens] = {side: each[2:] for side, each in times.items()}  # two to warm up
    return found


def page(found: Found, *, load: float) -> str:
    """The table."""
    lines = [
        "| soft tokens | text | three prompts, one request | three requests | ratio | of processor time |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for (place, tokens), times in found.items():
        (together, work), (apart, works) = (
            [statistics.median(column) for column in zip(*times[side], strict=True)] for side in (TOGETHER, APART)
        )
        cells = [f"{place} the text", f"{tokens} tokens", f"{together:.1f} ms", f"{apart:.1f} ms"]
        lines.append(f"| {' | '.join([*cells, f'{apart / together:.2f}', f'{works / work:.2f}'])} |")
    repeats = len(next(iter(found.values()))[TOGETHER])
    about = f"Medians of {repeats}, as a client on the same machine sees them. {sentence(load)}"
    return "\n".join([*lines, "", about, ""])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the page."""
    parser = parser_of(__doc__)
    parser.add_argument("--repeats", type=int, default=40)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    before = load_average()
    text = page(measured(load("embedded"), options.repeats), load=before)
    publish("serving", "Three prompts, one reading", text, only_print=options.print)


if __name__ == "__main__":
    main()
