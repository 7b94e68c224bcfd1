"""The committed page, picture and JSON, written from whatever cells are there; what is missing is said.

Knows summaries; nothing of what learns.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.adopting.cells import NO_ROWS, ROUNDS, SEEDS, Cell, Place, planned
from benchmarks.adopting.picture import NAMES, draw
from benchmarks.adopting.sets import EFFORT, JUDGED, SETS, TOKENS
from benchmarks.adopting.summary import Group, Table, below, difference
from benchmarks.rig.machine import describe, load_average, sentence
from softprompt.core.stats import Interval, verdict
from softprompt.core.words import counted, duration
from softprompt.lab.training.settings import EFFORTS, PASSES

__all__ = ["page", "report_of", "write"]

#: What soft prompts are set beside.
OTHERS = ("tfidf", "embeddings", "few-shot", "lora")

LEAST, MOST = EFFORTS[EFFORT].steps, EFFORTS[EFFORT].most

HEAD = f"""# What adopters may expect: score against labelled rows

Made by `benchmarks/adopters.py`. The embedded model is of toy size (20 million parameters): **what wins here does not
predict what wins on yours.** `softprompt curve` draws this picture for your rows and your model.

Eight public sets. Each *draw* is another choice of labelled rows and another luck of training at once; a larger part
of a draw holds the smaller ones, and all contenders learn from the same parts. {JUDGED} rows judge (fewer where a set
has fewer), always the same; scores are shares of right answers. Texts are cut at {TOKENS} tokens. What is trained has
the settings of `--effort {EFFORT}`: a fifth of the rows set aside, a probe of three learning rates, {LEAST} to
{MOST} steps of 16 rows (as many as see each row {PASSES} times, within these bounds), one seed. The soft prompt stands
after the text, as in a new run; LoRA has rates of its own. Few-shot shows up to four examples a label. Intervals are
95 %, over draws and judged rows; with one draw, over judged rows alone."""


def write(path: Path, cells: Sequence[Cell], *, pools: Mapping[str, tuple[int, int]] | None = None) -> None:
    """Write ``path`` (JSON) and the page and the picture of the same name beside it.

    Args:
        path: Of the JSON.
        cells: What was measured.
        pools: Rows to draw from and number of labels by set, by which it is known what is missing.
    """
    if not cells:
        print("nothing was measured: no page is written")
        return
    table = Table(cells)
    names = [name for name in SETS if any(key[0] == name for key in table.groups)]
    path.with_suffix(".svg").write_text(draw(table, names), "utf-8")
    path.with_suffix(".md").write_text(page(table, names, cells, pools=pools or {}), "utf-8")
    path.write_text(json.dumps(report_of(table, cells), indent=1) + "\n", "utf-8")


def report_of(table: Table, cells: Sequence[Cell]) -> dict[str, Any]:
    """The numbers of the page, for machines."""
    points = [
        {
            "set": name,
            "contender": contender,
            "rows": rows,
            "score": group.interval.as_dict(),
            "by_draw": [round(score, 4) for score in group.scores],
            "fit_cpu_seconds": [cell.fit for cell in group.cells],
            "predict_cpu_seconds": [cell.predict for cell in group.cells],
        }
        for (name, contender, rows), group in sorted(table.groups.items())
    ]
    settings = {"effort": EFFORT, "judged": JUDGED, "max_tokens": TOKENS, "model": "embedded"}
    failed = [{"cell": cell.place.file, "why": cell.why} for cell in cells if cell.why]
    return {"schema": 1, "settings": settings, "machine": describe(), "points": points, "without_score": failed}


def page(table: Table, names: Sequence[str], cells: Sequence[Cell], *, pools: Mapping[str, tuple[int, int]]) -> str:
    """The page."""
    parts = [
        HEAD,
        "![Score against labelled rows, one panel a set](adopters.svg)",
        "## What it shows",
        "\n".join(f"* {line}" for line in findings(table, names)) or "Too little was measured for any comparison.",
        "## All scores",
        "Points of a hundred: mean and interval; in brackets the draws, where they are fewer than five.",
        *(f"### {name}: {SETS[name].about}\n\n{_about(table, name)}\n\n{_scores(table, name)}" for name in names),
        "## The worst of the draws, and runs that end below zero-shot",
        _worst(table, names),
        "## Soft prompt beside the others",
        "Difference in points, on the same judged rows; *better* and *worse* where the interval leaves out 0. Where "
        "a side has one draw, the luck of that draw is not counted, and the verdict sounds surer than it is.",
        _beside(table, names),
        "## Minutes to that score",
        "Processor time of one thread to learn, the probe included: median, lowest and highest of the sets.",
        _minutes(table, names),
        "## What is missing",
        _missing(cells, pools),
        sentence(load_average()),
    ]
    return "\n\n".join(parts) + "\n"


def findings(table: Table, names: Sequence[str]) -> Iterator[str]:
    """What the numbers say, computed from them."""
    for rows in table.sizes:
        among = [one for one in NAMES if sum(table.get(name, one, rows) is not None for name in names) > len(names) / 2]
        wins = Counter(best for name in names if (best := table.best(name, rows, among)) is not None)
        if len(among) > 1 and wins:
            told = ", ".join(f"{NAMES[one]} on {count}" for one, count in wins.most_common())
            yield f"**{rows:,} labels**, {counted(wins.total(), 'set')}: the highest mean has {told}."
    for other in OTHERS:
        counts, alone = Counter[str](), 0
        for name, rows in ((name, rows) for name in names for rows in table.sizes):
            ours, theirs = table.get(name, "soft", rows), table.get(name, other, rows)
            if ours is not None and theirs is not None:
                counts[verdict(difference(ours, theirs))] += 1
                alone += min(len(ours.cells), len(theirs.cells)) == 1
        if counts:
            told = ", ".join(f"{kind} in {counts[kind]}" for kind in ("better", "worse", "cannot tell") if counts[kind])
            unsure = f" ({alone} of these rest on one draw of a side, whose luck is not counted)" if alone else ""
            yield f"The soft prompt beside {NAMES[other]}, {counted(counts.total(), 'point')}: {told}{unsure}."
    found = [one for name in names for rows in table.sizes if (one := _below(table, name, rows)) is not None]
    if found:
        low, runs = sum(one for one, _ in found), sum(all_ for _, all_ in found)
        share = f"{low} of {counted(runs, 'run')} of the soft prompt ({100 * low / runs:.0f} %)"
        yield f"**{share} end below the untrained model.**"


def _below(table: Table, name: str, rows: int) -> tuple[int, int] | None:
    ours, zero = table.get(name, "soft", rows), table.get(name, "zero-shot")
    return None if ours is None or zero is None else (below(ours, zero), len(ours.cells))


def _about(table: Table, name: str) -> str:
    parts = []
    for kind, words in (("majority", "The most frequent label is right in"), ("zero-shot", "the untrained model in")):
        if (group := table.get(name, kind)) is not None:
            parts.append(f"{words} {_points(group.interval)}")
    return ", ".join(parts) + "." if parts else ""


def _scores(table: Table, name: str) -> str:
    lines = [f"| | {' | '.join(f'{rows:,}' for rows in table.sizes)} |", f"| --- |{' ---: |' * len(table.sizes)}"]
    for one, words in NAMES.items():
        lines.append(f"| {words} | {' | '.join(_cell(table.get(name, one, rows)) for rows in table.sizes)} |")
    return "\n".join(lines)


def _cell(group: Group | None) -> str:
    if group is None:
        return "-"
    draws = "" if len(group.cells) == SEEDS else f" ({len(group.cells)})"
    return _points(group.interval) + draws


def _points(interval: Interval) -> str:
    return f"{100 * interval.estimate:.1f} [{100 * interval.low:.0f}, {100 * interval.high:.0f}]"


def _worst(table: Table, names: Sequence[str]) -> str:
    lines = ["| set | labels | runs | worst | best | untrained model | below it |", "| --- |" + " ---: |" * 6]
    for name, rows in ((name, rows) for name in names for rows in table.sizes):
        group, zero = table.get(name, "soft", rows), table.get(name, "zero-shot")
        if group is None:
            continue
        ends = f"{100 * min(group.scores):.1f} | {100 * max(group.scores):.1f}"
        reference = "not measured | -" if zero is None else f"{100 * zero.scores[0]:.1f} | {below(group, zero)}"
        lines.append(f"| {name} | {rows:,} | {len(group.cells)} | {ends} | {reference} |")
    return "\n".join(lines) if len(lines) > 2 else "No soft prompt was measured."


def _beside(table: Table, names: Sequence[str]) -> str:
    lines = [
        f"| set | labels | {' | '.join(NAMES[one] for one in OTHERS)} |",
        "| --- |" + " ---: |" * (1 + len(OTHERS)),
    ]
    for name, rows in ((name, rows) for name in names for rows in table.sizes):
        ours = table.get(name, "soft", rows)
        if ours is not None:
            others = (table.get(name, one, rows) for one in OTHERS)
            found = ["-" if other is None else _difference(difference(ours, other)) for other in others]
            lines.append(f"| {name} | {rows:,} | {' | '.join(found)} |")
    return "\n".join(lines)


def _difference(interval: Interval) -> str:
    said = verdict(interval)
    ends = f"{100 * interval.estimate:+.1f} [{100 * interval.low:+.0f}, {100 * interval.high:+.0f}]"
    return ends if said == "cannot tell" else f"{ends} {said}"


def _minutes(table: Table, names: Sequence[str]) -> str:
    lines = [f"| | {' | '.join(f'{rows:,}' for rows in table.sizes)} |", f"| --- |{' ---: |' * len(table.sizes)}"]
    for one, words in NAMES.items():
        found = []
        for rows in table.sizes:
            groups = [group for name in names if (group := table.get(name, one, rows)) is not None]
            times = [group.seconds for group in groups]
            ends = f" ({duration(min(times))} to {duration(max(times))})" if len(times) > 1 else ""
            found.append(duration(median(times)) + ends if times else "-")
        lines.append(f"| {words} | {' | '.join(found)} |")
    return "\n".join(lines)


def _missing(cells: Sequence[Cell], pools: Mapping[str, tuple[int, int]]) -> str:
    """Runs that were made, of those that are planned, and why others are not."""
    wanted = Counter(
        (place.contender, place.rows)
        for name, (pool, labels) in pools.items()
        for place in planned(name, pool=pool, labels=labels)
    )
    made = Counter((cell.place.contender, cell.place.rows) for cell in cells)
    sizes = sorted({rows for _, rows in wanted if rows != NO_ROWS})
    lines = [f"| runs made, of those planned | {' | '.join(f'{rows:,}' for rows in sizes)} |"]
    lines.append(f"| --- |{' ---: |' * len(sizes)}")
    for one, words in NAMES.items():
        found = [f"{made[one, rows]} of {wanted[one, rows]}" if wanted[one, rows] else "" for rows in sizes]
        lines.append(f"| {words} | {' | '.join(found)} |")
    few = "; ".join(f"{NAMES[one]} {n} draws at most" for one in ("few-shot", "lora") if (n := _most(one)) < SEEDS)
    shown = "few-shot from more than 256 rows (of however many it shows four a label)"
    told = [f"Not planned: {few}; parts with fewer rows than labels; {shown}."]
    if absent := [name for name in SETS if name not in pools]:
        told.append(f"Sets that were not there: {', '.join(absent)}.")
    asked = [name for name in pools if not any(cell.place == Place(name, "zero-shot", NO_ROWS, 0) for cell in cells)]
    if asked:
        told.append(f"The untrained model was not measured on {', '.join(asked)}.")
    told += [f"No score: {cell.place.file}: {cell.why}." for cell in cells if cell.why]
    return "\n".join([*lines, "", *(f"* {one}" for one in told)])


def _most(contender: str) -> int:
    """Draws of a contender where it has most."""
    return max(max(seeds) + 1 for name, _, seeds in ROUNDS if name == contender)
