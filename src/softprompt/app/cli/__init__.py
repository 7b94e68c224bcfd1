"""The command line: parse, ask one recipe, render.

This page is the table of commands. Each one stands in a module of its own and imports its recipe when it runs, so that
``softprompt --help`` imports neither torch nor the settings. Typer enters the package here and nowhere else.
"""

import logging
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from softprompt.app.cli import (
    advise,
    cache,
    check,
    compare,
    curve,
    data,
    demo,
    doctor,
    ensemble,
    evaluate,
    exchange,
    init,
    predict,
    report,
    serve,
    show,
    sweep,
    template,
    tune,
)
from softprompt.app.cli.face import Face
from softprompt.app.cli.failures import BROKEN_PIPE, INTERRUPTED, usage_error
from softprompt.app.cli.streams import is_broken_pipe, silence, speak_plainly
from softprompt.core.threads import wait_asleep

__all__ = ["app", "main", "run"]

LEARN, LOOK, USE, HOUSE = "Learn", "Look before", "Use", "Keep house"

#: As the help lists them.
ORDER = (
    "demo",
    "init",
    "tune",
    "sweep",
    "compare",
    "curve",
    "advise",
    "check",
    "template",
    "data",
    "evaluate",
    "ensemble",
    "predict",
    "serve",
    "export",
    "import",
    "convert",
    "report",
    "show",
    "runs",
    "cache",
    "doctor",
)


class _InOrder(TyperGroup):
    """Commands and groups in one order; typer lists all groups last."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=ORDER.index)


def _version(wanted: bool) -> bool:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"softprompt {version('softprompt')}")
        raise typer.Exit
    return wanted


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and exit.")
    ] = False,
) -> None:
    """Specialise a frozen language model to a task with a few kilobytes of learned prompt.

    Exit status: 0 done, 130 stopped with Ctrl-C (the best so far is kept), else the kind of error: see
    docs/reference/errors.md.
    """


def make_app() -> typer.Typer:
    """The application, built from the table of commands."""
    options: dict[str, Any] = {"rich_markup_mode": "rich", "context_settings": {"help_option_names": ["-h", "--help"]}}
    made = typer.Typer(
        cls=_InOrder, name="softprompt", no_args_is_help=True, add_completion=True, callback=_root, **options
    )
    made.command(rich_help_panel=LEARN)(demo.demo)
    made.command(rich_help_panel=LEARN)(init.init)
    made.command(rich_help_panel=LEARN)(tune.tune)
    made.command(rich_help_panel=LEARN)(sweep.sweep)
    made.command(rich_help_panel=LEARN)(compare.compare)
    made.command(rich_help_panel=LEARN)(curve.curve)
    made.command(rich_help_panel=LOOK)(advise.advise)
    made.command(rich_help_panel=LOOK)(check.check)
    made.command(rich_help_panel=USE)(evaluate.evaluate)
    made.command(rich_help_panel=USE)(ensemble.ensemble)
    made.command(rich_help_panel=USE)(predict.predict)
    made.command(rich_help_panel=USE)(serve.serve)
    made.command(rich_help_panel=USE)(exchange.export)
    made.command("import", rich_help_panel=USE)(exchange.import_)
    made.command(rich_help_panel=USE)(exchange.convert)
    made.command(rich_help_panel=USE)(report.report)
    made.command(rich_help_panel=USE)(show.show)
    made.command(rich_help_panel=USE)(show.runs)
    for name, what, commands, panel in (
        ("template", "Templates: look at one, list the presets.", (template.check, template.presets), LOOK),
        ("data", "Rows: look at them before training.", (data.page, data.check), LOOK),
        ("cache", "Cached text states: list, remove.", (cache.ls, cache.clear), HOUSE),
    ):
        group = typer.Typer(help=what, no_args_is_help=True, **options)
        for command in commands:
            group.command()(command)
        made.add_typer(group, name=name, rich_help_panel=panel)
    made.command(rich_help_panel=HOUSE)(doctor.doctor)
    return made


app = make_app()


def main() -> None:
    """The entry point of ``softprompt``."""
    wait_asleep()
    logging.getLogger("torchao").setLevel(logging.ERROR)  # transformers imports it, and it tells of missing kernels
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)  # and torch of what torchao does
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Returns:
        The exit status: 0, that of the error, 130 for Ctrl-C, 141 when the reader of a pipe is gone.
    """
    speak_plainly(sys.stdout, sys.stderr)
    try:
        status = _invoke(list(arguments))
        sys.stdout.flush()
    except OSError as error:
        if not is_broken_pipe(error):
            raise
        status = BROKEN_PIPE
    except KeyboardInterrupt:
        status = INTERRUPTED
    if status == BROKEN_PIPE:
        silence(sys.stdout.fileno())
    return status


def _invoke(arguments: list[str]) -> int:
    try:
        status = get_command(app).main(args=arguments, prog_name="softprompt", standalone_mode=False)
    except typer.Abort:
        return INTERRUPTED
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return _usage(error, as_json="--json" in arguments)
    return status if isinstance(status, int) else 0


def _usage(error: Any, *, as_json: bool = False) -> int:
    """What is wrong with the command line, in the form of every other error; a group without command shows its help."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "softprompt"
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(error.format_message())
        return 0
    message = error.format_message().rstrip(".")
    try:
        with Face(as_json=as_json):
            raise usage_error(message[:1].lower() + message[1:], cure=f"see {path} --help")
    except typer.Exit as done:
        return done.exit_code
