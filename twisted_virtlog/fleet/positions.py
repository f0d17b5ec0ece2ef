"""Finds where in a stream a position of a host's files is."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import closing

from twisted_virtlog.ctl.tables import position_text
from twisted_virtlog.fleet.errors import NotThere
from twisted_virtlog.fleet.fleet import Fleet
from twisted_virtlog.fleet.selecting import History
from twisted_virtlog.fleet.stored import Log, Stored, is_same
from twisted_virtlog.values import Position


def messages_from(fleet: Fleet, history: History, position: Position, end: int) -> Iterator[Stored]:
    """Return the messages of a log from a position on, also those of hosts on which it was then.

    :param end: the number of the last message that may be one of them.
    :raises NotThere: the position is not stored, or not any more.
    """
    for entry in history.entries:
        if (found := _find(fleet, entry.log, position, end)) is not None:
            parts = [_from(fleet, found, end)]
            parts += _since(fleet, history, found, end)
            return heapq.merge(*parts, key=lambda one: (one.time, one.sequence))
    if any(is_same(position, entry.end) for entry in history.entries):
        return iter(())
    where = position_text(position)
    raise NotThere(f"{history.newest.log.path}: {where} is not stored, or not any more")


def _find(fleet: Fleet, log: Log, position: Position, end: int) -> Stored | None:
    """Return the message that a position is in, from there on; None if it is in none."""
    with closing(fleet.messages(log, end, headers_only=True)) as messages:
        for message in messages:
            if message.may_have(position):
                whole = fleet.message(message.sequence)
                offset = None if whole is None else whole.offset_of(position)
                if whole is not None and offset is not None:
                    return whole.after(offset)
    return None


def _from(fleet: Fleet, first: Stored, end: int) -> Iterator[Stored]:
    yield first
    yield from fleet.messages(first.log, end, start=first.sequence + 1, after=first.end)


def _since(fleet: Fleet, history: History, first: Stored, end: int) -> list[Iterator[Stored]]:
    """Return the messages of the other hosts that came since a message."""
    return [
        fleet.messages(entry.log, end, since=first.time)
        for entry in history.entries
        if entry.log.subject != first.log.subject
    ]
