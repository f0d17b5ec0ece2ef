"""Keeps Python's search for garbage short, which nothing can interrupt.

A full search looks at every object that may be a part of a circle: with ten thousand open logs it
takes some 30 ms, in which nobody is served. But what has survived a search, be it only for young
objects, mostly lives on, and is freed without one when nobody refers to it any more. So it is set
aside then (gc.freeze), and the next search looks only at what came since.

A circle of objects that were set aside stays in memory. There should be none, but a daemon runs for
years: once a day all is looked at.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from twisted_virtlog.loop.clock import Clock

#: From one search through everything to the next.
EVERY_SECONDS = 24 * 60 * 60.0

#: Searches of this generation and older ones find what has survived one before.
_GROWN = 1


class Garbage:
    """Sets aside what has survived; for a process that belongs to the daemon."""

    def __init__(self, clock: Clock) -> None:
        """Do nothing before :meth:`begin`."""
        self._clock = clock
        self._call: IDelayedCall | None = None

    def begin(self) -> None:
        """Begin, when the daemon has started."""
        gc.callbacks.append(self._searched)
        gc.freeze()
        self._wait()

    def end(self) -> None:
        """Leave all as Python does it."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
            gc.callbacks.remove(self._searched)
            gc.unfreeze()

    def _wait(self) -> None:
        self._call = self._clock.callLater(EVERY_SECONDS, self._search_all)

    def _search_all(self) -> None:
        self._wait()
        gc.unfreeze()
        gc.collect()

    def _searched(self, phase: str, info: Mapping[str, Any]) -> None:
        if phase == "stop" and info["generation"] >= _GROWN:
            gc.freeze()
