"""Decides which files of logs are too old, or are backups too many: from a listing to removals.

The rules are those of newer libvirt versions' virtlogd (``max_age_days``): a directory's files
named ``X.log`` and ``X.log.N`` are the chain of one log. Nothing here touches a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from twisted_virtlog.logs.files.names import parse_name

_DAY_NS = 24 * 60 * 60 * 10**9


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration says of old logs.

    :ivar log_root: the directory whose files and whose direct subdirectories' files are looked at.
    :ivar max_age_days: a log is removed if none of its files was written to for longer; 0: never.
    :ivar max_backups: a backup with a greater number is removed, whatever its age.
    """

    log_root: str
    max_age_days: int
    max_backups: int


@dataclass(frozen=True, slots=True)
class Found:
    """A file as it was found; one that was written to or replaced since is not equal to it.

    :ivar inode: its inode number.
    :ivar modified_ns: when it was last written to, in nanoseconds since the epoch.
    :ivar size: in bytes.
    """

    name: str
    inode: int
    modified_ns: int
    size: int


@dataclass(frozen=True, slots=True)
class Removal:
    """Files of one log that are to go together.

    :ivar files: the oldest first, so that a removal that fails halfway leaves the newer ones.
    :ivar unless_open: names; if a log of one of them is open, all files are kept.
    :ivar reason: why, to be reported after a file's name.
    """

    files: tuple[Found, ...]
    unless_open: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Moment:
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


def ages(modified_ns: Iterable[int], moment: Moment) -> Callable[[int], int]:
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


def removals(
    directory: Iterable[Found], rules: Rules, age_ns: Callable[[int], int]
) -> list[Removal]:
    """Return what to remove from one directory.

    A backup is one too many if its number is greater than ``max_backups``: libvirt keeps the one
    that is equal, though rotation stops below it. No open log writes such a file either.

    :param directory: its regular files; those with other names are passed over.
    :param age_ns: see :func:`ages`.
    """
    if not rules.max_age_days:
        return []
    surplus: list[Removal] = []
    chains: dict[str, dict[int, Found]] = {}
    for one in sorted(directory, key=lambda found: found.name):
        parsed = parse_name(one.name)
        if parsed is None:
            continue
        log, number = parsed
        if number > rules.max_backups:
            reason = f"its number is greater than max_backups, {rules.max_backups}"
            surplus.append(Removal((one,), (one.name,), reason))
        else:
            chains.setdefault(log, {})[number] = one
    expired = []
    for log, numbered in chains.items():
        files = tuple(numbered[number] for number in sorted(numbered, reverse=True))
        age = min(age_ns(one.modified_ns) for one in files)
        if age > rules.max_age_days * _DAY_NS:
            # (a backup's name may be that of another open log)
            names = dict.fromkeys([log, *(one.name for one in files)])
            reason = f"the log was not written to for {age // _DAY_NS} days"
            expired.append(Removal(files, tuple(names), reason))
    return [*surplus, *expired]
