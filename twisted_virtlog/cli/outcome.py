"""How the command ends, and what it says to whoever started it."""

from __future__ import annotations

import enum
import os
from contextlib import suppress

STDOUT = 1
STDERR = 2


class Status(enum.IntEnum):
    """The exit status, as virtlogd's."""

    DONE = 0
    REFUSED = 1
    NO_RUN_DIRECTORY = 2
    FAILED = 3
    NO_SOCKETS = 6


def say(text: str, descriptor: int = STDERR) -> None:
    """Write to a standard stream, if anybody reads it."""
    # Not sys.stderr, which is None when the process was started without one.
    with suppress(OSError):
        os.write(descriptor, text.encode("utf-8", "backslashreplace"))
