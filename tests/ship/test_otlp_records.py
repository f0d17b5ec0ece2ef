"""What a collector is sent, and what it says."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timezone

import pytest

from tests.ship.decoded import attributes, records
from twisted_virtlog.ship.messages import Message
from twisted_virtlog.ship.otlp_records import Partial, partial_success, reason, resource_logs
from twisted_virtlog.ship.protobuf import data, number
from twisted_virtlog.ship.sink import Source
from twisted_virtlog.values import Domain, Position

_GUEST = Source(
    "node17", "/var/log/web.log", "QEMU", Domain("11111111-2222-3333-4444-555555555555", "wëb")
)
_NOW = 1_795_000_000_123_456_789


def message(text: bytes, **members: object) -> Message:
    """Return one that begins at 100 of a file."""
    end = Position(7, 100 + len(text), "h1.x")
    return Message(text, Position(7, 100, "h1.x"), end, **members)  # type: ignore[arg-type]


def test_each_line_is_a_record() -> None:
    """With where it stands, and whose it is."""
    request = resource_logs(_GUEST, message(b"one\r\n\ntwo"), _NOW)
    found = records(request)
    assert [one.body for one in found] == ["one", "", "two"]
    assert found[0].resource == {
        "service.name": "virtlog",
        "host.name": "node17",
        "vm.uuid": "11111111-2222-3333-4444-555555555555",
        "vm.name": "wëb",
    }
    assert found[1].attributes == {
        "log.file.path": "/var/log/web.log",
        "log.file.name": "web.log",
        "log.file.inode": 7,
        "log.file.birth": "h1.x",
        "log.offset": 105,
        "virtlog.driver": "QEMU",
    }
    assert {one.observed for one in found} == {_NOW}


def test_what_came_before_has_that_time() -> None:
    """To the microsecond; a shipper that is behind sends it long after."""
    came = datetime(2026, 11, 28, 7, 0, 0, 123_457, tzinfo=timezone.utc)
    (one,) = records(resource_logs(_GUEST, message(b"late\n", time=came), _NOW))
    assert one.observed == 1_795_849_200_123_457_000


def test_what_is_no_text_is_bytes() -> None:
    """Exactly those; names are text in any case."""
    source = Source("node17", "/var/log/\udcff.log", "QEMU", None)
    (one,) = records(resource_logs(source, message(b"\xff\0\n"), _NOW))
    assert one.body == b"\xff\0"
    assert one.attributes["log.file.path"] == "/var/log/\ufffd.log"
    assert "vm.uuid" not in one.resource


def test_what_is_cut_or_missing_is_said() -> None:
    """By attributes that are there only then."""
    whole = message(b"a\nb", begins_line=False, ends_line=False, gap=True)
    first, last = records(resource_logs(_GUEST, whole, _NOW))
    assert (first.attributes["log.cut"], first.attributes["log.missed"]) == ("begin", "unknown")
    assert last.attributes["log.cut"] == "end"
    assert "log.missed" not in last.attributes
    (one,) = records(resource_logs(_GUEST, message(b"a\n", gap=True, missed=12), _NOW))
    assert one.attributes["log.missed"] == "12"


def test_requests_put_together_are_one() -> None:
    """As protocol buffers have it."""
    request = resource_logs(_GUEST, message(b"a\n"), _NOW) * 2
    assert [one.body for one in records(request)] == ["a", "a"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", Partial(0, "")),
        (data(1, number(1, 3) + data(2, b"too old")), Partial(3, "too old")),
        (data(1, data(2, b"a hint")), Partial(0, "a hint")),
        (data(1, number(1, -1)), Partial(0, "")),
        (data(1, b"\xff"), Partial(0, "")),
        (b"{}", Partial(0, "")),
        (number(1, 3), Partial(0, "")),
    ],
)
def test_what_is_left_out(answer: bytes, said: Partial) -> None:
    """As the answer says; what is no such answer says nothing."""
    assert partial_success(answer) == said


def test_why_it_is_not_taken() -> None:
    """By a Status, if it is one."""
    assert reason(number(1, 3) + data(2, b"bad")) == "bad"
    assert reason(b"<html>") == ""


def test_attributes_are_as_opentelemetry_has_them() -> None:
    """Each name once."""
    (one,) = records(resource_logs(_GUEST, message(b"a\n"), _NOW))
    counted: dict[str, int] = defaultdict(int)
    for name, _ in attributes(one.raw, 6):
        counted[name] += 1
    assert set(counted.values()) == {1}
