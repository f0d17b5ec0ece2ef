"""The list: sorted, filtered, in parts, and how fast each log has been written."""

from __future__ import annotations

from datetime import datetime, timezone

import msgspec
import pytest

from twisted_virtlog.client import Domain, LogInfo
from twisted_virtlog.web.rows import KEPT_RATES, ORDERS, Rows, Wanted

T = datetime(2026, 3, 1, tzinfo=timezone.utc)


def log(path: str, guest: str = "", count: int = 0, **more: object) -> LogInfo:
    """Make a log."""
    domain = Domain("c7a5fdbd-edaf-9455-926a-d65c16db1809", guest) if guest else None
    made = LogInfo(path, "qemu", domain, None, T, count, 0, "open")
    return msgspec.structs.replace(made, **more)


def paths(rows: Rows, **wanted: object) -> list[str]:
    """Return the paths of a part of the list."""
    return [row.path for row in rows.page(Wanted(**wanted)).rows]  # type: ignore[arg-type]


@pytest.fixture
def rows() -> Rows:
    """Three logs, two seconds after the first list."""
    made = Rows()
    made.listed([log("/a", "Zoe"), log("/b", "amy"), log("/c")], 10.0)
    made.listed(
        [
            log("/a", "Zoe", 200, kept=7, dropped=1),
            log("/b", "amy", 50, state="failing", error="full"),
            log("/c", state="closed", kept=9),
        ],
        12.0,
    )
    return made


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        *(("path", "/a /b /c"), ("guest", "/a /b /c"), ("rate", "/a /b /c")),
        *(("state", "/b /a /c"), ("size", "/c /a /b"), ("dropped", "/a /b /c")),
        ("followers", "/a /b /c"),
    ],
)
def test_those_come_first_that_one_looks_for(rows: Rows, order: str, expected: str) -> None:
    assert paths(rows, order=order) == expected.split()
    assert paths(rows, order=order, is_reversed=True) == expected.split()[::-1]
    assert order in ORDERS


def test_guests_are_found_by_a_part_of_their_names(rows: Rows) -> None:
    assert paths(rows, text="ZO") == ["/a"]
    assert paths(rows, text="/") == ["/a", "/b", "/c"]
    assert paths(rows, text="no such") == []


def test_a_part_says_what_it_is_a_part_of(rows: Rows) -> None:
    page = rows.page(Wanted(first=1, count=1))
    assert [row.path for row in page.rows] == ["/b"]
    assert (page.first, page.found, page.logs, page.failing, page.rate) == (1, 3, 3, 1, 125)


def test_rates_are_of_the_time_between_lists(rows: Rows) -> None:
    shown = {row.path: row.rate for row in rows.page(Wanted()).rows}
    assert shown == {"/a": 100, "/b": 25, "/c": None}
    assert rows.rates(["/a", "/c", "/gone"]) == {"/a": [100], "/c": []}


def test_rates_of_some_minutes_are_kept() -> None:
    rows = Rows()
    for second in range(KEPT_RATES + 50):
        rows.listed([log("/a", count=second * second)], float(second))
    kept = rows.rates(["/a"])["/a"]
    assert len(kept) == KEPT_RATES
    assert kept[-1] > kept[0]


def test_a_log_that_is_opened_anew_has_no_rate_yet(rows: Rows) -> None:
    later = datetime(2026, 3, 2, tzinfo=timezone.utc)
    rows.listed([log("/a", count=900, opened_at=later)], 14.0)
    assert [row.rate for row in rows.page(Wanted()).rows] == [None]


def test_what_is_told_is_shown_before_the_next_list(rows: Rows) -> None:
    rows.told(log("/new"))
    rows.told(log("/a", "Zoe", 1000, state="closed"))
    shown = {row.path: (row.state, row.rate) for row in rows.page(Wanted()).rows}
    assert shown["/new"] == ("open", None)
    assert shown["/a"] == ("closed", None)
    # The next rate is from list to list.
    rows.listed([log("/a", "Zoe", 1200)], 14.0)
    assert rows.page(Wanted()).rows[0].rate == 500


def test_a_list_of_open_logs_leaves_closed_ones_as_they_are(rows: Rows) -> None:
    """And says if one is missing that was open: nobody has told that it was closed."""
    assert rows.listed([log("/a", count=400), log("/b", count=60)], 14.0, is_whole=False)
    shown = {row.path: (row.state, row.rate) for row in rows.page(Wanted()).rows}
    assert shown == {"/a": ("open", 100), "/b": ("open", 5), "/c": ("closed", None)}
    assert not rows.listed([log("/a", count=400)], 16.0, is_whole=False)
    assert paths(rows) == ["/a", "/b", "/c"]
    assert rows.listed([log("/a", count=400)], 18.0)
    assert paths(rows) == ["/a"]
