"""Which mount a path lies on, by the text of /proc/self/mountinfo: the path itself is not touched.

Below a mount whose server does not answer even stat(2) waits, and for the path of one that hangs
nothing else is left to ask.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

#: Where the kernel tells the mounts of this process.
MOUNTINFO = "/proc/self/mountinfo"

# The kernel writes blanks, tabs, newlines, "#" and backslashes in names so.
_ESCAPE = re.compile(r"\\([0-7]{3})")

#: Ends the optional fields of a line; there may be none.
_END_OF_OPTIONAL = "-"
_FIRST_OPTIONAL = 6


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of mountinfo; see proc_pid_mountinfo(5).

    :ivar number: of the mount.
    :ivar parent: the number of the mount that this one lies on.
    :ivar point: where it is mounted, as an absolute path.
    :ivar kind: the type of its file system, such as ``nfs4`` or ``fuse.sshfs``.
    :ivar source: what is mounted there, such as a device or ``server:/export``.
    """

    number: int
    parent: int
    point: str
    kind: str
    source: str


def parse(text: str) -> Sequence[Mount]:
    """Return the mounts that a text of mountinfo tells; what is no such line is left out."""
    return [mount for line in text.split("\n") for mount in _parsed(line)]


def mount_of(mounts: Sequence[Mount], path: str) -> Mount | None:
    """Return the mount that an absolute path lies on, if no symbolic link is on its way.

    It is the one with the longest prefix that is not hidden: another may have been mounted over it,
    or over a directory above it.

    :returns: None for a relative path, or where a process's root is no mount.
    """
    numbers = {mount.number for mount in mounts}
    found: Mount | None = None
    on: dict[tuple[int | None, str], Mount] = {}
    for mount in mounts:
        # (the root of all is on itself, and that of a container on what cannot be seen from there)
        is_root = mount.parent == mount.number or mount.parent not in numbers
        on[None if is_root else mount.parent, mount.point] = mount
    for prefix in _prefixes(path):
        while (above := on.get((found.number if found else None, prefix))) is not None:
            found = above
    return found


def _parsed(line: str) -> Iterator[Mount]:
    fields = line.split(" ")
    try:
        end = fields.index(_END_OF_OPTIONAL, _FIRST_OPTIONAL)
        kind, source = fields[end + 1 : end + 3]
        number, parent, point = int(fields[0]), int(fields[1]), fields[4]
    except ValueError:
        return
    yield Mount(number, parent, _unescaped(point), _unescaped(kind), _unescaped(source))


def _unescaped(field: str) -> str:
    return _ESCAPE.sub(lambda escape: chr(int(escape[1], 8)), field)


def _prefixes(path: str) -> Iterator[str]:
    """Yield the directories that lead to a path, from the root on, and the path itself."""
    if not path.startswith("/"):
        return
    yield "/"
    # (two slashes at the beginning are one on Linux)
    parts = os.path.normpath(path).lstrip("/").split("/")
    for count in range(1, len(parts) + 1):
        yield "/" + "/".join(parts[:count])
