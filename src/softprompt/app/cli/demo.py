"""``softprompt demo``: one reading, several answers, and an honest comparison, on the example messages or your rows."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from softprompt.app.cli import options
from softprompt.app.cli.face import Face, Screen
from softprompt.app.cli.settings import parse_seconds
from softprompt.app.cli.tables import comparison_table
from softprompt.core.words import counted, duration, percent


def demo(
    *,
    data: Annotated[
        Path | None, typer.Option("--data", "-d", metavar="FILE", help="Your own rows instead of the example messages.")
    ] = None,
    text_column: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the text.")] = None,
    target: Annotated[
        list[str] | None,
        typer.Option("--target", "--targets", metavar="COLUMN", help="Column of answers; again for more."),
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option("--text", "-t", help="A sentence of yours to answer; again for more.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Where prompts and page go.")
    ] = None,
    max_time: Annotated[str | None, typer.Option(metavar="TIME", help="At most about so long (70s).")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the split, the start and the order of the rows.")] = None,
    model: options.Model = None,
    as_json: options.Json = False,
) -> None:
    """Show what soft prompts do: read each message once, answer three questions, compare with what else would do.

    Offline, with a model that is included, in about 90 seconds on two processor cores.
    """
    with Face(as_json=as_json) as face:
        given = {
            "data": data,
            "text_column": text_column,
            "targets": target or None,
            "texts": text or None,
            "output": output,
            "max_time": None if max_time is None else parse_seconds(max_time),
            "seed": seed,
            "model": None if model is None else {"name": model},
        }
        from softprompt.app.demo import DemoSettings, run_demo

        settings = DemoSettings.parse(
            {name: value for name, value in given.items() if value is not None}, where="command line"
        )
        result = run_demo(settings, face.watcher)
        document = result.to_dict()
        face.show(document, lambda out: render(out, document))
        if face.out.is_terminal and sys.stdin.isatty() and not (as_json or text):
            converse(face, [question.prompt for question in result.questions])


def render(out: Screen, result: dict[str, Any]) -> None:
    """The tables and what they say, one reading against several, and where to go on."""
    parts = ", ".join(f"{rows:,} {name}" for name, rows in result["rows"].items())
    out.heading(f"{result['source']}: rows {parts}")
    for question in result["questions"]:
        out.heading(f"{question['target']}: {', '.join(question['labels'])}")
        out.print(comparison_table(question["comparison"], width=out.width))
    out.heading("what the tables say")
    for question in result["questions"]:
        out.prose(question["verdict"])
    out.prose(result["caveat"], style="dim")
    out.heading(f"one reading, {counted(result['one_reading']['num_prompts'], 'answer')}")
    out.prose(reading_line(result["one_reading"]))
    for reply in result["replies"]:
        render_reply(out, reply)
    for note in result["notes"]:
        out.prose(f"note: {note}", style="dim")
    out.heading("go on")
    for command in result["commands"]:
        out.say(Text(f"# {command['purpose']}", style="dim"))
        out.say(f"  {command['line']}")
    out.say()
    out.say(f"page: {result['page']}, after {duration(result['seconds']['total'])}")


def reading_line(found: dict[str, Any]) -> str:
    """What one reading costs against several."""
    shared, apart = f"{found['shared_ms']:.1f} ms", f"{found['apart_ms']:.1f} ms"
    same = percent(found["same_answers"], digits=0)
    return (
        f"all answers over one reading {shared} a text, a reading each {apart}: {found['ratio']:.1f} times faster, "
        f"{same} equal answers (median of {found['num_texts']:,} texts)"
    )


def render_reply(out: Screen, reply: dict[str, Any]) -> None:
    """A text and all answers to it."""
    out.say()
    out.prose(f'"{reply["text"]}"')
    for target, said in reply["answers"].items():
        right = reply["expected"].get(target)
        judged = "" if right is None else " (right)" if right == said["answer"] else f" (it is {right})"
        answer = said["answer"] if said["answer"] is not None else "withheld"
        out.say(f"  {target:<12} {answer:<12} {percent(said['confidence'], digits=0):>5}{judged}")
    out.say(f"  in {reply['milliseconds']:.0f} ms", style="dim")


def converse(face: Face, prompts: Sequence[Path]) -> None:
    """Answer sentences until an empty one."""
    from softprompt.app.demo import Answerer

    answer = Answerer.load(prompts)
    face.out.heading("your own sentence (an empty one ends)")
    while text := face.out.input("> ").strip():
        render_reply(face.out, answer(text).to_dict())
        face.out.say()
