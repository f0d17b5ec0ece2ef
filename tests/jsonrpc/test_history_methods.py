"""Methods for logs' past: what is asked, and how it is presented."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from twisted.internet.defer import succeed

from tests.jsonrpc.fakes import Client
from twisted_virtlog.errors import NoSuchLog
from twisted_virtlog.values import (
    Boot,
    Domain,
    EventKind,
    LogEvent,
    Position,
    TimeMark,
    TimeRange,
)

_LOG = "/logs/a.log"
_AT = datetime(2026, 11, 26, 9, 30, tzinfo=timezone.utc)
_THEN = "2026-11-26T09:30:00Z"
_GUEST = Domain("c7a5fdbd-edaf-9455-926a-d65c16db1809", "web")


def _point(offset: int) -> dict[str, Any]:
    return {"inode": 7, "offset": offset, "birth": "b"}


def _position(offset: int) -> Position:
    return Position(7, offset, "b")


def test_locate() -> None:
    """Times go in with any zone, or as numbers, and come out in UTC."""
    client = Client()
    found = TimeRange(_position(1), _position(9), _AT, _AT, None)
    client.history.answers["locate"] = succeed([found])
    params = {"path": _LOG, "since": "2026-11-26T10:30:00+01:00", "until": _AT.timestamp()}
    assert client.call("log.locate", params)["result"] == {
        "ranges": [
            {
                "start": _point(1),
                "end": _point(9),
                "since": _THEN,
                "until": _THEN,
                "exact_s": None,
            }
        ]
    }
    assert client.history.calls == [("locate", _LOG, _AT, _AT)]
    client.history.answers["locate"] = ()
    assert client.call("log.locate", [_LOG])["result"] == {"ranges": []}
    assert client.history.calls[-1] == ("locate", _LOG, None, None)


@pytest.mark.parametrize(
    "params",
    [
        {"path": _LOG, "since": 2, "until": 1},
        {"path": _LOG, "since": "yesterday"},
        {"path": _LOG, "since": "2026-11-26T10:30:00"},
        {"path": "a.log"},
    ],
)
def test_what_cannot_be_meant_is_refused(params: dict[str, Any]) -> None:
    """Before anything is asked."""
    client = Client()
    assert client.call("log.locate", params)["error"]["code"] == -32602
    assert client.history.calls == []


def test_times() -> None:
    """Between two positions."""
    client = Client()
    client.history.answers["times"] = [TimeMark(_position(3), _AT)]
    params = {"path": _LOG, "start": _point(1), "end": _point(9)}
    result = client.call("log.times", params)["result"]
    assert result == [{"position": _point(3), "time": _THEN}]
    assert client.history.calls == [("times", _LOG, _position(1), _position(9))]


def test_boots() -> None:
    """With who opened the log."""
    client = Client()
    client.history.answers["boots"] = [Boot(_position(3), _AT, None, "qemu", _GUEST)]
    assert client.call("log.boots", [_LOG])["result"] == [
        {
            "start": _point(3),
            "opened_at": _THEN,
            "closed_at": None,
            "driver": "qemu",
            "domain": {"uuid": _GUEST.uuid, "name": "web"},
        }
    ]


def test_events() -> None:
    """Of each kind."""
    client = Client()
    client.history.answers["events"] = [
        LogEvent(_position(number), _AT, kind, number) for number, kind in enumerate(EventKind)
    ]
    result = client.call("log.events", {"path": _LOG, "since": 0})["result"]
    assert [one["kind"] for one in result] == [kind.value for kind in EventKind]
    assert [one["bytes"] for one in result] == list(range(len(EventKind)))


@pytest.mark.parametrize("method", ["locate", "times", "boots", "events"])
def test_an_error_is_the_answer(method: str) -> None:
    """As of a log that is not there."""
    client = Client()
    client.history.answers[method] = NoSuchLog("no file", _LOG)
    assert client.call(f"log.{method}", [_LOG])["error"]["code"] == 1002


def test_many_are_presented_in_slices() -> None:
    """The text is the same."""
    client = Client()
    marks = [TimeMark(_position(number), _AT) for number in range(1000)]
    client.history.answers["times"] = marks
    result = client.call("log.times", [_LOG])["result"]
    assert [one["position"]["offset"] for one in result] == list(range(1000))
    ranges = [TimeRange(one.position, one.position, _AT, _AT, 0.5) for one in marks]
    client.history.answers["locate"] = ranges
    result = client.call("log.locate", [_LOG])["result"]["ranges"]
    assert [one["start"]["offset"] for one in result] == list(range(1000))
