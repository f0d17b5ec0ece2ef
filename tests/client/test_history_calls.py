"""All clients find a log's bytes by time: what they ask, and what they give."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from tests.client.everyone import Row, ask_everyone
from tests.client.fake_daemon import LOG, FakeDaemon
from tests.client.test_deferred import Wire, ended, outcome
from twisted_virtlog.client import (
    BadAnswer,
    BlockingClient,
    Boot,
    Domain,
    LogEvent,
    LogFile,
    LogFiles,
    LogInfo,
    Position,
    TimeMark,
    TimeRange,
)
from twisted_virtlog.client.calls import Requests

PATH = "/var/log/web.log"
NOON = datetime(2024, 2, 29, 12, tzinfo=timezone.utc)
ONE = NOON + timedelta(hours=1)
START, END = {"inode": 5, "offset": 0, "birth": "h1.a"}, {"inode": "9007199254740993", "offset": 7}
THERE = Position(2**53 + 1, 7)
#: The same time, as it is written elsewhere.
IN_BERLIN = NOON.astimezone(timezone(timedelta(hours=1)))
TEXT = "2024-02-29T12:00:00Z"

RANGE = {"start": START, "end": END, "since": TEXT, "until": "2024-02-29T14:00:00+01:00"}
BOOT = {"start": START, "opened_at": TEXT, "driver": "qemu", "domain": LOG["domain"]}

CALLS: list[Row] = [
    (
        *("locate", (PATH,), "log.locate", {"path": PATH, "since": None, "until": None}),
        {"ranges": [{**RANGE, "exact_s": 0.5}, {**RANGE, "exact_s": None}]},
        [TimeRange(Position(5, 0, "h1.a"), THERE, NOON, ONE, exact) for exact in (0.5, None)],
    ),
    (
        *("locate", (PATH, IN_BERLIN, NOON), "log.locate"),
        *({"path": PATH, "since": TEXT, "until": TEXT}, {"ranges": []}, []),
    ),
    (
        *("times", (PATH, Position(5, 1, "h1.a"), THERE), "log.times"),
        {
            "path": PATH,
            "start": {"inode": 5, "offset": 1, "birth": "h1.a"},
            "end": {"inode": 2**53 + 1, "offset": 7},
        },
        [{"position": END, "time": TEXT}],
        [TimeMark(THERE, NOON)],
    ),
    ("times", (PATH,), "log.times", {"path": PATH, "start": None, "end": None}, [], []),
    (
        *("boots", (PATH,), "log.boots", {"path": PATH}),
        [{**BOOT, "closed_at": TEXT}, {**BOOT, "closed_at": None, "domain": None}],
        [
            Boot(Position(5, 0, "h1.a"), NOON, NOON, "qemu", Domain(**LOG["domain"])),
            Boot(Position(5, 0, "h1.a"), NOON, None, "qemu", None),
        ],
    ),
    (
        *("events", (PATH, NOON), "log.events", {"path": PATH, "since": TEXT}),
        [
            {"position": END, "time": TEXT, "kind": "dropped", "bytes": 4},
            {"position": END, "time": TEXT, "kind": "of a newer daemon", "bytes": None},
        ],
        [LogEvent(THERE, NOON, "dropped", 4), LogEvent(THERE, NOON, "of a newer daemon")],
    ),
    ("events", (PATH,), "log.events", {"path": PATH, "since": None}, [], []),
    (
        *("files", (PATH,), "log.files", {"path": PATH, "start": None}),
        {"files": [], "more": False, "fds": 0},
        LogFiles([], False),
    ),
    ("list", (), "log.list", {}, [], []),
    (
        *("list", (True,), "log.list", {"closed": True}),
        [{**LOG, "state": "closed", "position": None, "pipe": None, "closed_at": TEXT}],
        [
            LogInfo(
                path=PATH,
                driver="qemu",
                domain=Domain(**LOG["domain"]),
                position=None,
                opened_at=NOON,
                bytes=1234,
                rollovers=0,
                state="closed",
                pending=0,
                closed_at=NOON,
            )
        ],
    ),
]


@pytest.mark.parametrize("row", CALLS, ids=lambda row: row[0])
def test_all_clients_ask_and_understand(daemon: FakeDaemon, row: Row) -> None:
    """The same request of all, and the same value for its answer."""
    ask_everyone(daemon, row)


@pytest.mark.parametrize("name", ["locate", "events"])
def test_a_time_without_a_zone_is_refused(name: str) -> None:
    """Nobody knows when it is, and a daemon would have to guess."""
    with pytest.raises(ValueError, match="has no zone"):
        getattr(Requests(), name)(PATH, datetime(2024, 2, 29, 12))


def test_a_zone_of_seconds_does_not_move_a_time() -> None:
    """Zones had such once, and RFC 3339 knows whole minutes only."""
    mean_time = timezone(timedelta(minutes=53, seconds=28))
    params = Requests().events(PATH, NOON.astimezone(mean_time)).params
    assert msgspec.json.encode(params["since"]) == f'"{TEXT}"'.encode()


def file(inode: int, **members: Any) -> dict[str, Any]:
    return {"inode": inode, "birth": "h1.a", "size": 3, "compressed": False, **members}


def test_files_come_with_their_descriptors(daemon: FakeDaemon) -> None:
    """In the order of the list, and no child inherits them."""

    def answered(_params: dict[str, Any]) -> Any:
        for content in (b"one", b"two"):
            read_end, write_end = os.pipe()
            os.write(write_end, content)
            os.close(write_end)
            daemon.passes(read_end)
        return {"files": [file(1), file(2, compressed=True)], "more": True, "fds": 2}

    daemon.answers["log.files"] = answered
    with BlockingClient(str(daemon.path), 10) as client:
        files = client.files(PATH, Position(1, 0))
    assert files.more
    contents = []
    for one in files.files:
        assert not os.get_inheritable(one.descriptor)
        contents.append(os.read(one.descriptor, 10))
        os.close(one.descriptor)
    assert contents == [b"one", b"two"]
    assert list(files.files) == [
        LogFile(1, "h1.a", 3, False, files.files[0].descriptor),
        LogFile(2, "h1.a", 3, True, files.files[1].descriptor),
    ]


@pytest.mark.parametrize("count", [0, 2])
def test_more_or_fewer_descriptors_than_files_make_no_sense(count: int) -> None:
    """Nobody knows then which is whose, and none is left open."""
    wire = Wire()
    asking = wire.client.files(PATH)
    read_end = wire.pass_write_end()
    wire.answer(1, result={"files": [file(1)] * count, "more": False, "fds": 1})
    assert isinstance(outcome(asking), BadAnswer)
    assert ended(read_end)
