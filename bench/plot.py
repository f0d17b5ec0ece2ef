"""Draws throughput and latency over the number of logs as an SVG; values in, text out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bench.figures import P50, THROUGHPUT
from bench.report import Row, number

#: The loads of each panel: of how many other logs, and where that is found.
_BUSY = {0: "b", 1024: "n-1024", 4096: "n-4096", 9900: "n-9900"}
_POSITION = {16: "e-16", 1024: "e-1024", 4096: "e-4096", 9900: "e-9900"}

#: What is to be run for the picture.
KEYS = (*_BUSY.values(), *_POSITION.values())

_WIDTH, _HEIGHT = 860, 340
_LEFT, _TOP, _PANEL, _TALL, _GAP = 60, 50, 330, 220, 90
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #222; }
  .title { font-weight: 600; }
  .grid { stroke: #8884; }
  .ours { stroke: #0b62c4; } text.ours { stroke: none; fill: #0b62c4; }
  circle.ours { fill: #0b62c4; }
  .theirs { stroke: #b3470a; } text.theirs { stroke: none; fill: #b3470a; }
  circle.theirs { fill: #b3470a; }
  polyline { fill: none; stroke-width: 2; }
  @media (prefers-color-scheme: dark) {
    svg { background: #111; } text { fill: #ddd; }
    .ours { stroke: #6db1ff; } text.ours, circle.ours { fill: #6db1ff; }
    .theirs { stroke: #ff9d5c; } text.theirs, circle.theirs { fill: #ff9d5c; }
  }
"""


@dataclass(frozen=True)
class Panel:
    """One figure over the number of other logs.

    :ivar points: how many logs, what virtlogd reached, and what this daemon did; either None
        where it was not measured.
    """

    title: str
    points: Sequence[tuple[int, float | None, float | None]]


def panels(lines: Iterable[Row]) -> list[Panel]:
    """Find what is drawn among the rows of a report; a panel without points is left out."""
    found = {(row.key, row.figure.name): row for row in lines}
    made = []
    for title, figure, loads in (
        ("One busy log, lines: MiB/s", THROUGHPUT, _BUSY),
        ("Position after a write: p50 in us", P50, _POSITION),
    ):
        rows = [(logs, found.get((key, figure))) for logs, key in loads.items()]
        points = [(logs, row.theirs, row.ours) for logs, row in rows if row is not None]
        if points:
            made.append(Panel(title, points))
    return made


def svg(drawn: Sequence[Panel]) -> str:
    """Draw panels beside each other; the values' scales are logarithmic."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        f"<title>{escape('; '.join(panel.title for panel in drawn))}</title>",
        f"<style>{_STYLE}</style>",
    ]
    for place, panel in enumerate(drawn):
        parts += _panel(panel, _LEFT + place * (_PANEL + _GAP))
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _panel(panel: Panel, left: int) -> list[str]:
    values = [one for _, theirs, ours in panel.points for one in (theirs, ours) if one]
    if not values:
        return []
    low = 10 ** math.floor(math.log10(min(values)))
    high = 10 ** math.ceil(math.log10(max(values) * 1.001))

    def across(place: int) -> float:
        return left + _PANEL * (place + 0.5) / len(panel.points)

    def down(value: float) -> float:
        return _TOP + _TALL * (1 - math.log10(value / low) / math.log10(high / low))

    parts = [_text(left, _TOP - 24, panel.title, "title")]
    right = left + _PANEL
    for step in range(round(math.log10(high / low)) + 1):
        value = low * 10**step
        y = down(value)
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(left - 8, y + 4, number(value), "", "end"))
    for place, (logs, _, _) in enumerate(panel.points):
        parts.append(_text(across(place), _TOP + _TALL + 22, f"{logs:,}", "", "middle"))
    parts.append(_text(left + _PANEL / 2, _TOP + _TALL + 44, "other open logs", "", "middle"))
    for name, kind, column, other in (("virtlogd", "theirs", 1, 2), ("here", "ours", 2, 1)):
        line = [
            (across(place), point[column], point[other]) for place, point in enumerate(panel.points)
        ]
        spots = [
            (x, down(value), value, value >= (beside or 0)) for x, value, beside in line if value
        ]
        track = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in spots)
        parts.append(f'<polyline class="{kind}" points="{track}"/>')
        for x, y, value, is_higher in spots:
            parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>')
            parts.append(_text(x, y + (-9 if is_higher else 19), number(value), kind, "middle"))
        for x, y, _, is_higher in spots[-1:]:
            parts.append(_text(x, y + (-25 if is_higher else 35), name, f"{kind} title", "middle"))
    return parts


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'
    )
