"""The lines of the table: they fit, they align, and a terminal has nothing to obey in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.ctl.top.board import ORDERS, Row, Totals
from twisted_virtlog.ctl.top.text import (
    Line,
    Status,
    Style,
    amount,
    cells,
    page,
    screen,
    table,
)
from twisted_virtlog.ctl.top.view import View

TOTALS = Totals(logs=2, failing=1, rate=1e6, dropped=7, pending=8, followers=9)
STATUS = Status("14:05:00", 2.0)


def row(path: str = "/l/web.log", guest: str = "web", **members: object) -> Row:
    """Return what is shown of a log."""
    known = {
        "state": "open",
        "error": None,
        "rate": 0.0,
        "dropped": 0,
        "pending": 0,
        "followers": 0,
        **members,
    }
    return Row(path=path, guest=guest, **known)  # type: ignore[arg-type]


def texts(lines: list[Line]) -> list[str]:
    """Return the lines without their styles."""
    return [line.text for line in lines]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, "-"),
        (0, "0"),
        (0.4, "0"),
        (999, "999"),
        (999.7, "1.0K"),
        (1024, "1.0K"),
        (10189, "10K"),
        (1023 * 1024, "1.0M"),
        (5 * 1024**3, "5.0G"),
        (2**63, "8.0E"),
    ],
)
def test_amounts(number: float | None, text: str) -> None:
    """They are short, and say enough."""
    assert amount(number) == text


@given(st.floats(0, 2**63))
def test_amounts_are_short(number: float) -> None:
    """No column is wider than its heading for them."""
    assert len(amount(number)) <= 5


def test_a_table() -> None:
    """Numbers stand on the right, words on the left, and the path has what is left."""
    logs = [
        row(rate=1536.0, dropped=None, followers=2),
        row("/l/db.log", "", state="failing", error="No space left on device", pending=65536),
    ]
    lines = table(logs, "rate", 100)
    assert texts(lines) == [
        "BYTES/S  DROPPED  PENDING  FOLLOWERS  STATE    GUEST  PATH",
        "   1.5K        -        0          2  open     web    /l/web.log",
        "      0        0      64K          0  failing  -      /l/db.log: No space left on device",
    ]
    assert [line.style for line in lines] == [Style.HEADING, Style.PLAIN, Style.FAILED]


@pytest.mark.parametrize(
    ("width", "order", "headings"),
    [
        (80, "rate", "BYTES/S DROPPED PENDING FOLLOWERS STATE GUEST PATH"),
        (60, "rate", "BYTES/S DROPPED STATE GUEST PATH"),
        (60, "followers", "BYTES/S DROPPED FOLLOWERS GUEST PATH"),
        (40, "rate", "BYTES/S GUEST PATH"),
        (40, "pending", "PENDING GUEST PATH"),
        (10, "rate", "GUEST PATH"),
    ],
)
def test_columns_that_fit(width: int, order: str, headings: str) -> None:
    """The one that it is sorted by is the last to be left out."""
    assert table([row()], order, width)[0].text.split() == headings.split()


def test_long_names_are_cut_where_they_say_least() -> None:
    """A guest's at the end, a path at its beginning; what is wide is counted so."""
    path = "/var/log/libvirt/qemu/" + "x" * 60 + "/serial.log"
    (_, line) = table([row(path, "g" * 40)], "path", 60)
    assert cells(line.text) == 60
    assert line.text.startswith("      0        0  " + "g" * 14 + "+  ...")
    assert line.text.endswith("x/serial.log")
    (_, line) = table([row("/l/" + "名" * 50, "名" * 40)], "path", 60)
    assert 58 <= cells(line.text) <= 60


def test_a_screen() -> None:
    """It says how it all is, has the logs from the first one on, and says which keys there are."""
    logs = [row(f"/l/{number}.log") for number in range(50)]
    lines = screen(logs, TOTALS, View(first=10), STATUS, 150, 12)
    shown = texts(lines)
    assert shown[0] == (
        "14:05:00  2 logs, 1 failing, 977K bytes/s, 7 dropped, 8 pending, 9 followers"
    )
    assert shown[1] == "by rate  every 2 s  from 11 on"
    assert shown[2].split()[-1] == "PATH"
    assert [line.split()[-1] for line in shown[3:11]] == [f"/l/{n}.log" for n in range(10, 18)]
    assert len(shown) == 12
    assert shown[11].startswith("q quit  / filter  space pause")
    assert lines[11].style == Style.KEYS
    # The last ones, and not behind them.
    shown = texts(screen(logs, TOTALS, View(first=1000), STATUS, 150, 12))
    assert [line.split()[-1] for line in shown[3:11]] == [f"/l/{n}.log" for n in range(42, 50)]


def test_what_is_seen_is_said() -> None:
    """Order, filter, pause, and what goes wrong."""
    view = View("state", is_reversed=True, wanted="w\x1b", is_paused=True)
    shown = texts(screen([row()], TOTALS, view, STATUS, 150, 12))
    assert shown[1] == 'by state, reversed  every 2 s  1 with "w\\x1b"  paused'
    view = View(wanted="we", before_typing="")
    assert texts(screen([row()], TOTALS, view, STATUS, 150, 12))[-1].startswith("/we_")
    trouble = Status("14:05:00", 2.0, "the daemon has gone\n")
    lines = screen([row()], TOTALS, View(), trouble, 150, 12)
    assert lines[1] == Line("the daemon has gone\\n", Style.FAILED)


def test_narrow_screens_have_two_lines_of_keys() -> None:
    """All of them, where there are 80 columns."""
    shown = texts(screen([row()], TOTALS, View(), STATUS, 80, 24))
    assert len(shown) == 24
    assert shown[-1].endswith("n path")
    assert shown[-2].startswith("q quit")
    assert page(80, 24) == page(150, 23)


@given(
    st.lists(st.tuples(st.text(), st.text(), st.none() | st.text()), max_size=30),
    st.sampled_from(sorted(ORDERS)),
    st.text(),
    st.booleans(),
    st.integers(0, 40),
    st.integers(1, 140),
    st.integers(1, 40),
)
def test_any_text_on_any_screen(
    names: list[tuple[str, str, str | None]],
    order: str,
    wanted: str,
    is_typing: bool,
    first: int,
    width: int,
    height: int,
) -> None:
    """It fits, and what is printed is printable."""
    rows = [
        row(path, guest, state="failing" if error is not None else guest or "open", error=error)
        for path, guest, error in names
    ]
    view = View(order, wanted=wanted, before_typing="" if is_typing else None, first=first)
    lines = screen(rows, TOTALS, view, STATUS, width, height)
    assert len(lines) == height
    for line in lines:
        assert line.text.isprintable()
        assert cells(line.text) <= width
