"""Every failure of the log handler has its code, domain and text in libvirt's error structure."""

from __future__ import annotations

import errno
import inspect
from datetime import datetime, timezone

import pytest

from harness.strict_xdr import encode
from twisted_virtlog import errors
from twisted_virtlog.libvirt.errors import (
    ErrorCode,
    ErrorDomain,
    failure,
    log_failure,
    system_failure,
    unforeseen,
    unsupported_flags,
)
from twisted_virtlog.libvirt.messages import ERROR_BODY

OPENED_AT = datetime(2024, 2, 29, tzinfo=timezone.utc)

LOG_ERRORS = [
    (
        errors.LogBusy("/real", "qemu", None, OPENED_AT, 7),
        (38, 63, errno.EBUSY, "Cannot open log file: '/p': Device or resource busy"),
    ),
    (
        errors.HeldByOther("/real", 4711, "/srv"),
        (
            38,
            63,
            errno.EBUSY,
            (
                "Cannot open log file: '/p': process 4711, another daemon, writes the logs on"
                " /srv: Device or resource busy"
            ),
        ),
    ),
    (errors.NoSuchLog("none", "/real"), (1, 63, -1, "internal error: No open log file /p")),
    (
        errors.SystemFailure("Unable to delete file /p", errno.EISDIR, "/p"),
        (38, 0, errno.EISDIR, "Unable to delete file /p: Is a directory"),
    ),
    (
        errors.BoundReached("Unable to write to file /p", errno.EDQUOT, "/p"),
        (38, 0, errno.EDQUOT, "Unable to write to file /p: Disk quota exceeded"),
    ),
    (
        errors.NoAnswer("Unable to read from file /p", "/p", "/srv"),
        (
            38,
            0,
            errno.ETIMEDOUT,
            (
                "Unable to read from file /p: the file system on /srv does not answer:"
                " Connection timed out"
            ),
        ),
    ),
    (
        errors.NotWritten("Unable to write to file /p", errno.ETIMEDOUT, "/p", None, "/srv", True),
        (
            38,
            63,
            errno.ETIMEDOUT,
            (
                "Unable to write to file /p: the file system on /srv does not answer, and the"
                " message may be written all the same: Connection timed out"
            ),
        ),
    ),
    (
        errors.NotWritten("Unable to write to file /p", errno.ENOSPC, "/p", 5),
        (38, 63, errno.ENOSPC, "Unable to write to file /p: No space left on device"),
    ),
    (
        errors.OutputError("failed to open /x", errno.ENOENT),
        (38, 0, errno.ENOENT, "failed to open /x: No such file or directory"),
    ),
    (
        errors.BoundReached("Unable to write to /p", errno.ENOSPC, "/p"),
        (38, 0, errno.ENOSPC, "Unable to write to /p: No space left on device"),
    ),
    (
        errors.LimitReached("too many", "open_files", "/p"),
        (38, 0, errno.EMFILE, "Unable to open file: /p: Too many open files"),
    ),
    (
        errors.UnsupportedBackups("Max backup 33 must be less than or equal to 32", "/p"),
        (67, 0, -1, "unsupported configuration: Max backup 33 must be less than or equal to 32"),
    ),
    (
        errors.NotAllowed("/p is not below log_roots, /r", "/p", ["/r"]),
        (29, 63, -1, "operation forbidden: /p is not below log_roots, /r"),
    ),
    (
        errors.LeadsOut("Unable to open /p", errno.ELOOP, "/p", "a link", ["/r"]),
        (
            29,
            63,
            -1,
            "operation forbidden: Unable to open /p: a link: Too many levels of symbolic links",
        ),
    ),
    (
        errors.ShuttingDown("stopping", "/p"),
        (38, 63, errno.ECANCELED, "Unable to open file: /p: Operation canceled"),
    ),
    (errors.LogError("something else"), (1, 63, -1, "internal error: something else")),
]


@pytest.mark.parametrize(("error", "told"), LOG_ERRORS, ids=lambda v: type(v).__name__)
def test_a_failure_is_told_as_virtlogd_tells_it(
    error: errors.LogError, told: tuple[int, int, int, str]
) -> None:
    """Clients show the text and act on code, domain and errno."""
    body = log_failure(error, "/p")
    assert body.message is not None
    assert (body.code, body.domain, body.int1, body.message.decode()) == told
    assert (body.level, body.int2, body.dom, body.str3, body.net) == (2, -1, None, None, None)
    if body.code == 38:
        assert (body.str1, body.str2) == (b"%s", body.message)
    else:
        assert body.str1 is not None
        assert body.str2 is not None
        assert body.str1.replace(b"%s", body.str2) == body.message
        assert body.str1.endswith(b": %s")


def test_every_failure_is_tried_above() -> None:
    """An error that is added to the handler must get its code here."""
    named = {
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.LogError)
    }
    assert {type(error) for error, _ in LOG_ERRORS} == named


@pytest.mark.parametrize(
    ("code", "prefix"),
    [
        (ErrorCode.INVALID_ARGUMENT, b"invalid argument: "),
        (ErrorCode.ARGUMENT_UNSUPPORTED, b"argument unsupported: "),
        (ErrorCode.NO_SERVER, b"Server not found: "),
        (ErrorCode.NO_CLIENT, b"Client not found: "),
        (ErrorCode.RPC, b""),
    ],
)
def test_codes_have_their_fixed_beginnings(code: ErrorCode, prefix: bytes) -> None:
    """Text and template begin the same."""
    body = failure(code, ErrorDomain.ADMIN, "what")
    assert (body.message, body.str1, body.str2) == (prefix + b"what", prefix + b"%s", b"what")
    assert (body.domain, body.int1, body.int2) == (62, -1, -1)


def test_unsupported_flags_name_the_function() -> None:
    """As libvirt's macro does, with other numbers than all else."""
    body = unsupported_flags(ErrorDomain.LOGGING, 0xFFFFFFFF, "someFunction")
    assert body.message == b"unsupported flags (0xffffffff) in function someFunction"
    assert (body.code, body.str1, body.str2) == (8, b"someFunction", b"flags")
    assert (body.int1, body.int2) == (0, 0)


def test_what_nobody_foresaw_tells_its_kind_only() -> None:
    """The particulars are for the daemon's own log."""
    body = unforeseen(ZeroDivisionError("secret"))
    told = b"internal error: ZeroDivisionError; the daemon's log says more"
    assert (body.code, body.domain, body.message) == (1, 7, told)


def test_a_text_around_the_longest_path_can_be_sent() -> None:
    """It is cut to what a string may hold, where virtlogd closes the connection."""
    longest = "/" + "x" * (4 * 1024 * 1024 - 1)
    body = system_failure(ErrorDomain.NONE, f"Unable to open file: {longest}", errno.ENAMETOOLONG)
    assert body.message is not None
    assert body.message.startswith(b"Unable to open file: /xxx")
    assert len(body.message) == 4 * 1024 * 1024
    assert encode(ERROR_BODY, body)
