"""Work that is long by itself, as a generator that stops often so that others may be served."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TypeVar

T = TypeVar("T")

#: So many values are sorted, or put into a dictionary, before others are served.
AT_ONCE = 1024


def at_once(slices: Generator[None, None, T]) -> T:
    """Do such work without stopping, where nobody else waits; see ``interfaces.InSlices``."""
    try:
        while True:
            next(slices)
    except StopIteration as end:
        value: T = end.value
        return value


def timed(
    slices: Generator[None, None, T], seconds: float, slow: Callable[[], object]
) -> Generator[None, None, T]:
    """Do such work, and tell when one of its steps takes long.

    :param slow: is called after each step that takes more than ``seconds``.
    """
    while True:
        begun = time.monotonic()
        try:
            next(slices)
        except StopIteration as end:
            value: T = end.value
            return value
        finally:
            if time.monotonic() - begun > seconds:
                slow()
        yield


def sorted_in_slices(paths: list[str]) -> Generator[None, None, list[str]]:
    """Sort paths, in steps of which none takes long."""
    runs = []
    for start in range(0, len(paths), AT_ONCE):
        runs.append(sorted(paths[start : start + AT_ONCE]))
        yield
    while len(runs) > 1:
        # (to sort two sorted runs is to merge them)
        runs.append(sorted(runs.pop(0) + runs.pop(0)))
        yield
    return runs[0] if runs else []
