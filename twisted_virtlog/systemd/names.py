"""Names of descriptors in the service manager's store: which is which, and how many fit.

All names come back in one string of the environment, LISTEN_FDNAMES, and execve(2) refuses strings
of more than 128 KiB: the service could not be started again, and the store would be lost. So a
pipe's name is its inode number in few characters, which also says which pipe it is.
"""

from __future__ import annotations

import string

#: The journal has one of the first two names, or both while it is replaced. Where a journal of a
#: newer release has one of them, the third takes its place. No pipe's name has a hyphen.
JOURNALS = ("journal-a", "journal-b", "journal-c")

#: The text of the last configuration that was right.
CONFIGURATION = "last-configuration"

#: What is counted of all logs.
COUNTS = "log-counts"

#: What the names of lanes' staging pipes and of their records begin with.
_STAGING = "staging-"
_LANE = "lane-"

#: What the name of a pipe begins with through which a thread drops bytes.
_DROPPING = "drop-"

#: The most bytes of names that are stored, each with its separator: MAX_ARG_STRLEN of execve(2)
#: less some room for the variable's own name and for those of sockets and journals.
MOST_BYTES = 128 * 1024 - 1024

_DIGITS = string.digits + string.ascii_letters
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}

#: What a name of a lane takes at most: its number has 32 bits.
_LANE_BYTES = len("staging-123456:")

#: The most digits that are read. (The inode numbers of pipes have 32 bits.)
_LONGEST = 11


def pipe_name(inode: int) -> str:
    """Return the name of a pipe: its inode number to base 62."""
    name = ""
    while True:
        inode, digit = divmod(inode, len(_DIGITS))
        name = _DIGITS[digit] + name
        if not inode:
            return name


def pipe_inode(name: str) -> int | None:
    """Return the inode number that a name means; None if it is not the name of a pipe."""
    if not 0 < len(name) <= _LONGEST or (name[0] == "0" and name != "0"):
        return None
    inode = 0
    for digit in name:
        if digit not in _VALUES:
            return None
        inode = inode * len(_DIGITS) + _VALUES[digit]
    return inode


def staging_name(inode: int) -> str:
    """Return the name of a staging pipe with an inode number."""
    return _STAGING + pipe_name(inode)


def staging_inode(name: str) -> int | None:
    """Return the inode number that a name means; None if it is not the name of a staging pipe."""
    return pipe_inode(name.removeprefix(_STAGING)) if name.startswith(_STAGING) else None


def dropping_name(inode: int) -> str:
    """Return the name of a drop pipe with an inode number."""
    return _DROPPING + pipe_name(inode)


def dropping_inode(name: str) -> int | None:
    """Return the inode number that a name means; None if it is not the name of a drop pipe."""
    return pipe_inode(name.removeprefix(_DROPPING)) if name.startswith(_DROPPING) else None


def lane_name(inode: int) -> str:
    """Return the name of a lane's record with an inode number."""
    return _LANE + pipe_name(inode)


def is_lane(name: str) -> bool:
    """Return whether a name is that of a lane's record."""
    return name.startswith(_LANE) and pipe_inode(name.removeprefix(_LANE)) is not None


def next_journal(former: str | None, left: str | None) -> str:
    """Choose the name for a journal that replaces another.

    :param former: the other's name.
    :param left: the name of a journal of a newer release.
    """
    return next(name for name in JOURNALS if name not in (former, left))


class Room:
    """The room in the store, which is limited in descriptors and in bytes of their names.

    Some of it is for lanes alone: they are few, and each is needed by many logs.
    """

    def __init__(self, most: int | None, for_lanes: int = 0) -> None:
        """:param most: how many descriptors fit; None if that is not known.

        :param for_lanes: how many of them are for lanes.
        """
        self._most = most
        self._for_lanes = for_lanes
        self._bytes = 0
        self._names: set[str] = set()
        self._of_lanes: set[str] = set()

    def __contains__(self, name: str) -> bool:
        """Return whether a name is in the store."""
        return name in self._names

    def __len__(self) -> int:
        """Return how many names there are."""
        return len(self._names)

    def add(self, name: str, of_lane: bool = False) -> bool:
        """Take room for a name; return whether there was any.

        :param of_lane: whether it is that of a lane's record or of a staging pipe.
        """
        if name in self._names:
            return True
        needed = len(name) + 1
        kept_free = 0 if of_lane else max(0, self._for_lanes - len(self._of_lanes))
        if self._most is not None and len(self._names) >= self._most - kept_free:
            return False
        if self._bytes + needed + kept_free * _LANE_BYTES > MOST_BYTES:
            return False
        self._names.add(name)
        self._bytes += needed
        if of_lane:
            self._of_lanes.add(name)
        return True

    def remove(self, name: str) -> None:
        """Release the room of a name."""
        if name in self._names:
            self._names.remove(name)
            self._of_lanes.discard(name)
            self._bytes -= len(name) + 1
