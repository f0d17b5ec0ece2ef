"""Decides what goes into which file: how much fits, where a line ends, which names move up.

The rules are those of libvirt 9.0.0's rotating file writer, to the byte. Nothing here touches a
file: functions take sizes and names and return the next step, which writer.py carries out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct

from twisted_virtlog.errors import UnsupportedBackups
from twisted_virtlog.logs.files.names import newest_first
from twisted_virtlog.values import MAX_BACKUPS

#: A full file ends at a newline if there is one within this many bytes before its limit.
LOOK_BACK_BYTES = 80

#: virtlogd reads a pipe in chunks of this size and never looks for a newline across two of them.
#: Where a file is split depends on it, so the same output makes the same files.
PIPE_CHUNK_BYTES = 1024


class Limits(Struct, frozen=True):
    """How large files may grow and how many are kept.

    :ivar max_size: bytes of one file; 0 lets it grow without end.
    :ivar max_backups: files kept beside the current one; 0 keeps none.
    """

    max_size: int
    max_backups: int


class Move(Struct, frozen=True):
    """Write the next ``count`` bytes into the current file."""

    count: int


class Look(Struct, frozen=True):
    """Look at the next ``count`` bytes: they fill the file, and a newline may end it earlier."""

    count: int


class RollOver(Struct, frozen=True):
    """Begin a new file."""


NextStep: TypeAlias = "Move | Look | RollOver"


def fits(size: int, available: int, max_size: int) -> bool:
    """Return whether all bytes that wait go into the current file; see :func:`next_step`."""
    return max_size == 0 or size + available <= max_size


def next_step(size: int, available: int, into_chunk: int, chunk: int, max_size: int) -> NextStep:
    """Return what to do next with bytes that wait to be written.

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
    # How many bytes fit of the chunk that does not fit as a whole.
    fitting = min((into_chunk + room) % chunk, room)
    window = min(fitting, LOOK_BACK_BYTES)
    if room > window:
        return Move(room - window)
    return Look(window)


def line_end(window: bytes) -> int:
    """Return how many of the bytes looked at belong in the file that they fill.

    :returns: up to and including the last newline; 0 if there is none.
    """
    return window.rfind(b"\n") + 1


class Rename(Struct, frozen=True):
    """Rename ``source`` to ``target``, replacing what has that name; skip a missing source."""

    source: str
    target: str


class Remove(Struct, frozen=True):
    """Remove the current file, which need not exist."""

    path: str


class Create(Struct, frozen=True):
    """Begin the new current file."""

    path: str


RollOverStep: TypeAlias = "Rename | Remove | Create"


def roll_over_steps(path: str, max_backups: int) -> list[RollOverStep]:
    """Return the steps of beginning a new file.

    Each step is safe to try again. After a failure go on with the step that failed: to begin with
    the first one again would move a backup up twice.
    """
    if max_backups == 0:
        return [Remove(path), Create(path)]
    names = newest_first(path, max_backups)
    return [
        *(Rename(names[i], names[i + 1]) for i in reversed(range(max_backups))),
        Create(path),
    ]


def unfinished_steps(path: str, max_backups: int, left: int) -> list[RollOverStep]:
    """Return the last steps of a rollover that another process began.

    :param left: how many. If there were more backups then, it may be more than there are steps.
    """
    steps = roll_over_steps(path, max_backups)
    return steps[max(0, len(steps) - left) :] if left else []


def interrupted_steps(sizes: Sequence[int | None], max_size: int) -> int:
    """Return how many steps of a rollover are left, from the gap that it leaves among the files.

    To begin with the first one again would move the files above the gap once more, and the oldest
    out. If there is a gap for another reason, a file that is as good as full is rolled over early,
    and nothing is lost.

    :param sizes: of the current file and its backups, the newest first; None for a missing one.
    :param max_size: see :class:`Limits`.
    """
    if None not in sizes or not any(size is not None for size in sizes[sizes.index(None) :]):
        # Nothing was moved, so whether the rollover had begun does not matter.
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
