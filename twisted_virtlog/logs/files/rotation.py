"""Decides what goes into which file: how much fits, where a line ends, which names move up.

The rules are those of libvirt 9.0.0's rotating file writer, to the byte. Nothing here touches a
file: functions take sizes and names and return the next step, which writer.py carries out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from twisted_virtlog.errors import UnsupportedBackups
from twisted_virtlog.logs.files.names import newest_first
from twisted_virtlog.values import MAX_BACKUPS

#: A full file ends at a newline if there is one within so many bytes before its limit.
LOOK_BACK_BYTES = 80

#: virtlogd reads a pipe in chunks of this size and never looks for a newline across two of them.
#: Where a file is split depends on it, so that the same output makes the same files.
PIPE_CHUNK_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """How large files may grow and how many are kept.

    :ivar max_size: bytes of one file; 0 lets it grow without end.
    :ivar max_backups: files kept beside the current one; 0 keeps none.
    """

    max_size: int
    max_backups: int


@dataclass(frozen=True, slots=True)
class Move:
    """Write the next ``count`` bytes into the current file."""

    count: int


@dataclass(frozen=True, slots=True)
class Look:
    """Look at the next ``count`` bytes: they fill the file, and a newline may end it earlier."""

    count: int


@dataclass(frozen=True, slots=True)
class RollOver:
    """Begin a new file."""


NextStep: TypeAlias = "Move | Look | RollOver"


def fits(size: int, available: int, max_size: int) -> bool:
    """Tell whether all bytes that wait go into the current file; see :func:`next_step`."""
    return max_size == 0 or size + available <= max_size


def next_step(size: int, available: int, into_chunk: int, chunk: int, max_size: int) -> NextStep:
    """Tell what to do with bytes that wait to be written.

    :param size: bytes in the current file.
    :param available: bytes that wait; at least 1.
    :param into_chunk: how many bytes of the chunk that the first of them belongs to were written
        before; less than ``chunk``.
    :param chunk: the size of a chunk in bytes; the last one may be shorter.
    :param max_size: see :class:`Limits`.
    """
    if fits(size, available, max_size):
        return Move(available)
    room = max_size - size
    if room <= 0:
        return RollOver()
    # Of the chunk that does not fit as a whole, so many bytes do.
    fitting = min((into_chunk + room) % chunk, room)
    window = min(fitting, LOOK_BACK_BYTES)
    if room > window:
        return Move(room - window)
    return Look(window)


def line_end(window: bytes) -> int:
    """Tell how many of the bytes looked at belong into the file that they fill.

    :returns: up to and with the last newline; 0 if there is none.
    """
    return window.rfind(b"\n") + 1


@dataclass(frozen=True, slots=True)
class Rename:
    """Give ``source`` the name ``target``, in place of what has it; skip a missing source."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove the current file, which need not exist."""

    path: str


@dataclass(frozen=True, slots=True)
class Create:
    """Begin the new current file."""

    path: str


RollOverStep: TypeAlias = "Rename | Remove | Create"


def roll_over_steps(path: str, max_backups: int) -> list[RollOverStep]:
    """Tell how a new file is begun.

    Each step is safe to try again, and one that failed is where to go on: to begin anew would
    move a backup up twice.
    """
    if max_backups == 0:
        return [Remove(path), Create(path)]
    names = newest_first(path, max_backups)
    return [
        *(Rename(names[i], names[i + 1]) for i in reversed(range(max_backups))),
        Create(path),
    ]


def unfinished_steps(path: str, max_backups: int, left: int) -> list[RollOverStep]:
    """Tell the last steps of a rollover that another process began.

    :param left: how many; what is more than there are is left out, as there were more backups then.
    """
    steps = roll_over_steps(path, max_backups)
    return steps[max(0, len(steps) - left) :] if left else []


def interrupted_steps(sizes: Sequence[int | None], max_size: int) -> int:
    """Tell how many steps of a rollover are left, from the gap that it leaves among the files.

    To begin anew would move the files above the gap once more, and the oldest out. If there is a
    gap for another reason, a file that is as good as full is begun anew, and nothing is lost.

    :param sizes: of the current file and its backups, the newest first; None for a missing one.
    :param max_size: see :class:`Limits`.
    """
    if None not in sizes or not any(size is not None for size in sizes[sizes.index(None) :]):
        # Nothing was moved: whether the rollover had begun does not matter.
        return 0
    if not is_full(sizes[0], max_size):
        return 0
    # The renames of the files below the gap, and the new file.
    return sizes.index(None) + 1


def is_full(size: int | None, max_size: int) -> bool:
    """Return whether a rollover may have begun when the current file had a size.

    :param size: bytes; None if the file is missing, as it was moved already.
    :param max_size: see :class:`Limits`.
    """
    return size is None or (max_size > 0 and size >= max_size - LOOK_BACK_BYTES)


def check_backups(path: str, max_backups: int) -> None:
    """Refuse what virtlogd refuses.

    :raises UnsupportedBackups: ``max_backups`` is over 32.
    """
    if max_backups > MAX_BACKUPS:
        raise UnsupportedBackups(
            f"Max backup {max_backups} must be less than or equal to {MAX_BACKUPS}", path
        )
