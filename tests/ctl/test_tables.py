"""What people see in a terminal: aligned, exact, and harmless."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import msgspec

from twisted_virtlog.client import Closed, DaemonInfo, Domain, LogInfo, Position
from twisted_virtlog.ctl.holders import Holder, Holders
from twisted_virtlog.ctl.tables import closed_text, info_table, logs_table

OPENED = datetime(2024, 2, 29, 13, tzinfo=timezone(timedelta(hours=1)))


def test_logs_stand_in_columns() -> None:
    """Numbers end, and words begin, in the same column; a reason stands below its log."""
    logs = [
        LogInfo(
            path="/l/a.log",
            driver="none",
            domain=None,
            position=Position(7, 10),
            opened_at=OPENED,
            bytes=10,
            rollovers=0,
            state="failing",
            error="No space left on device",
        ),
        LogInfo(
            path="/l/web.log",
            driver="qemu",
            domain=Domain(uuid="u", name="web"),
            position=Position(8, 4096),
            opened_at=OPENED,
            bytes=2101248,
            rollovers=12,
            state="open",
            pipe=5,
        ),
    ]
    holders = Holders({5: [Holder(42, "qemu"), Holder(43, "x\x1b")]}, all_seen=False)
    o, b, seen = "2024-02-29T12:00:00Z", "  ", "42 (qemu), 43 (x\\x1b)"
    assert logs_table(logs, holders).splitlines() == [
        f"PATH        STATE    GUEST  DRIVER  POSITION    BYTES  ROLLOVERS  OPENED{b * 8}HOLDERS",
        f"/l/a.log    failing  -      none    7:10           10          0  {o}  ?",
        "  No space left on device",
        f"/l/web.log  open     web    qemu    8:4096    2101248         12  {o}  {seen}",
    ]


def test_threads_have_a_column_if_there_are_any() -> None:
    """Where there is none, the table is as narrow as before."""
    log = LogInfo(
        path="/l/a.log",
        driver="none",
        domain=None,
        position=Position(7, 10),
        opened_at=OPENED,
        bytes=10,
        rollovers=0,
        state="open",
    )
    other = msgspec.structs.replace(log, path="/srv/b.log", thread="/s\x1brv")
    holders = Holders({}, all_seen=True)
    assert [line.split()[8:] for line in logs_table([log, other], holders).splitlines()] == [
        ["THREAD", "HOLDERS"],
        ["-", "?"],
        ["/s\\x1brv", "?"],
    ]
    assert "THREAD" not in logs_table([log, log], holders)


def test_no_logs_leave_the_headings() -> None:
    """An empty list is seen to be one."""
    assert logs_table([], Holders({}, all_seen=True)).split() == [
        *("PATH", "STATE", "GUEST", "DRIVER", "POSITION", "BYTES", "ROLLOVERS", "OPENED", "HOLDERS")
    ]


def test_the_daemon_is_shown_name_by_name() -> None:
    """Whatever limits and counts the daemon has are shown."""
    info = DaemonInfo(
        name="virtlogd",
        version="1.2",
        pid=42,
        started_at=OPENED,
        uptime_s=90.25,
        limits={"max_size": 2097152},
        counts={"open_logs": 1, "lanes": 2, "lane_oldest_s": 61.25},
    )
    assert info_table(info, "/run/so\nck").splitlines() == [
        "socket               /run/so\\nck",
        "name                 virtlogd",
        "version              1.2",
        "pid                  42",
        "started              2024-02-29T12:00:00Z",
        "uptime               90 s",
        "limit max_size       2097152",
        "count open_logs      1",
        "count lanes          2",
        "count lane_oldest_s  61.25",
    ]


def test_a_closed_log_is_told_with_its_loss() -> None:
    """Who closes a log by force learns what it has cost."""
    assert closed_text("/a", Closed(Position(7, 5), 0)) == (
        "/a is closed at 7:5; 0 bytes could not be written"
    )
    assert closed_text("/\x9b", Closed(None, 1)) == (
        "/\\x9b is closed at an unknown position; 1 byte could not be written"
    )
