"""What people see in a terminal: aligned, exact, and harmless."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from twisted_virtlog.client import DaemonInfo, Domain, LogInfo, Position
from twisted_virtlog.ctl.tables import info_table, logs_table, visible

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
        ),
    ]
    assert logs_table(logs).splitlines() == [
        "PATH        STATE    GUEST  DRIVER  POSITION    BYTES  ROLLOVERS  OPENED",
        "/l/a.log    failing  -      none    7:10           10          0  2024-02-29T12:00:00Z",
        "  No space left on device",
        "/l/web.log  open     web    qemu    8:4096    2101248         12  2024-02-29T12:00:00Z",
    ]


def test_no_logs_leave_the_headings() -> None:
    """An empty list is seen to be one."""
    assert logs_table([]).split() == [
        *("PATH", "STATE", "GUEST", "DRIVER", "POSITION", "BYTES", "ROLLOVERS", "OPENED")
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
        counts={"open_logs": 1},
    )
    assert info_table(info).splitlines() == [
        "name             virtlogd",
        "version          1.2",
        "pid              42",
        "started          2024-02-29T12:00:00Z",
        "uptime           90 s",
        "limit max_size   2097152",
        "count open_logs  1",
    ]


def test_a_name_cannot_command_the_terminal() -> None:
    """Control characters that a guest's name smuggles in are shown, not obeyed."""
    assert visible("web\x1b[2J\n\u202eä") == "web\\x1b[2J\\n\\u202eä"
