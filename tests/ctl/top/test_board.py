"""What is known of the open logs: rates, orders, and what happens between lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ctl.top.values import LATER, log
from twisted_virtlog.ctl.top.board import ORDERS, Board, Row


def rows(board: Board, order: str = "path") -> list[Row]:
    """Return all rows."""
    return list(board.rows(order, is_reversed=False, wanted=""))


def rates(board: Board) -> dict[str, float | None]:
    """Return how fast each log is written."""
    return {row.path: row.rate for row in rows(board)}


def test_rates_are_of_the_time_between_lists() -> None:
    """Nothing is known before the second one; a log's opening is no rate."""
    board = Board()
    board.listed([log("/a", bytes=1000), log("/b", bytes=5)], 10.0)
    assert rates(board) == {"/a": None, "/b": None}
    assert board.totals().rate is None
    board.listed([log("/a", bytes=3000), log("/b", bytes=5), log("/c", bytes=9)], 12.0)
    assert rates(board) == {"/a": 1000.0, "/b": 0.0, "/c": None}
    assert board.totals().rate == 1000.0
    board.listed([log("/c", bytes=19)], 13.0)
    assert rates(board) == {"/c": 10.0}


def test_another_opening_of_a_log_is_another_count() -> None:
    """Its bytes begin at none."""
    board = Board()
    board.listed([log("/a", bytes=1000)], 10.0)
    board.listed([log("/a", bytes=500, opened_at=LATER)], 11.0)
    assert rates(board) == {"/a": None}
    # (a daemon that was restored from a crash may have counted less)
    board.listed([log("/a", bytes=400, opened_at=LATER)], 12.0)
    assert rates(board) == {"/a": 0.0}


def test_what_happens_between_lists() -> None:
    """Logs come and go at once, and the rate of what goes on stays until the next list."""
    board = Board()
    board.listed([log("/a", bytes=0), log("/b")], 10.0)
    board.listed([log("/a", bytes=100), log("/b")], 11.0)
    board.told("opened", log("/c", bytes=0), 11.5)
    board.told("closed", log("/b", state="closed"), 11.5)
    board.told("state", log("/a", bytes=100, state="failing", error="No space left"), 11.5)
    assert rates(board) == {"/a": 100.0, "/c": None}
    assert [row.error for row in rows(board)] == ["No space left", None]
    assert board.totals().failing == 1
    board.listed([log("/a", bytes=100), log("/c", bytes=50)], 12.0)
    assert rates(board) == {"/a": 0.0, "/c": 100.0}
    # It was closed and opened again, and that is told late.
    board.told("opened", log("/c", bytes=0, opened_at=LATER), 12.5)
    assert rates(board)["/c"] is None
    board.told("closed", log("/gone"), 12.5)


def test_totals() -> None:
    """What an older daemon does not say counts as nothing."""
    board = Board()
    old = log("/old", dropped=None, pending=None, followers=None)
    board.listed([old, log("/a", dropped=1, pending=2, followers=3), log("/b", dropped=4)], 1.0)
    totals = board.totals()
    assert (totals.logs, totals.dropped, totals.pending, totals.followers) == (3, 5, 2, 3)


@pytest.mark.parametrize(
    ("order", "first"),
    [
        ("rate", "/fast"),
        ("dropped", "/dropped"),
        ("pending", "/pending"),
        ("state", "/failing"),
        ("followers", "/followed"),
        ("guest", "/guest"),
        ("path", "/dropped"),
    ],
)
def test_orders(order: str, first: str) -> None:
    """Those come first that one looks for, and those of which it is not known last."""
    logs = [
        log("/fast"),
        log("/dropped", dropped=9),
        log("/pending", pending=9),
        log("/failing", state="failing"),
        log("/followed", followers=9),
        log("/guest", guest="a"),
        log("/unknown", dropped=None, pending=None, followers=None),
    ]
    board = Board()
    board.listed(logs, 1.0)
    board.listed([log("/fast", bytes=7), *logs[1:]], 2.0)
    found = [row.path for row in rows(board, order)]
    assert found[0] == first
    if order in {"dropped", "pending", "followers"}:
        assert found[-1] == "/unknown"
    other_way = board.rows(order, is_reversed=True, wanted="")
    assert [row.path for row in other_way] == found[::-1]


def test_a_filter_is_a_part_of_a_path_or_a_name() -> None:
    """Whatever the case of letters."""
    board = Board()
    board.listed([log("/l/Web.log"), log("/l/x.log", guest="WEB2"), log("/l/db.log")], 1.0)
    found = board.rows("path", is_reversed=False, wanted="wEb")
    assert [row.path for row in found] == ["/l/Web.log", "/l/x.log"]


def test_a_copy_stays_as_it_is() -> None:
    """Whatever happens then."""
    board = Board()
    board.listed([log("/a")], 1.0)
    copy = board.copy()
    board.told("closed", log("/a"), 2.0)
    board.told("opened", log("/b"), 2.0)
    assert [row.path for row in rows(copy)] == ["/a"]


@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.floats(0.01, 1e5)), min_size=1),
    st.sampled_from(sorted(ORDERS)),
)
def test_rates_add_up(steps: list[tuple[int, float]], order: str) -> None:
    """What was written in all is what the rates say together."""
    board = Board()
    board.listed([log("/a", bytes=0)], 0.0)
    now, written, seen = 0.0, 0, 0.0
    for count, seconds in steps:
        before, now, written = now, now + seconds, written + count
        board.listed([log("/a", bytes=written)], now)
        (row,) = rows(board, order)
        assert row.rate is not None
        seen += row.rate * (now - before)
    assert seen == pytest.approx(written)
