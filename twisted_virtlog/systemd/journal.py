"""The journal of open logs: what it takes to go on with a stored pipe after a crash, as lines.

It is a file in memory that lives in the service manager's store beside the pipes, so it is never
older than they are. Each record is a line of JSON, written at once; a line that was torn by a
crash is ignored. The first line names the generation: of two journals the newer one counts. A
record of a log replaces what an earlier one said of the same pipe.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from twisted_virtlog.state import OpenLogState

#: Of the records; a higher one is read as far as it is understood.
VERSION = 1

#: A smaller journal is not worth replacing.
_SMALL_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Journal:
    """What a journal says.

    :ivar generation: the higher of two is the newer.
    :ivar logs: those that are open, by the inode number of their pipes; the descriptors in them
        mean nothing.
    :ivar unreadable: lines that could not be understood.
    """

    generation: int
    logs: Mapping[int, OpenLogState]
    unreadable: int = 0


def header(generation: int) -> bytes:
    """Make the first line."""
    return _line({"journal": VERSION, "generation": generation})


def open_record(inode: int, log: OpenLogState) -> bytes:
    """Make the record of an open log, which replaces an earlier one."""
    # The name of the pipe stands in the place of a descriptor, which would mean nothing later.
    return _line({"open": msgspec.to_builtins(msgspec.structs.replace(log, pipe=inode))})


def closed_record(inode: int) -> bytes:
    """Make the record of a log that is closed."""
    return _line({"closed": inode})


def read(content: bytes) -> Journal | None:
    """Understand a journal.

    :returns: None if it does not begin as one.
    """
    first, *lines = content.split(b"\n")[:-1] or [b""]
    beginning = _record(first)
    generation = beginning.get("generation")
    if "journal" not in beginning or not isinstance(generation, int):
        return None
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
    return Journal(generation, logs, unreadable)


def newest(contents: Iterable[tuple[str, bytes]]) -> tuple[str | None, Journal]:
    """Give the journal that counts and its name; an empty one, and None, if there is none.

    :param contents: of each journal, with its name.
    """
    best: tuple[str | None, Journal] = (None, Journal(-1, {}))
    for name, content in contents:
        journal = read(content)
        if journal is not None and journal.generation > best[1].generation:
            best = (name, journal)
    return best


def worth_replacing(size: int, live: int) -> bool:
    """Tell whether a journal should be written anew.

    :param size: its bytes.
    :param live: how many of them the records of open logs have.
    """
    return size > _SMALL_BYTES and size > 4 * live


def _line(record: dict[str, Any]) -> bytes:
    # In ASCII: a path may hold bytes that are no UTF-8, which are surrogates in it.
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def _record(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(record, dict) or not isinstance(record.get("closed", 0), int):
        return {}
    return record
