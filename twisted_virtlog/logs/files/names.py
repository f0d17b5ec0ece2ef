"""What a log's files are called: its path, and for backups the path, a full stop and a number.

The newest backup has the number 0. These are virtlogd's names, in one place for those who write,
read, rotate and remove files; nothing here touches one.

A file that rotation would remove, and a consumer has yet to read, is *held*: it is beside the log,
hidden, as ``.NAME.held.NUMBER``, and the newest one has the greatest number.

A backup that was packed has ``.zst`` behind its name, also while it is held. Where both are there,
the packed one is not looked at: it is not finished, or was left behind.
"""

from __future__ import annotations

import re

#: The number of a log's current file, which is newer than its backups.
CURRENT = -1

#: Greater than the number of any backup; see :func:`parse_name`.
HELD = 1 << 62

# A number as rotation writes it. (a name may have a line end in it)
_LOG = re.compile(r"(.+\.log)(?:\.(0|[1-9][0-9]*)(?:\.zst)?)?", re.DOTALL)

_PACKED = ".zst"


# (a name may have a line end in it)
_HELD = re.compile(r"\.(.+)\.held\.(0|[1-9][0-9]*)(?:\.zst)?", re.DOTALL)


def backup_path(path: str, number: int) -> str:
    """Return the path of a log's backup."""
    return f"{path}.{number}"


def name_of(path: str, number: int) -> str:
    """Return the path of a log's file, :data:`CURRENT` or a backup."""
    return path if number == CURRENT else backup_path(path, number)


def packed_path(file: str) -> str:
    """Return the path of a backup that was packed.

    :param file: the path that it had before.
    """
    return file + _PACKED


def is_packed(name: str) -> bool:
    """Return whether a log's file is called as a packed one."""
    return name.endswith(_PACKED)


def newest_first(path: str, max_backups: int) -> list[str]:
    """Return the paths of a log's files: of the current one, and of its backups."""
    return [path, *backup_paths(path, max_backups)]


def backup_paths(path: str, max_backups: int) -> list[str]:
    """Return the paths of a log's backups, the newest first."""
    # (without a call for each, as they are made whenever a log is opened)
    return [f"{path}.{number}" for number in range(max_backups)]


def oldest_first(path: str, max_backups: int) -> list[str]:
    """Return the paths of a log's files in the order in which they were written."""
    return newest_first(path, max_backups)[::-1]


def longest_suffix(max_backups: int) -> str:
    """Return the longest suffix that a file of a log has, "" if it has no backups."""
    return backup_path("", max_backups - 1) if max_backups else ""


def held_path(path: str, number: int) -> str:
    """Return the path of a held file of a log."""
    directory, slash, name = path.rpartition("/")
    return f"{directory}{slash}.{name}.held.{number}"


def parse_held(name: str) -> tuple[str, int] | None:
    """Return the name of the log whose held file has a name, and its number; None for others.

    That it is packed makes no difference.
    """
    match = _HELD.fullmatch(name)
    return None if match is None else (match[1], int(match[2]))


def parse_name(name: str) -> tuple[str, int] | None:
    """Return the log's name and the file's number, :data:`CURRENT` or a backup's, packed or not.

    That of a held file is greater than :data:`HELD`, and the older one has the greater number, as
    with backups.

    :returns: None if the file is not named as one of a log, whose own name ends in ``.log``.
    """
    match = _LOG.fullmatch(name)
    if match is not None:
        return match[1], int(match[2] or CURRENT)
    held = parse_held(name)
    if held is None or not _LOG.fullmatch(held[0]):
        return None
    return held[0], 2 * HELD - held[1]
