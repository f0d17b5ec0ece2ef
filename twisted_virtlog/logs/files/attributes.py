"""Keeps what an administrator set on a log's file: mode, owner, access control list, SELinux label.

A rollover makes a new file, with the daemon's defaults. What was different on the former one is set
by the new one's descriptor, so that nobody can put another file in its place.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from twisted.logger import Logger

from twisted_virtlog.logs.files.log_directory import BY_PATH, LogDirectory

#: The extended attributes that are kept; others are about the content, or how the file came to be.
_ACL = "system.posix_acl_access"
_NOUNS = {_ACL: "access control list", "security.selinux": "SELinux label"}

_LOOK_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

#: The bits of a mode that are kept. No file that runs with its owner's rights is ever made.
_MODE_BITS = stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO

#: The number of logs of which the daemon reports that something could not be kept.
_MOST_TOLD = 1000


class Held(NamedTuple):
    """The attributes of a file.

    :ivar extended: those extended attributes that are kept, by name.
    """

    mode: int
    uid: int
    gid: int
    extended: Mapping[str, bytes]


def held_by(file: int) -> Held | None:
    """Return the attributes of an open file; None if it cannot be asked, or is a device."""
    try:
        status = os.fstat(file)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return Held(status.st_mode & _MODE_BITS, status.st_uid, status.st_gid, _extended(file))


def held_by_path(path: str, directory: LogDirectory = BY_PATH) -> Held | None:
    """Return the same of a file that is not open."""
    try:
        file = directory.open(path, _LOOK_FLAGS)
    except OSError:
        return None
    try:
        return held_by(file)
    finally:
        os.close(file)


class Attributes:
    """Sets files' attributes, and reports once for each log what cannot be set."""

    _logger = Logger()

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, wanted: Held, file: int, path: str) -> None:
        """Set on a new file the attributes of the one that it replaces.

        :param file: its descriptor; nothing is in it yet.
        :param path: of the file, to be reported.
        """
        problem = ", ".join(_set(wanted, file))
        if problem and path not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(path)
            self._logger.warn(
                "{path}: the new file does not have the former one's {problem}; this is reported"
                " only once for each log",
                path=path,
                problem=problem,
            )


def _set(wanted: Held, file: int) -> Sequence[str]:
    """Set what differs; return what cannot be set, and why."""
    found = held_by(file)
    if found is None or found == wanted:
        return ()
    problems: list[str] = []
    mode = wanted.mode
    in_group = True
    if (wanted.uid, wanted.gid) != (found.uid, found.gid):
        in_group = _own(file, wanted, problems)
        if not in_group:
            # What the former file's group may is not for another group.
            mode &= ~stat.S_IRWXG
    if mode != found.mode:
        _try(lambda: os.fchmod(file, mode), "mode", problems)
    for name, value in wanted.extended.items():
        if value != found.extended.get(name) and (in_group or name != _ACL):
            _try(partial(os.setxattr, file, name, value), _NOUNS[name], problems)
    if _ACL in found.extended and _ACL not in wanted.extended:
        # From the directory's default, and the former file's was taken away.
        _try(lambda: os.removexattr(file, _ACL), _NOUNS[_ACL], problems)
    return problems


def _own(file: int, wanted: Held, problems: list[str]) -> bool:
    """Set owner and group, or the group alone; return whether the group is right."""
    try:
        os.fchown(file, wanted.uid, wanted.gid)
    except OSError as error:
        problems.append(f"owner ({error.strerror})")
    else:
        return True
    return _try(lambda: os.fchown(file, -1, wanted.gid), "group", problems)


def _extended(file: int) -> dict[str, bytes]:
    """Return those extended attributes that are copied; none where there can be none."""
    try:
        names = os.listxattr(file)
        return {name: os.getxattr(file, name) for name in names if name in _NOUNS}
    except OSError:
        return {}


def _try(call: Callable[[], object], noun: str, problems: list[str]) -> bool:
    try:
        call()
    except OSError as error:
        problems.append(f"{noun} ({error.strerror})")
        return False
    return True
