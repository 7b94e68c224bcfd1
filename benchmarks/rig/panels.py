"""Small panels of shares in a grid, as SVG: the sheet, each panel's frame, its scale upwards. Knows no data.

What stands in a panel, and what runs across, is its picture's own.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Layout", "Panel"]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Sizes in pixels.

    Attributes:
        width: Of a panel.
        height: Of a panel.
        per_line: Panels beside each other.
        left: Room in a panel for the labels of the scale.
        right: Free beside the frame.
        top: Room for the panel's title.
        bottom: Room for what runs across.
        foot: Room below all panels, for the legend.
    """

    width: int
    height: int
    per_line: int
    left: int
    right: int
    top: int
    bottom: int
    foot: int

    @property
    def end(self) -> int:
        """Right end of a panel's frame."""
        return self.width - self.right

    def sheet(self, panels: Sequence[str], *, title: str, style: str, legend: str, columns: int | None = None) -> str:
        """The whole picture.

        Args:
            panels: What each of them holds, line by line.
            title: For those who cannot see it.
            style: CSS.
            legend: As it stands in the foot, at its own place.
            columns: Of the sheet; None: as many as stand beside each other.
        """
        width, height = self.width * (columns or self.per_line), self.below(len(panels)) + self.foot
        places = ((self.width * (n % self.per_line), self.height * (n // self.per_line)) for n in range(len(panels)))
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
                f"<title>{escape(title)}</title>",
                f"<style>{style}</style>",
                f'<rect class="paper" width="{width}" height="{height}"/>',
                *(f'<g transform="translate({x} {y})">{one}</g>' for (x, y), one in zip(places, panels, strict=True)),
                legend,
                "</svg>",
                "",
            ]
        )

    def below(self, count: int) -> int:
        """Height of so many panels, where the foot begins."""
        return self.height * math.ceil(count / self.per_line)

    def panel(self, shares: Iterable[float]) -> "Panel":
        """One whose scale holds these shares, at whole tenths.

        >>> Layout(width=100, height=120, per_line=1, left=0, right=0, top=10, bottom=10, foot=0).panel([0.42, 0.71])
        Panel(..., low=0.4, high=0.8)
        """
        there = list(shares)
        return Panel(self, math.floor(10 * min(there, default=0.0)) / 10, math.ceil(10 * max(there, default=1.0)) / 10)


@dataclass(frozen=True)
class Panel:
    """The upward scale of one panel.

    Attributes:
        layout: Sizes.
        low: Share at the lower end of the frame.
        high: At the upper one.
    """

    layout: Layout
    low: float
    high: float

    def up(self, share: float) -> float:
        """Where a share stands.

        >>> one = Layout(width=99, height=120, per_line=1, left=0, right=0, top=10, bottom=10, foot=0)
        >>> one.panel([0.1, 0.5]).up(0.1), one.panel([0.1, 0.5]).up(0.5)
        (110.0, 10.0)
        """
        sizes = self.layout
        room = sizes.height - sizes.top - sizes.bottom
        return sizes.height - sizes.bottom - room * (share - self.low) / max(0.1, self.high - self.low)

    def grid(self, *, every: int = 1, unit: str = "%", style: str = "", gap: int = 5) -> str:
        """A line and a label for every so many tenths.

        Args:
            every: Tenths.
            unit: Behind the number.
            style: Class of the labels.
            gap: Pixels between label and frame.
        """
        left, parts = self.layout.left, list[str]()
        kind = f' class="{style}"' if style else ""
        for tenth in range(round(10 * self.low), round(10 * self.high) + 1, every):
            y = self.up(tenth / 10)
            parts.append(f'<path class="grid" d="M{left} {y:.1f}H{self.layout.end}"/>')
            parts.append(f'<text{kind} x="{left - gap}" y="{y + 4:.1f}" text-anchor="end">{10 * tenth}{unit}</text>')
        return "".join(parts)

    def level(self, share: float, style: str) -> str:
        """A line right across at a share."""
        return f'<path class="{style}" d="M{self.layout.left} {self.up(share):.1f}H{self.layout.end}"/>'

    def frame(self) -> str:
        """Around all of it."""
        one = self.layout
        inside = f'width="{one.end - one.left}" height="{one.height - one.top - one.bottom}"'
        return f'<rect class="frame" x="{one.left}" y="{one.top}" {inside}/>'
