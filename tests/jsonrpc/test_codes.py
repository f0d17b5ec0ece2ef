"""Each error of the log handler has its code and the data the interface promises."""

from __future__ import annotations

import errno
import os
from datetime import datetime, timezone
from typing import Any

import msgspec
import pytest

from twisted_virtlog import errors
from twisted_virtlog.jsonrpc.codes import Code, error_object
from twisted_virtlog.values import Domain

SINCE = datetime(2024, 2, 29, 12, tzinfo=timezone.utc)
GUEST = Domain("c7a5fdbd-edaf-9455-926a-d65c16db1809", "web")
GUEST_JSON = {"uuid": GUEST.uuid, "name": "web"}
BUSY_DATA = {
    "driver": "qemu",
    "domain": None,
    "opened_at": "2024-02-29T12:00:00Z",
    "pipe": 77,
    "path": "/a",
}
FULL_DATA = {"errno": "ENOSPC", "strerror": os.strerror(errno.ENOSPC), "path": "/a"}
NO_PATH_DATA = {"errno": "ENOSPC", "strerror": os.strerror(errno.ENOSPC)}
SILENT_DATA = {
    "errno": "ETIMEDOUT",
    "strerror": os.strerror(errno.ETIMEDOUT),
    "mount": "/srv",
    "path": "/a",
}
INVALID_DATA = {"errno": "EINVAL", "strerror": os.strerror(errno.EINVAL), "path": "/a"}

CASES: list[tuple[errors.LogError, int, dict[str, Any] | None]] = [
    (errors.LogBusy("/a", "qemu", None, SINCE, 77), 1001, BUSY_DATA),
    (errors.LogBusy("/a", "qemu", GUEST, SINCE, 77), 1001, {**BUSY_DATA, "domain": GUEST_JSON}),
    (
        errors.HeldByOther("/a", 4711, "/srv"),
        1001,
        {
            "driver": None,
            "domain": None,
            "opened_at": None,
            "pipe": None,
            "pid": 4711,
            "mount": "/srv",
            "path": "/a",
        },
    ),
    (errors.NoSuchLog("not open: /a", "/a"), 1002, {"path": "/a"}),
    (errors.SystemFailure("write", errno.ENOSPC, "/a"), 1003, FULL_DATA),
    (errors.BoundReached("write", errno.ENOSPC, "/a"), 1003, FULL_DATA),
    (
        errors.NoAnswer("read", "/a", "/srv"),
        1003,
        SILENT_DATA,
    ),
    (errors.OutputError("failed to open /a", errno.ENOSPC), 1003, NO_PATH_DATA),
    (
        errors.SystemFailure("x", 4711),
        1003,
        {"errno": "4711", "strerror": os.strerror(4711)},
    ),
    (errors.UnsupportedBackups("max_backups", "/a"), 1003, INVALID_DATA),
    (errors.LimitReached("too many", "open_logs"), 1004, {"limit": "open_logs"}),
    (errors.LimitReached("all", "x", "/a"), 1004, {"limit": "x", "path": "/a"}),
    (errors.ShuttingDown("stopping"), 1005, None),
    (errors.NotAllowed("unknown", "/a"), 1011, {"path": "/a"}),
    (errors.NotAllowed("outside", "/a", ["/r"]), 1011, {"path": "/a", "roots": ["/r"]}),
    (
        errors.LeadsOut("open", errno.ELOOP, "/a", "a link", ["/r"]),
        1011,
        {"path": "/a", "roots": ["/r"]},
    ),
    (
        errors.NotWritten("write", errno.ENOSPC, "/a", 17),
        1006,
        {**FULL_DATA, "pending_bytes": 17},
    ),
    (
        errors.NotWritten("write", errno.ETIMEDOUT, "/a", None, "/srv"),
        1006,
        {**SILENT_DATA, "pending_bytes": None},
    ),
    (
        errors.NotWritten("write", errno.ETIMEDOUT, "/a", 0, "/srv", maybe_written=True),
        1006,
        {**SILENT_DATA, "pending_bytes": 0, "maybe_written": True},
    ),
]


@pytest.mark.parametrize(("error", "code", "data"), CASES)
def test_an_error_has_its_code_and_data(
    error: errors.LogError, code: int, data: dict[str, Any] | None
) -> None:
    """What a client may act on is in data, the path too where there is one."""
    told = msgspec.json.decode(msgspec.json.encode(error_object(error)))
    expected = {"code": code, "message": str(error)}
    assert told == (expected if data is None else {**expected, "data": data})


def test_no_error_is_forgotten() -> None:
    """Every error that callers are promised has a case above and a code of its own meaning."""
    promised = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.LogError)
    }
    assert promised - {errors.LogError} == {type(error) for error, _, _ in CASES}
    assert all(code.meaning for code in Code)


def test_names_that_are_no_utf8_do_not_break_the_answer() -> None:
    """They are shown with replacements."""
    odd = os.fsdecode(b"/\xff")
    for error in (
        errors.NoSuchLog(f"not open: {odd}", odd),
        errors.LogBusy(odd, odd, None, SINCE, 1),
        errors.HeldByOther(odd, 1, odd),
        errors.NoAnswer("read", odd, odd),
        errors.NotWritten("write", errno.ETIMEDOUT, odd, None, odd),
    ):
        told = msgspec.json.decode(msgspec.json.encode(error_object(error)))
        assert told["data"]["path"] == "/\ufffd"
        assert "/\ufffd" in told["message"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            errors.NoAnswer("Unable to open file: /srv/a", "/srv/a", "/srv"),
            (
                "Unable to open file: /srv/a: the file system on /srv does not answer:"
                " Connection timed out"
            ),
        ),
        (
            errors.NotWritten("Unable to write", errno.ETIMEDOUT, "/srv/a", None, "/srv", True),
            (
                "Unable to write: the file system on /srv does not answer, and the message may be"
                " written all the same: Connection timed out"
            ),
        ),
        (
            errors.HeldByOther("/srv/a", 4711, "/srv"),
            (
                "/srv/a: process 4711, another daemon, writes the logs on /srv; end it, and this"
                " daemon goes on"
            ),
        ),
    ],
)
def test_what_a_mount_has_to_do_with_it_is_said(error: errors.LogError, message: str) -> None:
    """A connection that timed out is no help to who asked for a file."""
    assert error_object(error).message == message


def test_an_error_without_a_name_is_internal() -> None:
    """A bare LogError, which nobody should raise, is still answered."""
    assert error_object(errors.LogError("?")).code == Code.INTERNAL_ERROR
