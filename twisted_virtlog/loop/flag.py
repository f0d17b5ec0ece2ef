"""A descriptor that is readable for as long as one likes: to be called in the next turn, and again.

A timer that expires at once does the same, but the kernel programs the clock for it and interrupts
itself, which takes twenty times as long.
"""

from __future__ import annotations

import os


class Flag:
    """An eventfd(2).

    :ivar is_up: whether its descriptor is readable; None once closed.
    """

    def __init__(self) -> None:
        """Begin with a descriptor that is not readable."""
        self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.is_up: bool | None = False

    def fileno(self) -> int:
        """Return the descriptor; -1 once closed."""
        return self._descriptor

    def put_up(self) -> None:
        """Be readable from now on."""
        if self.is_up is False:
            self.is_up = True
            os.eventfd_write(self._descriptor, 1)

    def take_down(self) -> None:
        """Be readable no more."""
        if self.is_up:
            self.is_up = False
            os.eventfd_read(self._descriptor)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)
        self._descriptor, self.is_up = -1, None
