"""Points in time as one number each, so that many can be kept.

A moment is a boot of the machine and milliseconds of its boot clock (CLOCK_BOOTTIME), which never
steps. A file system knows no such clock: what it says of a file is a moment of no boot, with
milliseconds of the wall clock since 1970. Moments of boots are in order, those of none are not.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

#: Enough for 557 years, and for half a million boots in 63 bits.
_MS_BITS = 44
_MS_MASK = (1 << _MS_BITS) - 1

#: The boot of a moment of the wall clock.
NO_BOOT = 0

#: The present boot, where its number is not known yet; see :meth:`.FileMarks.in_boot`.
THIS_BOOT = (1 << 19) - 1

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)


def moment(boot: int, ms: int) -> int:
    """Return a moment.

    :param boot: counts the boots of the machine from 1; NO_BOOT for the wall clock.
    """
    return boot << _MS_BITS | min(max(ms, 0), _MS_MASK)


def boot_of(moment: int) -> int:
    """Return the boot; NO_BOOT for a moment of the wall clock."""
    return moment >> _MS_BITS


def ms_of(moment: int) -> int:
    """Return the milliseconds of the boot's clock, or of the wall clock."""
    return moment & _MS_MASK


def is_of_boot(moment: int) -> bool:
    """Return whether this is a moment of a boot."""
    return moment > _MS_MASK


def wall_ms(time: datetime) -> int:
    """Return the milliseconds since 1970 of an aware time."""
    return (time - _EPOCH) // _MILLISECOND


def wall_time(ms: int) -> datetime:
    """Return the aware time, UTC, so many milliseconds after 1970."""
    return _EPOCH + ms * _MILLISECOND
