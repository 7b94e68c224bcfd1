"""All comparisons as one picture: a panel a set, a dot with its interval a contender; readable light and dark."""

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

__all__ = ["picture"]

_STYLE = """<style>
  text { font: 13px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600; font-size: 15px }
  .quiet { fill: #6e7781; font-size: 12px } .end { text-anchor: end } .middle { text-anchor: middle }
  .grid { stroke: #d8dee4 } .edge { stroke: #9aa4af; stroke-dasharray: 3 3 }
  .other { fill: #6e7781; stroke: #6e7781 } .ours { fill: #1a7f64; stroke: #1a7f64 }
  line { stroke-width: 2 } .grid, .edge { stroke-width: 1 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 } .grid { stroke: #30363d } .edge { stroke: #59636e }
    .other { fill: #9198a1; stroke: #9198a1 } .ours { fill: #3fb68f; stroke: #3fb68f } }
</style>"""

_LEFT, _WIDTH, _HIGH = 260, 420, 21

#: Kinds in the accent colour.
_OURS = frozenset(("soft", "ensemble"))


def picture(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Scores with intervals; the dashed line is the reference.

    Args:
        tables: ``table.json`` by set.

    >>> score = {"estimate": 0.5, "low": 0.4, "high": 0.6}
    >>> line = {"name": "ours", "kind": "soft", "score": score}
    >>> table = {"metric": "accuracy", "reference": "ours", "contenders": [line], "rows": {"test": {"count": 9}}}
    >>> picture({"mail": table}).count("<circle")
    1
    """
    parts, y = [], 8
    for name, table in tables.items():
        y = _panel(parts, name, table, y)
    width = _LEFT + _WIDTH + 70
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}" role="img">'
    title = "<title>Scores of all contenders with 95 % intervals, by data set</title>"
    return "\n".join([head, title, _STYLE, *parts, "</svg>\n"])


def _panel(parts: list[str], name: str, table: Mapping[str, Any], y: int) -> int:
    lines = [line for line in table["contenders"] if line["score"]]
    metric = table["metric"].replace("_", "-")
    said = f"{escape(metric)} on {table['rows']['test']['count']} rows, %"
    parts.append(f'<text x="10" y="{y + 15}" class="title">{escape(name)}</text>')
    parts.append(f'<text x="{_LEFT + _WIDTH}" y="{y + 15}" class="quiet end">{said}</text>')
    y += 26
    bottom = y + _HIGH * len(lines)
    for tick in (0, 25, 50, 75, 100):
        x = _at(tick / 100)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{bottom}" class="grid"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 15}" class="quiet middle">{tick}</text>')
    for line in lines:
        if line["name"] == table["reference"]:
            x = _at(line["score"]["estimate"])
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{bottom}" class="edge"/>')
    for line in lines:
        middle = y + _HIGH / 2
        low, at, high = (_at(line["score"][end]) for end in ("low", "estimate", "high"))
        kind = "ours" if line["kind"] in _OURS else "other"
        told = line["name"] if len(line["name"]) < 34 else f"{line['name'][:32]}…"
        parts.append(f'<text x="{_LEFT - 12}" y="{middle + 4.5}" class="end">{escape(told)}</text>')
        parts.append(f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}" class="{kind}"/>')
        parts.append(f'<circle cx="{at:.1f}" cy="{middle}" r="4.5" class="{kind}"/>')
        parts.append(f'<text x="{high + 8:.1f}" y="{middle + 4.5}">{100 * line["score"]["estimate"]:.1f}</text>')
        y += _HIGH
    return bottom + 34


def _at(share: float) -> float:
    return _LEFT + _WIDTH * share
