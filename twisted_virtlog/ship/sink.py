"""What every sink says: up to where a log is stored, and what became of a message."""

from __future__ import annotations

from typing import NamedTuple

from twisted_virtlog.values import Position


class Unavailable(Exception):
    """Nothing can be stored now, or nobody knows whether something was."""


class Overtaken(Exception):
    """Something else was stored on the subject meanwhile."""


class Refused(Exception):
    """The message cannot be stored, now or later."""


class Checkpoint(NamedTuple):
    """What stands last on a subject.

    :ivar sequence: its number; 0 if there is nothing.
    :ivar end: up to where the log is shipped; None if nothing says so.
    """

    sequence: int
    end: Position | None
