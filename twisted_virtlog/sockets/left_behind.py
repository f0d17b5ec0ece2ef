"""Whether a UNIX socket is that of a process that cannot end: it takes connections, nobody serves.

As long as a thread of a process that was killed waits for a file system, the kernel lets clients
connect to its sockets, until as many wait as its queue holds; to the next one the socket is busy.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from twisted_virtlog.loop.processes import is_dying
from twisted_virtlog.loop.threads import DeafThread

_PROCESSES = "/proc"
_SOCKETS = "/proc/net/unix"

# Columns of /proc/net/unix (proc_pid_net(5)), before the path.
_FLAGS, _INODE, _PATH = 3, 6, 7

#: How long the look at all processes may take.
_LOOK_SECONDS = 2.0

#: The socket listens (__SO_ACCEPTCON).
_LISTENS = 0x10000


def find_dying_listener(path: str) -> int | None:
    """Find the process that listens at a path, if it is one that cannot end.

    For a socket with a full queue, which cannot be asked: it takes a look at all processes.

    :param path: as it was bound.
    :returns: its number; None if there is none, if it is another user's, or if it waits on its way
        through an exec, as then so would this.
    """
    found: list[int] = []
    looking = DeafThread(target=lambda: found.extend(_dying_listeners(path)), daemon=True)
    looking.start()
    looking.join(_LOOK_SECONDS)
    return found[0] if found else None


def _dying_listeners(path: str) -> Iterator[int]:
    links = {f"socket:[{inode}]" for inode in _listening_at(path)}
    for name in os.listdir(_PROCESSES):
        if (
            links
            and name.isdigit()
            and is_dying(int(name))
            and not links.isdisjoint(_descriptors(f"{_PROCESSES}/{name}/task"))
        ):
            yield int(name)


def _listening_at(path: str) -> Iterator[str]:
    with open(_SOCKETS, "rb") as file:
        for line in file:
            columns = line.rstrip(b"\n").split(None, _PATH)
            if (
                len(columns) > _PATH
                and columns[_PATH] == os.fsencode(path)
                and int(columns[_FLAGS], 16) & _LISTENS
            ):
                yield columns[_INODE].decode()


def _descriptors(tasks: str) -> Iterator[str]:
    """Yield what a process's threads have open: the main one, which is gone, has nothing."""
    with suppress(OSError):
        for task in os.listdir(tasks):
            with suppress(OSError):
                for descriptor in os.listdir(f"{tasks}/{task}/fd"):
                    with suppress(OSError):
                        yield os.readlink(f"{tasks}/{task}/fd/{descriptor}")
