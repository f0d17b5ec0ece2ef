"""Which mount a path lies on, by the text of /proc/self/mountinfo: the path itself is not touched.

Below a mount whose server does not answer even stat(2) waits, and for the path of one that hangs
nothing else is left to ask.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

#: Where the kernel tells the mounts of this process.
MOUNTINFO = "/proc/self/mountinfo"

#: PATH_MAX of Linux, with the NUL at the end.
PATH_MAX = 4096

#: The type of a file system whose directories mount others when they are entered.
AUTOFS = "autofs"

# The kernel writes blanks, tabs, newlines, "#" and backslashes in names so.
_ESCAPE = re.compile(r"\\([0-7]{3})")

#: Ends the optional fields of a line; there may be none.
_END_OF_OPTIONAL = "-"
_FIRST_OPTIONAL = 6


class Mount(Struct, frozen=True):
    """A line of mountinfo; see proc_pid_mountinfo(5).

    :ivar number: of the mount.
    :ivar parent: the number of the mount that this one lies on.
    :ivar device: ``MAJOR:MINOR`` of its file system, which all mounts of that share.
    :ivar point: where it is mounted, as an absolute path.
    :ivar kind: the type of its file system, such as ``nfs4`` or ``fuse.sshfs``.
    :ivar source: what is mounted there, such as a device or ``server:/export``.
    """

    number: int
    parent: int
    device: str
    point: str
    kind: str
    source: str


#: Stands for the mount of the root directory where that is none that is listed, and for all mounts
#: where nobody can tell them.
UNKNOWN = Mount(-1, -1, "0:0", "/", "", "")


class Mounts:
    """All mounts that this process can reach, as of one moment.

    :ivar all: in the order in which the kernel lists them.
    :ivar lines: each by its line.
    :ivar root: what this process's root directory lies on; None if that is no mount's own root, as
        after chroot(2) into a directory.
    """

    def __init__(self, text: str, former: Mounts | None = None) -> None:
        """Parse the table.

        :param text: of mountinfo; what is no line of it is left out.
        :param former: those of before. A mount that is as it was is the same object, and not parsed
            again, which takes most of the time where there are a thousand.
        """
        known: Mapping[str, Mount] = {} if former is None else former.lines
        self.lines: Mapping[str, Mount] = {
            line: mount
            for line in text.split("\n")
            if (mount := known.get(line) or _parsed(line)) is not None
        }
        self.all: Sequence[Mount] = tuple(self.lines.values())
        self._by_number = numbers = {mount.number: mount for mount in self.all}
        # (what is mounted on what nobody can reach is on None)
        self._on: dict[tuple[int | None, str], Mount] = {
            (
                mount.parent if mount.parent in numbers and mount.parent != mount.number else None,
                mount.point,
            ): mount
            for mount in self.all
        }
        # What leading_to has found.
        self._leading: dict[int, Sequence[Mount]] = {}
        # What is mounted over the root itself hides nothing: paths begin below it.
        self.root = self._on.get((None, "/"))

    def on(self, mount: Mount | None, point: str) -> Mount | None:
        """Return what is mounted somewhere; the topmost, if there are several.

        :param mount: the one that the place lies on; None for a root that is no mount.
        :param point: the place, as an absolute path without links.
        """
        found = above = self._on.get((mount.number if mount else None, point))
        while above is not None:
            found, above = above, self._on.get((above.number, point))
        return found

    def along(
        self, mount: Mount | None, directory: str, names: Sequence[str]
    ) -> tuple[int, Mount | None]:
        """Return how many names, from a directory on, stay on its mount, and what comes then.

        They end at ``..``, and where the path would be longer than any can be.

        :param mount: the one that the directory lies on; None for a root that is no mount.
        :param directory: its path, without links; empty for the root.
        :param names: of a path that begins there, neither empty nor ``.``; none of them a link.
        :returns: their number, and the mount that begins at the name after these, if one does.
        """
        number = mount.number if mount else None
        mounted = self._on
        count = 0
        for name in names:
            if name == "..":
                break
            directory = f"{directory}/{name}"
            if (number, directory) in mounted:
                return count, self.on(mount, directory)
            if len(directory) >= PATH_MAX:
                break
            count += 1
        return count, None

    def leading_to(self, mount: Mount) -> Sequence[Mount]:
        """Return the mounts that a path passes on its way to one, from the root on; this one last.

        Whoever opens a path looks names up on all of them. One that another covers at the same
        place is not among them, except autofs, whose daemon may be waited for on the way through.
        """
        found = self._leading.get(mount.number)
        # (one that is not of this table may have the number of another)
        if found is not None and found[-1] is mount:
            return found
        chain = [mount]
        while (below := self._by_number.get(chain[-1].parent)) and below not in chain:
            chain.append(below)
        found = self._leading[mount.number] = tuple(
            one
            for one, above in zip(reversed(chain), [*reversed(chain[:-1]), None], strict=True)
            if above is None or above.point != one.point or one.kind == AUTOFS
        )
        return found

    def of(self, path: str) -> Mount | None:
        """Return the mount that an absolute path lies on, if no symbolic link is on its way.

        It is the one with the longest prefix that is not hidden: another may have been mounted over
        it, or over a directory above it.

        :returns: None for a relative path, or where a process's root is no mount.
        """
        if not path.startswith("/"):
            return None
        found = self.root
        for prefix in _prefixes(path):
            found = self.on(found, prefix) or found
        return found


def _parsed(line: str) -> Mount | None:
    fields = line.split(" ")
    try:
        end = fields.index(_END_OF_OPTIONAL, _FIRST_OPTIONAL)
        kind, source = fields[end + 1 : end + 3]
        number, parent, device, point = int(fields[0]), int(fields[1]), fields[2], fields[4]
    except ValueError:
        return None
    return Mount(number, parent, device, _unescaped(point), _unescaped(kind), _unescaped(source))


def _unescaped(field: str) -> str:
    if "\\" not in field:
        return field
    return _ESCAPE.sub(lambda escape: chr(int(escape[1], 8)), field)


def _prefixes(path: str) -> Iterator[str]:
    """Yield the directories that lead to an absolute path, below the root, and the path itself."""
    # (two slashes at the beginning are one on Linux)
    normal = "/" + os.path.normpath(path).lstrip("/")
    end = 0
    # (nothing is mounted at a longer path, and this keeps the time from growing with its square)
    while 0 <= end < PATH_MAX and len(normal) > 1:
        end = normal.find("/", end + 1)
        yield normal if end < 0 else normal[:end]
