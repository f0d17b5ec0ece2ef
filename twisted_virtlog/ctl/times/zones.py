"""Finds time zones: the caller's, as the C library does, and those of the system's database."""

from __future__ import annotations

import io
import os
import re
import stat
import struct
from collections.abc import Mapping
from datetime import timezone, tzinfo
from zoneinfo import ZoneInfo

LOCALTIME = "/etc/localtime"

#: What systemd takes for a name; nothing else is looked for.
_NAME = re.compile(r"[0-9A-Za-z_+-]+(?:/[0-9A-Za-z_+-]+)*")

_ABBREVIATION = "(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)"
_OFFSET = r"[+-]?[0-9]{1,2}(?::[0-9]{2}){0,2}"
_POSIX = re.compile(f"{_ABBREVIATION}{_OFFSET}({_ABBREVIATION}(?:{_OFFSET})?(,.+)?)?")
#: The C library's rule for a summer time without one: that of the United States.
_USUAL_RULE = ",M3.2.0,M11.1.0"

#: The largest file of the database has 4 KiB.
_MAX_FILE_BYTES = 1 << 20
_HEADER = struct.Struct(">4sc15x6l")


def local_zone(environ: Mapping[str, str], localtime: str = LOCALTIME) -> tzinfo:
    """Return the caller's zone: that of TZ, or else the machine's, or else UTC.

    TZ may be a name of the database, a path, or a rule as POSIX has it, each after a colon or
    not; what is none of these means UTC, as in the C library.

    :param localtime: the file with the machine's zone.
    """
    text = environ.get("TZ")
    if text is None:
        return _of_file(localtime) or timezone.utc
    text = text.removeprefix(":")
    directory = environ.get("TZDIR")
    if directory or text.startswith("/"):
        found = _of_file(os.path.join(directory or "", text)) if text else None
    else:
        found = named_zone(text)
    return found or _of_rule(text) or timezone.utc


def named_zone(name: str) -> tzinfo | None:
    """Return the zone of a name such as ``Europe/Berlin``; None if the system knows none."""
    if _NAME.fullmatch(name) is None:
        return None
    try:
        return ZoneInfo(name)
    except (OSError, KeyError, ValueError, EOFError, struct.error):
        # (of a directory, of a file that is no zone's)
        return None


def _of_file(path: str) -> tzinfo | None:
    try:
        with open(path, "rb", opener=_open_regular) as file:
            return _of_data(file.read(_MAX_FILE_BYTES))
    except (OSError, ValueError):
        return None


def _open_regular(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(f"{path} is no file")


def _of_rule(text: str) -> tzinfo | None:
    """Return the zone of a rule as POSIX has it, such as ``CET-1CEST,M3.5.0,M10.5.0/3``."""
    match = _POSIX.fullmatch(text)
    if match is None:
        return None
    rule = text + _USUAL_RULE if match[1] and not match[2] else text
    # zoneinfo reads such rules at the end of a file. This one has one kind of time, which is never
    # used, as without changes the rule holds always.
    headers = _HEADER.pack(b"TZif", b"2", 0, 0, 0, 0, 0, 0) + _HEADER.pack(
        b"TZif", b"2", 0, 0, 0, 0, 1, 4
    )
    return _of_data(headers + struct.pack(">lbb", 0, 0, 0) + b"UTC\0\n" + rule.encode())


def _of_data(data: bytes) -> tzinfo | None:
    try:
        # (it would read for ever if no line ended)
        return ZoneInfo.from_file(io.BytesIO(data + b"\n"))
    except (ValueError, IndexError, AssertionError, EOFError, struct.error):
        return None
