"""Work that is long by itself, as a generator that stops often so that others may be served."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


def at_once(slices: Generator[None, None, T]) -> T:
    """Do such work without stopping, where nobody else waits; see ``interfaces.InSlices``."""
    try:
        while True:
            next(slices)
    except StopIteration as end:
        value: T = end.value
        return value
