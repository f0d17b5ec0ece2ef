"""What runs a call that may block outside the reactor's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


class InThread(Protocol):
    """Runs a call that may block in the thread pool."""

    def __call__(self, call: Callable[[], T]) -> Deferred[T]:
        """Give the call's result later."""
