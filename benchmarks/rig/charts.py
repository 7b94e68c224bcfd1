"""Bars as SVG: readable on a light and on a dark page, with no library."""

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

__all__ = ["bars"]

_STYLE = """<style>
  text { font: 13px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600; font-size: 15px }
  .quiet { fill: #6e7781 } .other { fill: #9aa4af } .ours { fill: #1a7f64 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 } .other { fill: #59636e } .ours { fill: #3fb68f } }
</style>"""


def bars(
    groups: Mapping[str, Mapping[str, float]], *, title: str, unit: str, labels: Mapping[str, str], ours: Sequence[str]
) -> str:
    """Horizontal bars, one block a group, all on one scale from zero.

    Args:
        groups: Value by bar, by group.
        title: Above the chart.
        unit: After each value.
        labels: Of the bars.
        ours: Bars in the accent colour.

    >>> bars({"256 tokens": {"a": 2.0}}, title="t", unit="s", labels={"a": "A"}, ours=["a"]).count("<rect")
    1
    """
    left, width, high, gap = 250, 430, 20, 30
    top = max((value for group in groups.values() for value in group.values()), default=1.0) or 1.0
    parts: list[str] = []
    y = 34
    for name, group in groups.items():
        parts.append(f'<text x="10" y="{y + 14}" class="quiet">{escape(name)}</text>')
        y += 22
        for bar, value in group.items():
            kind = "ours" if bar in ours else "other"
            size = max(1.0, width * value / top)
            parts.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{escape(labels.get(bar, bar))}</text>')
            parts.append(f'<rect x="{left}" y="{y + 2}" width="{size:.1f}" height="{high - 5}" rx="2" class="{kind}"/>')
            parts.append(f'<text x="{left + size + 6:.1f}" y="{y + 14}">{value:.3g} {escape(unit)}</text>')
            y += high
        y += gap - 18
    total = left + width + 80
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {y}" width="{total}" height="{y}" role="img">'
    return "\n".join(
        [
            head,
            f"<title>{escape(title)}</title>",
            _STYLE,
            f'<text x="10" y="20" class="title">{escape(title)}</text>',
            *parts,
            "</svg>\n",
        ]
    )
