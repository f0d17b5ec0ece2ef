"""Why the index cannot be kept."""

from __future__ import annotations


class CannotKeep(Exception):
    """The index's file cannot be used now.

    :ivar reason: why, in words.
    :ivar is_broken: it never can, and another one is to be begun.
    :ivar is_full: nothing can be written, but what is there can be read.
    """

    def __init__(self, reason: str, is_broken: bool = False, is_full: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_broken = is_broken
        self.is_full = is_full
