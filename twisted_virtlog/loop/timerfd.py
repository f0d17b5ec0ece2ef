"""timerfd_create(2): a timer of CLOCK_MONOTONIC, or what tells that the wall clock was set.

Each is a descriptor.

Python's os module has it since 3.13; here it is called by ctypes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import time

_libc = ctypes.CDLL(None, use_errno=True)
_ITIMERSPEC = struct.Struct("llll")
_SECOND_NS = 1_000_000_000
_EXPIRATIONS_BYTES = 8
_ABSTIME, _CANCEL_ON_SET = 1, 2
#: The largest number of seconds: it never comes.
_NEVER = (1 << (8 * struct.calcsize("l") - 1)) - 1


class TimerFD:
    """A timer whose descriptor is readable once it has expired."""

    def __init__(self) -> None:
        # TFD_CLOEXEC and TFD_NONBLOCK have the values of O_CLOEXEC and O_NONBLOCK.
        flags = os.O_CLOEXEC | os.O_NONBLOCK
        self._timer: int = _checked(_libc.timerfd_create(time.CLOCK_MONOTONIC, flags))

    def fileno(self) -> int:
        """Return the descriptor; -1 once closed."""
        return self._timer

    def start(self, seconds: float) -> None:
        """Expire once after some seconds, and be readable from then on, until started again."""
        # Zero would stop the timer; a time in the past means at once.
        self._set(max(1, int(seconds * _SECOND_NS)))

    def stop(self) -> None:
        """Stop, and be readable no more."""
        self._set(0)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._timer)
        self._timer = -1

    def _set(self, ns: int) -> None:
        when = _ITIMERSPEC.pack(0, 0, *divmod(ns, _SECOND_NS))
        _checked(_libc.timerfd_settime(self._timer, 0, when, None))


class SteppedFD:
    """A descriptor that is readable once the wall clock was set."""

    def __init__(self) -> None:
        flags = os.O_CLOEXEC | os.O_NONBLOCK
        self._timer: int = _checked(_libc.timerfd_create(time.CLOCK_REALTIME, flags))
        when = _ITIMERSPEC.pack(0, 0, _NEVER, 0)
        _checked(_libc.timerfd_settime(self._timer, _ABSTIME | _CANCEL_ON_SET, when, None))

    def fileno(self) -> int:
        """Return the descriptor; -1 once closed."""
        return self._timer

    def take(self) -> bool:
        """Return whether the wall clock was set since the last time; be readable no more."""
        try:
            os.read(self._timer, _EXPIRATIONS_BYTES)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.ECANCELED:
                raise
        return True

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._timer)
        self._timer = -1


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
