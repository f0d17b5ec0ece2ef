"""How the command ends, and what it says to whoever started it."""

from __future__ import annotations

import enum
import os
from contextlib import suppress

STDOUT = 1
STDERR = 2


#: Set by the daemon's own unit, which knows the statuses that virtlogd does not have.
UNIT_VARIABLE = "TWISTED_VIRTLOG_UNIT"


class Status(enum.IntEnum):
    """The exit status, as virtlogd's.

    The last two are for the daemon's own unit, which does not restart the daemon after them. It
    does after all others: a stray SIGTERM must not leave guests without a daemon.

    :cvar BAD_CONFIGURATION: in place of REFUSED; EX_CONFIG of sysexits.h.
    :cvar NOT_NEEDED: in place of DONE, after the timeout and after an administrator's shutdown.
    """

    DONE = 0
    REFUSED = 1
    NO_RUN_DIRECTORY = 2
    FAILED = 3
    NO_SOCKETS = 6
    BAD_CONFIGURATION = 78
    NOT_NEEDED = 150


def say(text: str, descriptor: int = STDERR) -> None:
    """Write to a standard stream, if it can be written."""
    # Not sys.stderr, which is None when the process was started without one.
    with suppress(OSError):
        os.write(descriptor, text.encode("utf-8", "backslashreplace"))
