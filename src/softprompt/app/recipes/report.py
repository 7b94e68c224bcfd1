"""Report on runs: read what they left, put it beside each other, write a page, JSON, Markdown and a model card."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from softprompt.app.config import RunConfig
from softprompt.app.recipes.prepare import load_splits, load_task
from softprompt.app.recipes.rows import read_rows
from softprompt.app.report.document import Report, make_report
from softprompt.app.report.hub import model_card
from softprompt.app.report.sources import CONFIG, Entry, read_entry
from softprompt.app.yaml import read_yaml
from softprompt.core.errors import ConfigError, PromptError
from softprompt.core.files import write_private, write_whole
from softprompt.core.records import Example
from softprompt.data.dataset import Dataset
from softprompt.model.prompts.prompt import Prompt

__all__ = ["report", "write_report"]

PAGE, DATA, SHORT, CARD = "report.html", "report.json", "report.md", "README.md"


def report(
    paths: Sequence[str | Path],
    *,
    reference: str | None = None,
    metric: str | None = None,
    texts: bool = False,
) -> Report:
    """Put runs beside each other.

    Args:
        paths: Folders of comparisons, runs and learning curves; files of ``softprompt evaluate --json``.
        reference: Name of the line that all stand beside; None: that of the first run.
        metric: The score that decides; None: that of the first run.
        texts: Read the judged rows again, where the runs' settings name them, and show their texts.

    Raises:
        DataError: ``data.no_report``, ``data.unreadable``, ``data.unknown_schema``, ``data.lengths_differ``; with
            ``texts`` whatever is wrong with the files of the rows.
        ConfigError: ``config.unknown_name``, ``config.usage`` without a path.
    """
    if not paths:
        raise ConfigError("config.usage", "no run was named", cure="softprompt report runs/NAME")
    entries = [read_entry(Path(path)) for path in paths]
    found = texts_of(entries) if texts else {}
    return make_report(entries, reference=reference, metric=metric, texts=found)


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


def texts_of(entries: Sequence[Entry]) -> dict[str, str]:
    """Text by id of the rows that judged the runs, from the files that their settings name.

    Raises:
        ConfigError: ``config.invalid``: settings that name no rows any more.
        DataError: What is wrong with the rows.
    """
    found: dict[str, str] = {}
    for entry in entries:
        if not entry.lines or not entry.config:
            continue
        config = RunConfig.parse(read_yaml(entry.path / CONFIG), where=str(entry.path / CONFIG))
        if entry.kind == "comparison" and config.data.test is None and not config.data.split.test:
            config = config.with_({"data.split.test": config.compare.test})
        rows = read_rows(config)
        splits, _, _ = load_splits(config, load_task(config, rows["train"]), rows)
        wanted = {item.id for line in entry.lines for run in line.runs for item in run.evaluation.items}
        found |= {row.id: text_of(row) for part in splits.values() for row in _rows(part) if row.id in wanted}
    return found


def text_of(row: Example) -> str:
    """The fields of a row in one text.

    >>> text_of(Example({"text": "hi"})), text_of(Example({"title": "a", "body": "b"}))
    ('hi', 'title: a / body: b')
    """
    if len(row.fields) == 1:
        return str(next(iter(row.fields.values())))
    return " / ".join(f"{name}: {text}" for name, text in row.fields.items())


def _rows(part: Dataset) -> Sequence[Example]:
    return part.rows


def _card(document: Mapping[str, object]) -> str:
    """The model card of the one prompt."""
    runs = document["runs"]
    assert isinstance(runs, list)
    prompts = [run["prompt"] for run in runs if run["prompt"]]
    if len(prompts) != 1:
        message = f"a model card is of one saved prompt, these runs have {len(prompts)}"
        raise ConfigError("config.invalid", message, cure="name the one run that softprompt tune made")
    try:
        prompt = Prompt.load(prompts[0])
    except PromptError as error:
        raise error.at(str(prompts[0])) from None
    return model_card(prompt.to_dict(), document)
