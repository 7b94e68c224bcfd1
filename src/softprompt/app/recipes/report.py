"""Report on runs: read what they left, put it beside each other, write a page, JSON, Markdown and a model card."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from softprompt.app.recipes.rereading import JudgedRows, read_again
from softprompt.app.report.document import Report, make_report
from softprompt.app.report.hub import model_card
from softprompt.app.report.sources import read_entry
from softprompt.core.errors import ConfigError, PromptError
from softprompt.core.files import write_private, write_whole
from softprompt.model.prompts.prompt import Prompt

__all__ = ["report", "write_report"]

PAGE, DATA, SHORT, CARD = "report.html", "report.json", "report.md", "README.md"


def report(
    paths: Sequence[str | Path],
    *,
    reference: str | None = None,
    beside: str | None = None,
    metric: str | None = None,
    slices: Sequence[str] = (),
    texts: bool = False,
) -> Report:
    """Put runs beside each other.

    Args:
        paths: Folders of comparisons, runs and learning curves; files of ``softprompt evaluate --json``.
        reference: Name of the line that all stand beside; None: that of the first run.
        beside: Name of the line that is looked at closely beside it; None: the best of the others.
        metric: The score that decides; None: that of the first run.
        slices: Columns of the judged rows, read again from the files that the runs' settings name, to show scores by.
        texts: Read the judged rows again in the same way, and show their texts.

    Raises:
        DataError: ``data.no_report``, ``data.unreadable``, ``data.unknown_schema``, ``data.lengths_differ``; with
            ``slices`` and ``texts`` whatever is wrong with the files of the rows, and ``data.missing_column``.
        ConfigError: ``config.unknown_name``, ``config.usage`` without a path.
    """
    if not paths:
        raise ConfigError("config.usage", "no run was named", cure="softprompt report runs/NAME")
    entries = [read_entry(Path(path)) for path in paths]
    found = read_again(entries, columns=slices) if texts or slices else JudgedRows()
    return make_report(
        entries,
        reference=reference,
        beside=beside,
        metric=metric,
        texts=found.texts if texts else {},
        columns=found.columns,
    )


def write_report(made: Report, folder: Path, *, card: bool = False) -> list[Path]:
    """Write the report's files; one that shows texts of rows is for its owner alone.

    Args:
        made: The report.
        folder: Where.
        card: Also a model card, of the one saved prompt among the runs.

    Returns:
        The files, the page first.

    Raises:
        ConfigError: ``config.invalid``: a card of no prompt, or of several.
        PromptError: What is wrong with the prompt.
        ResourceError: ``resource.write_failed``, ``resource.disk_full``.
    """
    document = made.to_dict()
    files = {
        PAGE: made.to_html(),
        DATA: json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        SHORT: made.to_markdown(),
        **({CARD: _card(document)} if card else {}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    private = bool(document["closer"] and document["closer"]["texts"])
    for name, text in files.items():
        if private and name != CARD:
            write_private(folder / name, text)
        else:
            write_whole(folder / name, text.encode("utf-8"))
    return [folder / name for name in files]


def _card(document: Mapping[str, object]) -> str:
    """The model card of the one prompt."""
    runs = document["runs"]
    assert isinstance(runs, list)
    prompts = [run["prompt"] for run in runs if run["prompt"]]
    if len(prompts) != 1:
        message = f"a model card is of one saved prompt, these runs have {len(prompts)}"
        raise ConfigError("config.invalid", message, cure="name one run of softprompt tune, beside others if you like")
    try:
        prompt = Prompt.load(prompts[0])
    except PromptError as error:
        raise error.at(str(prompts[0])) from None
    return model_card(prompt.to_dict(), document)
