"""Types of parameters and results: what is decoded, checked, and shown in the OpenRPC document."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from twisted_virtlog import values
from twisted_virtlog.handover.state import VERSION as STATE_VERSION
from twisted_virtlog.jsonrpc.text import Encoding, printable

MAX_READ_BYTES = 4 * 1024 * 1024
DEFAULT_READ_BYTES = 1024 * 1024

_PATH_PATTERN = r"^(/(?!\.{1,2}(/|$))[^/\x00]+)+$"
_is_normal_path = re.compile(_PATH_PATTERN.replace("$", r"\Z")).match

LogPath = Annotated[
    str,
    Meta(
        description="absolute and normalised path of the log, which is its key",
        examples=["/var/log/libvirt/qemu/web.log"],
        extra_json_schema={"pattern": _PATH_PATTERN},
    ),
]
Driver = Annotated[
    str,
    Meta(
        description='name of what writes the log, as "qemu"',
        max_length=values.MAX_NAME_CHARACTERS,
    ),
]
NonNegative = Annotated[int, Meta(ge=0)]

#: JSON readers that hold numbers as doubles are exact up to here.
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
            description="tells the file apart from an earlier one that had the same inode number;"
            ' "" where that is not known',
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
        """Return the same as JSON has it: numbers that not every reader takes become strings."""
        return cls(_exact(position.inode), _exact(position.offset), position.birth)

    def value(self) -> values.Position:
        """Return the same as the log handler has it."""
        return values.Position(int(self.inode), int(self.offset), self.birth)


def _exact(number: int) -> int | str:
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
        """Make the same of what the log handler has."""
        return cls(printable(domain.uuid), printable(domain.name))

    def value(self) -> values.Domain:
        """Tell the same as the log handler has it."""
        return values.Domain(self.uuid, self.name)


OptionalDomain = Annotated[
    Domain | None, Meta(description='the guest, {"uuid": string, "name": string}, or null')
]


class NoParams(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """No parameters."""


class ReexecParams(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Who takes over."""

    to_virtlogd: LogPath | None = None
    state_version: Annotated[
        Annotated[int, Meta(ge=1, le=STATE_VERSION)] | None,
        Meta(
            description=(
                "version of the state that the next image is to read, for an older release; null:"
                " the lowest that says all"
            )
        ),
    ] = None

    def __post_init__(self) -> None:
        """Refuse what names no program in one way; the message says why."""
        if self.to_virtlogd is None:
            return
        if not _is_normal_path(self.to_virtlogd):
            raise ValueError(_path_fault(self.to_virtlogd))
        if self.state_version is not None:
            raise ValueError("state_version is of our own next image, not of virtlogd")


class PathParams(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A log."""

    path: LogPath

    def __post_init__(self) -> None:
        """Refuse what does not name one log in one way; the message says why."""
        if not _is_normal_path(self.path):
            raise ValueError(_path_fault(self.path))


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
    return f"path {fault}; expected an absolute, normalised path, as /var/log/libvirt/qemu/a.log"


class PositionParams(PathParams, frozen=True, forbid_unknown_fields=True, gc=False):
    """A log whose position is asked for."""


class OpenParams(PathParams, frozen=True, forbid_unknown_fields=True, gc=False):
    """A log to open, and for whom."""

    driver: Driver = "none"
    domain: OptionalDomain = None
    truncate: Annotated[
        bool, Meta(description="true: remove the file and its backups first; false: append")
    ] = False


class CloseParams(PathParams, frozen=True, forbid_unknown_fields=True, gc=False):
    """A log to close."""


class ReadParams(PathParams, frozen=True, forbid_unknown_fields=True, gc=False):
    """A part of a log."""

    position: Annotated[
        Position | None,
        Meta(description="where to begin, as a result had it; null: at the oldest byte"),
    ] = None
    max_bytes: Annotated[
        int, Meta(ge=1, le=MAX_READ_BYTES, description="the most bytes of the log to return")
    ] = DEFAULT_READ_BYTES
    encoding: Annotated[
        Encoding, Meta(description='"utf-8" (broken bytes become U+FFFD) or "base64" (exact)')
    ] = "utf-8"


class AppendParams(PathParams, frozen=True, forbid_unknown_fields=True, gc=False):
    """A message, the log it belongs into, and for whom."""

    message: Annotated[str, Meta(description="text to write as it is, in UTF-8")]
    driver: Driver = "none"
    domain: OptionalDomain = None


class OpenResult(Struct, frozen=True):
    """A log that was opened; with it comes the write end of its pipe."""

    position: Annotated[Position, Meta(description="where the first byte will be written")]
    fds: Annotated[
        Literal[1], Meta(description="descriptors that come with this answer as SCM_RIGHTS")
    ]


class CloseResult(Struct, frozen=True):
    """A log that was closed."""

    position: Annotated[
        Position | None,
        Meta(description="the end of the log's file; null if the file cannot be asked"),
    ]
    dropped: Annotated[
        int, Meta(ge=0, description="bytes of the pipe that could not be written, and are lost")
    ]


class ReadResult(Struct, frozen=True):
    """A part of a log."""

    data: Annotated[str, Meta(description="what was read; empty at the end of the log")]
    encoding: Annotated[Encoding, Meta(description="how data is encoded")]
    start: Annotated[Position, Meta(description="where data begins")]
    end: Annotated[Position, Meta(description="where to go on reading")]
    gap: Annotated[
        bool,
        Meta(description="the position was rotated away, so start is the oldest byte kept"),
    ]


class LogEntry(Struct, frozen=True):
    """An open log."""

    path: LogPath
    driver: Driver
    domain: OptionalDomain
    position: Annotated[
        Position, Meta(description="the file's end, without what is still in the pipe")
    ]
    opened_at: Annotated[datetime, Meta(tz=True, description="since when the log is open")]
    bytes: Annotated[int, Meta(ge=0, description="bytes written since the log was opened")]
    rollovers: Annotated[int, Meta(ge=0, description="files begun anew since then")]
    state: Annotated[
        Literal["open", "failing"],
        Meta(description='"failing": the file cannot be written now; error says why'),
    ]
    pipe: Annotated[
        int | None, Meta(description="N where /proc/PID/fd shows pipe:[N] of who holds the pipe")
    ]
    error: Annotated[str, Meta(description="present when failing")] | UnsetType = UNSET


class DaemonCounts(Struct, frozen=True):
    """Totals since the daemon started; open_logs, failing_logs, clients, known_logs: now."""

    open_logs: Annotated[int, Meta(ge=0, description="logs open now")]
    failing_logs: Annotated[int, Meta(ge=0, description="of these, whose file takes no data now")]
    opened_logs: Annotated[int, Meta(ge=0, description="logs ever opened")]
    bytes_written: Annotated[int, Meta(ge=0, description="bytes moved into files")]
    bytes_lost: Annotated[int, Meta(ge=0, description="bytes dropped, as no file took them")]
    rollovers: Annotated[int, Meta(ge=0, description="files begun anew by rotation")]
    clients: Annotated[int, Meta(ge=0, description="clients connected now")]
    known_logs: Annotated[
        int, Meta(ge=0, description="logs that the read-only socket serves: open now, or before")
    ]


class InfoResult(Struct, frozen=True):
    """What the daemon is, how long it runs, and how much it does."""

    name: Annotated[str, Meta(description="name of the program")]
    version: Annotated[str, Meta(description="its version")]
    pid: Annotated[int, Meta(ge=1, description="its process id")]
    started_at: Annotated[datetime, Meta(tz=True, description="when it started")]
    uptime_s: Annotated[float, Meta(ge=0, description="seconds since then, by a steady clock")]
    limits: Annotated[dict[str, int], Meta(description="limits by name, as max_clients")]
    counts: DaemonCounts
