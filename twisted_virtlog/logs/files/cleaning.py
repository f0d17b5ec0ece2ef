"""Decides which files of logs are too old, or are backups too many: from a listing to removals.

The rules for a directory are those of newer libvirt versions' virtlogd (``max_age_days``): its
files named ``X.log`` and ``X.log.N`` are the chain of one log. Of logs that the daemon knows by
themselves, whatever they are called, it is known when they were used. Nothing here touches a file.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence

import msgspec
from msgspec import Struct

from twisted_virtlog.history.records import KnownLog
from twisted_virtlog.logs.files.names import HELD, is_packed, parse_name

_DAY_NS = 24 * 60 * 60 * 10**9

#: So many files are looked at before others are served.
_FILES_AT_ONCE = 64

#: Returns the age of what was used at a time, both in nanoseconds.
AgeOf = Callable[[int], int]


class Rules(Struct, frozen=True):
    """What the configuration says of old logs.

    :ivar log_root: the directory whose files and whose direct subdirectories' files are looked at.
    :ivar max_age_days: a log is removed if none of its files was written to for longer; 0: never.
    :ivar max_backups: a backup with a greater number is removed, whatever its age, unless its log
        may have as many.
    """

    log_root: str
    max_age_days: int
    max_backups: int

    def is_old(self, age_ns: int) -> bool:
        """Return whether what has an age is too old."""
        return bool(self.max_age_days) and age_ns > self.max_age_days * _DAY_NS


class Found(msgspec.Struct, frozen=True, gc=False):
    """A file as it was found; one that was written to or replaced since is not equal to it.

    :ivar inode: its inode number.
    :ivar modified_ns: when it was last written to, in nanoseconds since the epoch.
    :ivar size: in bytes.
    """

    name: str
    inode: int
    modified_ns: int
    size: int


class Removal(msgspec.Struct, frozen=True, gc=False):
    """Files of one log that are to go together.

    :ivar files: the oldest first, so that a removal that fails halfway leaves the newer ones.
    :ivar unless_open: names; if a log of one of them is open, all files are kept.
    :ivar reason: why, to be reported after a file's name.
    :ivar log: the name of the log that is gone with them; None if it stays.
    """

    files: tuple[Found, ...]
    unless_open: tuple[str, ...]
    reason: str
    log: str | None = None


class Moment(Struct, frozen=True):
    """The present, on two clocks; all in nanoseconds.

    :ivar now_ns: the wall clock, by which files have their times: since the epoch. It steps.
    :ivar up_ns: the time since the machine was started, which never steps: CLOCK_BOOTTIME.
    :ivar steady_ns: for how long the wall clock is known not to have stepped.
    :ivar boots_ns: when the machine was started, by the wall clock before each known step.
    """

    now_ns: int
    up_ns: int
    steady_ns: int
    boots_ns: tuple[int, ...] = ()


def telling(times: Iterable[int], moment: Moment) -> list[int]:
    """Return those of some times that say as much of how the wall clock was as all of them do."""
    boot = moment.now_ns - moment.up_ns
    newest: int | None = None
    first: int | None = None
    for time in times:
        if time < boot:
            newest = time if newest is None else max(newest, time)
        elif time <= moment.now_ns:
            first = time if first is None else min(first, time)
    return [time for time in (newest, first) if time is not None]


def ages(modified_ns: Iterable[int], moment: Moment) -> AgeOf:
    """Return a function from when a file was last written to, to its age, both in nanoseconds.

    The wall clock alone may be years ahead, as on a board without a battery before NTP has run, and
    all files would be old. So the age of a file that was written since the machine was started is
    measured by the clock that never steps. No other file is older than it was when the newest of
    them was written, plus the time for which the wall clock has been as it is since the start.

    :param modified_ns: when each file was last written to that shows how the wall clock was.
    """
    up, boot = moment.up_ns, moment.now_ns - moment.up_ns
    times = list(modified_ns)
    steady = max((up - (time - boot) for time in times if boot <= time <= moment.now_ns), default=0)
    newest = max((time for time in times if time < boot), default=moment.now_ns)
    present = min(moment.now_ns, newest + max(steady, moment.steady_ns))

    def age_ns(time: int) -> int:
        since_boot = [up - (time - one) for one in (*moment.boots_ns, boot)]
        return min((age for age in since_boot if 0 <= age <= up), default=present - time)

    return age_ns


def used_ns(log: KnownLog) -> int:
    """Return when a log was used last, in nanoseconds since the epoch, as far as that is known."""
    times = (log.first_at, log.opened_at, log.closed_at)
    return max(int(time.timestamp() * 1e9) for time in times if time is not None)


def reason_of(age_ns: int) -> str:
    """Return why a log goes that was not used for long, to be reported after its name."""
    return f"the log was not in use for {age_ns // _DAY_NS} days"


def removals(
    directory: Sequence[Found],
    rules: Rules,
    age_ns: AgeOf,
    max_backups_of: Callable[[str], int],
) -> Generator[None, None, list[Removal]]:
    """Return what to remove from one directory.

    A backup is one too many if its number is greater than ``max_backups``: libvirt keeps the one
    that is equal, though rotation stops below it. No open log writes such a file either.

    :param directory: its regular files; those with other names are passed over.
    :param age_ns: see :func:`ages`.
    :param max_backups_of: how many backups a log may have for itself, by its name.
    """
    if not rules.max_age_days:
        return []
    surplus: list[Removal] = []
    chains: dict[str, dict[tuple[int, bool], Found]] = {}
    for count, one in enumerate(directory, 1):
        if not count % _FILES_AT_ONCE:
            yield
        parsed = parse_name(one.name)
        if parsed is None:
            continue
        log, number = parsed
        most = rules.max_backups
        if most < number < HELD:
            most = max(most, max_backups_of(log))
        if most < number < HELD:
            reason = f"its number is greater than max_backups, {most}"
            surplus.append(Removal((one,), (one.name,), reason))
        else:
            # (of a file and the packed one, the one that is not looked at goes first)
            chains.setdefault(log, {})[number, is_packed(one.name)] = one
    expired = []
    for count, (log, numbered) in enumerate(chains.items(), 1):
        if not count % _FILES_AT_ONCE:
            yield
        files = tuple(numbered[number] for number in sorted(numbered, reverse=True))
        age = min(age_ns(one.modified_ns) for one in files)
        if rules.is_old(age):
            # (a backup's name may be that of another open log)
            names = dict.fromkeys([log, *(one.name for one in files)])
            reason = f"the log was not written to for {age // _DAY_NS} days"
            expired.append(Removal(files, tuple(names), reason, log))
    surplus.sort(key=lambda removal: removal.files[0].name)
    expired.sort(key=lambda removal: removal.log or "")
    return [*surplus, *expired]
