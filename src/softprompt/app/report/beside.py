"""Lines of several runs as one table. Differences are told only where all were judged on the same rows.

Knows lines; the statistics are those of comparisons.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from softprompt.app.report.sources import Entry
from softprompt.core.errors import ConfigError, DataError, nearest
from softprompt.core.words import counted
from softprompt.lab.comparison.deciding import FEWEST_ROWS, decide, score_of, spread_of, verdict_of
from softprompt.lab.comparison.table import Against, Line

__all__ = ["Beside", "beside"]


@dataclass(frozen=True)
class Beside:
    """The table.

    Attributes:
        lines: With numbers, in the order they came.
        of: Line -> name of its run.
        metric: The score that decides; empty where the lines share none.
        reference: What the others are compared with; empty where nothing is compared.
        against: The others beside it; none where the rows differ.
        verdict: One sentence.
        warnings: What must be read with it.
        same_rows: Whether all were judged on the same rows.
        num_rows: That judged, of the reference.
    """

    lines: tuple[Line, ...]
    of: dict[str, str]
    metric: str
    reference: str
    against: tuple[Against, ...]
    verdict: str
    warnings: tuple[str, ...]
    same_rows: bool
    num_rows: int

    def line(self, name: str) -> Line:
        """By name."""
        return next(line for line in self.lines if line.name == name)


def beside(entries: Sequence[Entry], *, reference: str | None = None, metric: str | None = None) -> Beside:
    """All lines as one table.

    Args:
        entries: The runs.
        reference: Name of the line that all stand beside; None: that of the first run.
        metric: The score that decides; None: that of the first run.

    Raises:
        ConfigError: ``config.unknown_name``: a reference that is no line, or a score that a line does not have.
        DataError: ``data.lengths_differ``: a reference was asked for, and the rows differ.
    """
    lines, of = _named(entries)
    if not lines:
        return Beside((), {}, "", "", (), "", (), same_rows=True, num_rows=0)
    asked, names = reference, [line.name for line in lines]
    if reference is not None and reference not in names:
        raise ConfigError("config.unknown_name", f"no line is called {reference!r}; {nearest(reference, names)}")
    first = next(one for one in entries if one.lines)
    reference = reference or _first_reference(first, lines, of)
    shared = _shared_metrics(lines)
    if metric is not None and metric not in shared:
        raise ConfigError("config.unknown_name", f"not every line has the score {metric!r}; {nearest(metric, shared)}")
    wanted = metric or (first.metric if first.metric in shared else next(iter(shared), ""))
    same = len({_rows(line) for line in lines}) == 1
    warnings = [f"{one.name}: {note}" if len(entries) > 1 else note for one in entries for note in one.warnings]
    if not same:
        if asked is not None:
            message = f"differences to {asked!r} need the same rows, and these were judged on {_sizes(lines)}"
            raise DataError("data.lengths_differ", message, cure="judge all on one test file, or leave --reference out")
        warnings.insert(0, f"different rows judged: {_sizes(lines)}")
    scored = tuple(_scored(line, wanted) for line in lines)
    num_rows = len(next(line for line in lines if line.name == reference).runs[0].evaluation.items)
    if not same or not wanted:
        what = "were judged on different rows" if not same else "do not share a score"
        told = f"these runs {what}: their scores stand side by side, and none is called better"
        return Beside(scored, of, wanted, "", (), told, tuple(warnings), same_rows=same, num_rows=num_rows)
    against = decide(scored, reference=reference, metric=wanted)
    if num_rows < FEWEST_ROWS:
        warnings.insert(
            0, f"{counted(num_rows, 'row')} can show no difference at all: six disagreements are the fewest"
        )
    alone = f"{reference}: {wanted} {next(one for one in scored if one.name == reference).score}"
    verdict = verdict_of(reference, against) if against else alone
    return Beside(scored, of, wanted, reference, against, verdict, tuple(warnings), same_rows=True, num_rows=num_rows)


def _named(entries: Sequence[Entry]) -> tuple[list[Line], dict[str, str]]:
    """Lines with names of their own; one that another run holds too, answer for answer, stands once."""
    found: list[Line] = []
    of: dict[str, str] = {}
    plain: dict[str, str] = {}
    several = sum(bool(one.lines) for one in entries) > 1
    for n, entry in enumerate(entries):
        run = entry.name if [one.name for one in entries].count(entry.name) == 1 else f"{entry.name} ({n + 1})"
        for line in entry.lines:
            name = f"{run}: {line.name}" if several else line.name
            twin = any(plain[old.name] == line.name and of[old.name] != run and _same(line, old) for old in found)
            if line.runs and not twin:
                of[name], plain[name] = run, line.name
                found.append(replace(line, name=name))
    return found, of


def _same(one: Line, other: Line) -> bool:
    """Whether two lines gave the same answers to the same rows."""
    return [run.evaluation.items for run in one.runs] == [run.evaluation.items for run in other.runs]


def _first_reference(entry: Entry, lines: Sequence[Line], of: dict[str, str]) -> str:
    mine = [line.name for line in lines if of[line.name] == of[lines[0].name]]
    return next((name for name in mine if name in (entry.reference, f"{of[name]}: {entry.reference}")), mine[0])


def _rows(line: Line) -> tuple[tuple[str, str], ...]:
    return tuple((item.id, repr(item.reference)) for item in line.runs[0].evaluation.items)


def _sizes(lines: Sequence[Line]) -> str:
    kinds = {_rows(line): line for line in lines}
    return ", ".join(f"{counted(len(rows), 'row')} of {line.name}" for rows, line in kinds.items())


def _shared_metrics(lines: Sequence[Line]) -> list[str]:
    """Scores of answers that every evaluation has, in the order of the first."""
    first = lines[0].runs[0].evaluation
    names = [
        name for name in first.comparable if all(name in run.evaluation.metrics for one in lines for run in one.runs)
    ]
    return names if all(one.runs[0].evaluation.labels == first.labels for one in lines) else []


def _scored(line: Line, metric: str) -> Line:
    own = metric or next(iter(line.runs[0].evaluation.metrics))
    return replace(line, score=score_of(line.runs, own), spread=spread_of(line.runs, own))
