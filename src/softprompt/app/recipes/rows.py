"""The rows of a run, read once each: the same for the page before training, for checks and for the run itself."""

from collections.abc import Collection, Mapping

from softprompt.app.config import RunConfig
from softprompt.core.tasks import KINDS
from softprompt.data.reading import Reading, Source, read_source

__all__ = ["given", "read_rows"]


def read_rows(
    config: RunConfig, sources: Mapping[str, Source] | None = None, *, named: Collection[str] = ()
) -> dict[str, Reading]:
    """What the settings name under ``data``, by split; nothing is checked against the task yet.

    Args:
        config: The run.
        sources: Rows by split, instead of the files.
        named: Columns that are named besides those of the settings.

    Raises:
        DataError: What cannot be read.
        ExtraError: A format that needs an extra.
        TemplateError: A template that cannot be parsed.
    """
    named = {*_named(config), *named}
    return {name: read_source(source, config.data.read, named=named) for name, source in given(config, sources).items()}


def given(config: RunConfig, sources: Mapping[str, Source] | None = None) -> dict[str, Source]:
    """Where the rows of a run are, by split: in the files of its settings, or where a call says."""
    files = {name: getattr(config.data, name) for name in ("train", "validation", "test", "unlabelled")}
    return dict(sources) if sources is not None else {name: path for name, path in files.items() if path}


def _named(config: RunConfig) -> Collection[str]:
    """Columns that the settings name, so that no recognised export takes one away."""
    data, task = config.data, config.task
    fields = config.template.fields(task.kind) or ()
    candidates = (task.candidates,) if isinstance(task.candidates, str) else task.candidates or ()
    return {
        data.columns.get(task.target, task.target),
        *data.columns.values(),
        *data.roles.values(),
        *candidates,
        *(name for name in fields if name not in data.columns),
        *KINDS[task.kind].named,
    }
