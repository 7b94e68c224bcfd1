"""What to do after a demonstration: commands that can be copied as they stand."""

import shlex
from collections.abc import Sequence

from softprompt.app.demo.result import Command, Question
from softprompt.app.demo.rows import Table
from softprompt.app.demo.settings import DemoSettings

__all__ = ["next_commands"]


def next_commands(questions: Sequence[Question], table: Table, settings: DemoSettings) -> tuple[Command, ...]:
    """From the prompts just saved to a tuning of one's own."""
    prompts = " ".join(shlex.quote(str(one.prompt)) for one in questions)
    example = table.example
    file = "yours.csv" if example else shlex.quote(str(settings.data))
    column, target = ("text", "label") if example else (table.text_column, questions[0].target)
    rows = f"{file} --text-column {shlex.quote(column)} --target {shlex.quote(target)}"
    return (
        Command(
            "answer sentences of your own, all questions over one reading",
            f"softprompt predict {prompts} --text {shlex.quote('Where is my parcel?')}",
        ),
        Command("look into a prompt", f"softprompt show {shlex.quote(str(questions[0].prompt))}"),
        Command("tune with care: learning rates probed, three seeds, no haste", f"softprompt tune --train {rows}"),
        Command("this comparison on a table of your own", f"softprompt demo --data {rows}")
        if example
        else Command("this comparison with another model", f"softprompt demo --data {rows} --model FOLDER"),
    )
