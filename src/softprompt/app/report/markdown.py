"""A report in short as Markdown: for a repository, a ticket, a mail. Texts of others cannot break its tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from softprompt.app.page.words import duration, size
from softprompt.app.report.view import amount, difference, fact_list, p_value, sliced

__all__ = ["cell", "markdown", "table"]

Document = Mapping[str, Any]


def cell(value: object) -> str:
    """A text in one cell: no line breaks, no column of its own, no markup.

    >>> cell("a|b\\n<i>"), cell("[y](z) [1, 2]")
    ('a\\\\|b &lt;i&gt;', '[y]&#40;z) [1, 2]')
    """
    text = " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for sign in "\\|`*_":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("](", "]&#40;")


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], *, numbers: Sequence[int] = ()) -> str:
    """A table; the columns in ``numbers`` stand to the right.

    >>> print(table(["name", "score"], [["a", "51.3"]], numbers=[1]))
    | name | score |
    | --- | ---: |
    | a | 51.3 |
    """
    rule = ["---:" if place in numbers else "---" for place in range(len(heads))]
    lines = [heads, rule, *([cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def markdown(document: Document) -> str:
    """The verdict, the table, what more labels bring, rows that flip, and where the numbers come from."""
    metric = f"{document['metric']}{' %' if document['scale']['share'] else ''}" if document["metric"] else "score"
    parts = [f"# {cell(document['title'])}", "", f"**{cell(document['verdict'])}.**", ""]
    parts += [f"> {cell(warning)}\n" for warning in document["warnings"]]
    if document["lines"]:
        heads = ["", cell(metric), "95 % interval"]
        heads += [f"against {cell(document['reference'])}", "verdict", "p (Holm)"] if document["reference"] else []
        heads += ["learning", "size"]
        rows = [_row(line, document) for line in document["lines"]]
        parts += [table(heads, rows, numbers=[1, len(heads) - 2, len(heads) - 1]), ""]
        which = f"{document['num_rows']:,} {document['split']} rows" if document["same_rows"] else "different rows"
        parts += [f"Judged on {which}; intervals are 95 %.", ""]
    parts += [f"Left out: {cell(one['name'])}, because {cell(one['why'])}.\n" for one in document["left_out"]]
    for curve in document["curves"]:
        parts += ["## What more labels bring", "", _curve(curve), ""]
        parts += [f"- {cell(sentence)}" for sentence in curve["sentences"]] + [""]
    parts += _slices(document)
    parts += _flips(document["closer"])
    parts += ["## Where the numbers come from", ""]
    for run in document["runs"]:
        pairs = fact_list(run)["pairs"]
        parts += [f"### {cell(run['name'])}", "", table(["", ""], pairs), ""]
    parts += [f"softprompt {document['softprompt']}, {document['created'][:10]}", ""]
    return "\n".join(parts)


def _row(line: Document, document: Document) -> list[str]:
    score, against, cost, share = line["score"], line["against"], line["cost"], line["share"]
    bounds = [amount(score[end] if score else None, share=share) for end in ("low", "high")]
    name = line["name"] if document["metric"] else f"{line['name']} ({line['metric']}{' %' if share else ''})"
    cells = [name, amount(score["estimate"] if score else None, share=share), " to ".join(bounds)]
    if document["reference"]:
        told = _told(against, share=share)
        cells += told or ["", "reference" if line["own"] else "", ""]
    return [*cells, duration(cost["fit_seconds"]) if cost["fit_seconds"] else "–", size(cost["num_bytes"] or 0)]


def _told(against: Document | None, *, share: bool) -> list[str]:
    """Difference, verdict and p-value; nothing for the reference."""
    if against is None:
        return []
    return [difference(against["difference"], share=share), against["verdict"], p_value(against["p_adjusted"])]


def _curve(curve: Document) -> str:
    """Scores by contender and size."""
    sizes = curve["sizes"]
    rows = []
    for one in curve["curves"]:
        found = one["by_size"]
        rows.append([one["name"], *(f"{found[str(n)]['estimate']:.3f}" if str(n) in found else "–" for n in sizes)])
    return table(
        [f"{cell(curve['metric'])} by rows", *(f"{n:,}" for n in sizes)], rows, numbers=range(1, len(sizes) + 1)
    )


def _slices(document: Document) -> list[str]:
    """Scores by the values of columns."""
    parts = []
    for found in (document["closer"] or {}).get("slices", []):
        shown = sliced(found, document)
        heads = [cell(shown["column"]), "rows", *(f"{cell(shown['head'])}, {cell(name)}" for name in shown["names"])]
        rows = [[value, count, *scores] for value, count, _, scores in shown["cells"]]
        parts += [
            f"## By {cell(shown['column'])}",
            "",
            f"{cell(document['closer']['names'][0])}: {cell(shown['sentence'])}.",
            "",
        ]
        parts += [table(heads, rows, numbers=[1]), ""]
    return parts


def _flips(closer: Document | None) -> list[str]:
    if closer is None or not closer["flips"]:
        return []
    flips = closer["flips"]
    first, second = map(cell, flips["names"])
    told = (
        f"{first} alone is right on {flips['only_first']['count']} rows, {second} alone on "
        f"{flips['only_second']['count']}; both on {flips['both_right']}, neither on {flips['both_wrong']}."
    )
    return ["## Rows that flip", "", told, ""]
