"""The journal of open logs: what it takes to go on with a stored pipe after a crash, as lines.

It is a file in memory that lives in the service manager's store beside the pipes, so it is never
older than they are. Each record is a line of JSON, written at once; a line torn by a crash is
ignored. The first line has the generation: of two journals the newer one counts. A record of a log
replaces earlier ones of the same pipe.

The second version says which logs have a lane, whose files nobody may touch as long as a thread of
the former process may still write them, and what is staged of a log. A journal is of that version
only while there are such logs, so that a release that does not know of lanes leaves them alone and
reads all others.

The first line is the same in all versions. A journal of an unknown version is left where it is,
with its pipes, and the daemon's own journal names its generation in ``beside``: a release that
knows both reads both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct, field

from twisted_virtlog.handover.state import OpenLogState

#: The version of the records; a journal with a higher one is not read.
VERSION = 2

#: That of a journal in which no log has a lane.
_WITHOUT_LANES = 1

#: A smaller journal is not worth replacing.
_SMALL_BYTES = 256 * 1024


class Journal(Struct, frozen=True):
    """What a journal says.

    :ivar generation: the higher of two is the newer.
    :ivar logs: the open logs, by the inode numbers of their pipes, which stand for the descriptors
        in them, too.
    :ivar unreadable: lines that could not be understood.
    :ivar version: if higher than :data:`VERSION`, nothing else is known about it.
    :ivar beside: the generation of another journal, whose logs are open too.
    """

    generation: int
    logs: Mapping[int, OpenLogState] = field(default_factory=dict)
    unreadable: int = 0
    version: int = VERSION
    beside: int | None = None

    @property
    def is_readable(self) -> bool:
        """Whether this release knows its version."""
        return self.version <= VERSION


class Left(Struct, frozen=True):
    """A journal of a newer release, which stays in the store with its pipes.

    :ivar name: in the store.
    """

    name: str
    generation: int
    version: int


class Choice(Struct, frozen=True):
    """Which journal of a store counts.

    :ivar name: None if none does.
    :ivar journal: what it says, together with the one that it is beside.
    :ivar useless: the names of those that are no longer needed.
    """

    name: str | None
    journal: Journal
    left: Left | None = None
    useless: tuple[str, ...] = ()


def header(generation: int, beside: int | None = None, with_lanes: bool = False) -> bytes:
    """Return the first line; see :class:`Journal`.

    :param with_lanes: whether there may be logs that have a lane.
    """
    more = {} if beside is None else {"beside": beside}
    version = VERSION if with_lanes else _WITHOUT_LANES
    return _line({"journal": version, "generation": generation, **more})


def open_record(inode: int, log: OpenLogState, staged: int | None = None) -> bytes:
    """Return the record of an open log, which replaces an earlier one.

    :param staged: the inode number of the pipe in which a former process has staged bytes of it. It
        and the pipe's own take the place of the descriptors, which would mean nothing later.
    """
    details = log.details
    if details is not None and details.staged != staged:
        details = msgspec.structs.replace(details, staged=staged)
    return _line(
        {"open": msgspec.to_builtins(msgspec.structs.replace(log, pipe=inode, details=details))}
    )


def closed_record(inode: int) -> bytes:
    """Return the record of a log that was closed."""
    return _line({"closed": inode})


def read(content: bytes) -> Journal | None:
    """Read a journal.

    :returns: None if it does not begin like one.
    """
    first, *lines = content.split(b"\n")[:-1] or [b""]
    beginning = _record(first)
    version, generation = beginning.get("journal"), beginning.get("generation")
    if not isinstance(version, int) or not isinstance(generation, int):
        return None
    beside = beginning.get("beside")
    if not isinstance(beside, int):
        beside = None
    if version > VERSION:
        return Journal(generation, version=version, beside=beside)
    logs: dict[int, OpenLogState] = {}
    unreadable = 0
    for line in lines:
        record = _record(line)
        if "closed" in record:
            logs.pop(record["closed"], None)
            continue
        try:
            log = msgspec.convert(record["open"], OpenLogState)
        except (KeyError, msgspec.ValidationError):
            unreadable += 1
        else:
            logs[log.pipe] = log
    return Journal(generation, logs, unreadable, version, beside)


def choose(contents: Iterable[tuple[str, bytes]]) -> Choice:
    """Find the journal that counts.

    :param contents: the content of each journal, with its name.
    """
    journals = [(name, journal) for name, text in contents if (journal := read(text)) is not None]
    if not journals:
        return Choice(None, Journal(-1))
    name, own = max(journals, key=lambda one: one[1].generation)
    others = [(other, journal) for other, journal in journals if journal is not own]
    if not own.is_readable:
        useless = tuple(other for other, _ in others)
        return Choice(None, Journal(-1), Left(name, own.generation, own.version), useless)
    left: Left | None = None
    for other, journal in others:
        if journal.generation != own.beside:
            continue
        if journal.is_readable:
            unreadable = journal.unreadable + own.unreadable
            own = Journal(own.generation, {**journal.logs, **own.logs}, unreadable)
        else:
            left = Left(other, journal.generation, journal.version)
        break
    useless = tuple(other for other, _ in others if left is None or other != left.name)
    return Choice(name, own, left, useless)


def worth_replacing(size: int, live: int) -> bool:
    """Return whether a journal should be replaced by a shorter one.

    :param size: its size in bytes.
    :param live: how many of these belong to records of open logs.
    """
    return size > _SMALL_BYTES and size > 4 * live


def _line(record: dict[str, Any]) -> bytes:
    # ASCII: bytes of a path that are not UTF-8 are surrogates in it.
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def _record(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(record, dict) or not isinstance(record.get("closed", 0), int):
        return {}
    return record
