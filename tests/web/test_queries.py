"""What addresses ask for is read strictly."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

import pytest

from twisted_virtlog.client import Position
from twisted_virtlog.web.queries import Query

T = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def test_what_makes_sense_is_read() -> None:
    query = Query(
        {
            b"path": [b"/var/log/a b.log"],
            b"from": [b"3:4:h1.a"],
            b"since": [b"2026-03-01T13:00:00+01:00"],
            b"until": [b"1772366400"],
            b"count": [b"7"],
            b"reverse": [b"1"],
        }
    )
    assert query.path() == "/var/log/a b.log"
    assert query.place("from") == Position(3, 4, "h1.a")
    assert query.time("since") == query.time("until") == T
    assert query.whole("count", 5, 10) == 7
    assert query.flag("reverse") is True


def test_what_is_not_there_has_a_default() -> None:
    query = Query({})
    assert query.text("find") is None
    assert query.place("from") is None
    assert query.time("since") is None
    assert query.whole("count", 5, 10) == 5
    assert query.flag("reverse") is False


@pytest.mark.parametrize(
    ("value", "ask"),
    [
        *((b"relative", Query.path), (b"", Query.path), (b"/a\0b", Query.path)),
        (b"/a\xff", Query.path),
        (b"x", lambda query: query.place("path")),
        (b"11", lambda query: query.whole("path", 1, 10)),
        (b"-1", lambda query: query.whole("path", 1, 10)),
        ("\u0663".encode(), lambda query: query.whole("path", 1, 10)),
        (b"yes", lambda query: query.flag("path")),
        *((text, lambda query: query.time("path")) for text in (b"nan", b"1e999", b"soon")),
        (b"2026-03-01T13:00:00", lambda query: query.time("path")),
        (b"relative", lambda query: query.paths(3)),
    ],
)
def test_what_makes_no_sense_is_refused(value: bytes, ask: Callable[[Query], object]) -> None:
    with pytest.raises(ValueError, match=r"path|position|time|isoformat|number"):
        ask(Query({b"path": [value]}))


def test_nothing_is_there_twice_but_paths() -> None:
    query = Query({b"path": [b"/a", b"/b"]})
    with pytest.raises(ValueError, match="2 times"):
        query.path()
    assert query.paths(2) == ["/a", "/b"]
    with pytest.raises(ValueError, match="from one to 1"):
        query.paths(1)
