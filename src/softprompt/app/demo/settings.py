"""What a demonstration can be told; without any of it, the example messages and the embedded model are taken."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from softprompt.app.config import ModelSettings
from softprompt.core.config import Settings

__all__ = ["DemoSettings"]


class DemoSettings(Settings):
    """The settings of a demonstration.

    >>> DemoSettings.parse({"target": "topic"})
    Traceback (most recent call last):
    softprompt.core.errors.ConfigError: target: unknown key; did you mean 'targets'? known: ...
    """

    data: Path | None = Field(None, description="your own table: csv, tsv, jsonl or json; None: the example messages")
    text_column: str | None = Field(None, description="column of the text; None: text, else the column of the longest")
    targets: tuple[str, ...] = Field((), max_length=6, description="columns of answers; (): those that look like it")
    texts: tuple[str, ...] = Field((), description="sentences of your own to answer at the end")
    model: ModelSettings = ModelSettings()
    output: Path = Field(Path("softprompt-demo"), description="folder of the prompts and the page")
    max_time: float = Field(75.0, gt=0, description="seconds in all; training gets what the rest leaves")
    max_steps: int = Field(200, ge=1, description="steps of a training at most")
    length: int = Field(20, ge=1, description="soft tokens a prompt")
    seed: int = Field(0, ge=0, description="of the split, the start values and the order of the rows")
    on_bad_row: Literal["error", "skip"] = Field("error", description="stop, or leave bad rows out")
