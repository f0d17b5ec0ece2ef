"""The picture of throughput and latency over the number of logs."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from bench import plot
from bench.figures import higher, lower
from bench.loads import LOADS
from bench.report import Row

_SVG = "{http://www.w3.org/2000/svg}"


def _rows() -> list[Row]:
    speed, answered = higher("MiB/s"), lower("p50 us")
    return [
        Row("b", "", speed, 190.0, 200.0, None),
        Row("n-1024", "", speed, 7.5, 260.0, None),
        Row("n-9900", "", speed, None, 203.0, None),
        Row("e-16", "", answered, 28.0, 40.0, None),
        Row("c-lines", "", speed, 1.0, 1.0, None),
    ]


def _texts(drawn: str) -> list[str]:
    return [one.text or "" for one in ET.fromstring(drawn).iter(f"{_SVG}text")]


def test_its_loads_are_in_the_table() -> None:
    assert set(plot.KEYS) <= {load.key for load in LOADS}


def test_what_was_measured_is_drawn() -> None:
    """Each side as a line, and each value as a text; what was not measured is left out."""
    found = plot.panels(_rows())
    assert [panel.points for panel in found] == [
        [(0, 190.0, 200.0), (1024, 7.5, 260.0), (9900, None, 203.0)],
        [(16, 28.0, 40.0)],
    ]
    drawn = plot.svg(found)
    texts = _texts(drawn)
    for text in ("190", "200", "7.5", "260", "203", "28", "40", "1,024", "virtlogd", "here"):
        assert text in texts
    lines = list(ET.fromstring(drawn).iter(f"{_SVG}polyline"))
    assert [len((one.get("points") or "").split()) for one in lines] == [2, 3, 1, 1]


def test_more_is_higher() -> None:
    """Within a panel, by a logarithm."""
    (panel,) = plot.panels(_rows()[:2])
    spots = [
        float(one.get("cy") or 0) for one in ET.fromstring(plot.svg([panel])).iter(f"{_SVG}circle")
    ]
    theirs, ours = spots[:2], spots[2:]
    assert ours[1] < ours[0] < theirs[0] < theirs[1]


def test_nothing_is_drawn_of_nothing() -> None:
    assert plot.panels([]) == []
    assert _texts(plot.svg([])) == []
