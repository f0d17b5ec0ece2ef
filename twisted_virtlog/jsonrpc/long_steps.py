"""Notices when decoding a text took long: it cannot be interrupted, and others wait meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")

#: A step that took more time of the processor than this has held up others.
LONG_SECONDS = 0.001


class LongSteps:
    """The steps of one connection.

    The time is that of the processor, so that nobody is blamed for a busy machine.

    :ivar took_long: a step took more than :data:`LONG_SECONDS`; reset by whoever acts on it.
    """

    def __init__(self) -> None:
        self.took_long = False

    def timed(self, step: Callable[[A], R], argument: A) -> R:
        """Take a step, and note whether it took long."""
        began = time.thread_time()
        try:
            return step(argument)
        finally:
            if time.thread_time() - began > LONG_SECONDS:
                self.took_long = True
