"""The types that methods share, as JSON has them: decoded, checked, and shown in the document.

The daemon's own are in :mod:`twisted_virtlog.values`. Here is what JSON adds: which numbers and
strings are valid, and what becomes of a number that not every reader of JSON holds exactly.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Annotated

from msgspec import Meta, Struct

from twisted_virtlog import values
from twisted_virtlog.jsonrpc.text import printable

_PATH_PATTERN = r"^(/(?!\.{1,2}(/|$))[^/\x00]+)+$"
_is_normal_path = re.compile(_PATH_PATTERN.replace("$", r"\Z")).match

LogPath = Annotated[
    str,
    Meta(
        description="absolute and normalised path of the log, which identifies it",
        examples=["/var/log/libvirt/qemu/web.log"],
        extra_json_schema={"pattern": _PATH_PATTERN},
    ),
]
Driver = Annotated[
    str,
    Meta(
        description='name of what writes the log, such as "qemu"',
        max_length=values.MAX_NAME_CHARACTERS,
    ),
]

#: The years 1 and 9999, in seconds since 1970.
_EARLIEST, _LATEST = -62135596800, 253402300799

#: Up to here, JSON readers that hold numbers as doubles are exact.
MAX_EXACT_NUMBER = 2**53

# (patterns that end in \Z: $ would let a newline through; documents have $, see openrpc.py)
_Digits = Annotated[str, Meta(pattern=r"^[0-9]{1,20}\Z")]
_LargeNumber = "; as a string of digits beyond 2**53, for readers that hold numbers as doubles"


class Position(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A point in a log, valid while rotation renames the file."""

    inode: Annotated[
        Annotated[int, Meta(ge=0, extra_json_schema={"maximum": 2**64 - 1})] | _Digits,
        Meta(description="inode number of the file, below 2**64" + _LargeNumber),
    ]
    offset: Annotated[
        Annotated[int, Meta(ge=0, le=2**63 - 1)] | _Digits,
        Meta(description="bytes from the beginning of that file, below 2**63" + _LargeNumber),
    ]
    birth: Annotated[
        str,
        Meta(
            max_length=256,
            description="distinguishes the file from an earlier one with the same inode number;"
            ' "" if that is not known',
        ),
    ] = ""

    def __post_init__(self) -> None:
        """Check what msgspec, whose bounds end at 2**63, cannot."""
        if int(self.inode) >= 2**64:
            raise ValueError("Expected `inode` < 2**64")
        if int(self.offset) >= 2**63:
            raise ValueError("Expected `offset` < 2**63")

    @classmethod
    def of(cls, position: values.Position) -> Position:
        """Return the form for JSON: numbers that not every reader holds exactly become strings."""
        return cls(exact(position.inode), exact(position.offset), position.birth)

    def value(self) -> values.Position:
        """Return the form for the daemon."""
        return values.Position(int(self.inode), int(self.offset), self.birth)


def exact(number: int) -> int | str:
    """Return a number as every reader of JSON holds it exactly: as digits, if it is large."""
    return number if number <= MAX_EXACT_NUMBER else str(number)


class Domain(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The guest that a log belongs to."""

    uuid: Annotated[
        str,
        Meta(
            description="8-4-4-4-12 hexadecimal digits",
            pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z",
            examples=["c7a5fdbd-edaf-9455-926a-d65c16db1809"],
        ),
    ]
    name: Annotated[
        str, Meta(description="the guest's name", max_length=values.MAX_NAME_CHARACTERS)
    ]

    @classmethod
    def of(cls, domain: values.Domain) -> Domain:
        """Return the form for JSON."""
        return cls(printable(domain.uuid), printable(domain.name))

    def value(self) -> values.Domain:
        """Return the form for the daemon."""
        return values.Domain(self.uuid, self.name)


OptionalDomain = Annotated[
    Domain | None, Meta(description='the guest, {"uuid": string, "name": string}, or null')
]


#: A point in time, as a parameter.
Time = Annotated[
    Annotated[datetime, Meta(tz=True)] | Annotated[float, Meta(ge=_EARLIEST, le=_LATEST)],
    Meta(description="RFC 3339 with a zone, or seconds since 1970"),
]


def time_value(time: datetime | float) -> datetime:
    """Return the form of a time for the daemon, an aware one, UTC."""
    if isinstance(time, datetime):
        return time.astimezone(timezone.utc)
    return datetime.fromtimestamp(time, timezone.utc)


class NoParams(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """No parameters."""


class PathParams(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A log."""

    path: LogPath

    def __post_init__(self) -> None:
        """Refuse a path that is not normal, as each log has one name only."""
        check_path(self.path)


def check_path(path: str) -> None:
    """Refuse a path that is not absolute and normalised.

    :raises ValueError: the message says what is wrong.
    """
    if not _is_normal_path(path):
        raise ValueError(_path_fault(path))


def _path_fault(path: str) -> str:
    if "\0" in path:
        fault = "has a NUL"
    elif not path.startswith("/"):
        fault = "is not absolute"
    elif path.endswith("/"):
        fault = "ends with a slash"
    elif "//" in path:
        fault = 'has an empty component ("//")'
    else:
        fault = 'has a component "." or ".."'
    return (
        f"path {fault}; expected an absolute, normalised path, such as /var/log/libvirt/qemu/a.log"
    )
