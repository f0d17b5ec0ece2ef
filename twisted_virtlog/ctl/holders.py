"""Find in /proc the processes that can write to a pipe, by the pipe's inode number."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress

import msgspec

_PROC = "/proc"
_PIPE = re.compile(r"pipe:\[([0-9]+)\]")


class Holder(msgspec.Struct, frozen=True):
    """A process that has a write end of a pipe.

    :ivar command: its name, which the process can set itself.
    """

    pid: int
    command: str


class Holders(msgspec.Struct, frozen=True):
    """The processes that hold pipes.

    :ivar by_pipe: the holders that this user may see, by the pipe's inode number.
    :ivar all_seen: whether this user may inspect all processes.
    """

    by_pipe: Mapping[int, Sequence[Holder]]
    all_seen: bool

    def of(self, pipe: int | None) -> Sequence[Holder] | None:
        """Return a pipe's holders; None if that is not known."""
        found = self.by_pipe.get(pipe, []) if pipe is not None else []
        return found if found or (self.all_seen and pipe is not None) else None


def find_holders(pipes: Collection[int], proc: str = _PROC) -> Holders:
    """Search all processes for those that have a write end of one of these pipes.

    :param pipes: inode numbers, as ``pipe:[N]`` shows them.
    """
    by_pipe: dict[int, list[Holder]] = {pipe: [] for pipe in pipes}
    pids = sorted(int(name) for name in os.listdir(proc) if name.isdecimal()) if pipes else []
    # (a /proc mounted with hidepid does not even name the processes of others)
    all_seen = 1 in pids
    for pid in pids:
        # A process may end at any time.
        with suppress(FileNotFoundError, ProcessLookupError):
            try:
                held = set(_write_ends(f"{proc}/{pid}")) & by_pipe.keys()
            except PermissionError:
                all_seen = False
                continue
            for pipe in held:
                by_pipe[pipe].append(Holder(pid, _command(f"{proc}/{pid}")))
    return Holders(by_pipe, all_seen)


def _write_ends(process: str) -> Iterator[int]:
    for descriptor in os.listdir(f"{process}/fd"):
        with suppress(FileNotFoundError):
            match = _PIPE.fullmatch(os.readlink(f"{process}/fd/{descriptor}"))
            if match and _writable(f"{process}/fdinfo/{descriptor}"):
                yield int(match[1])


def _writable(description: str) -> bool:
    with open(description, encoding="ascii") as file:
        flags = next(int(line.split()[1], 8) for line in file if line.startswith("flags:"))
    return flags & os.O_ACCMODE != os.O_RDONLY


def _command(process: str) -> str:
    with open(f"{process}/comm", encoding="utf-8", errors="replace") as file:
        return file.read().removesuffix("\n")
