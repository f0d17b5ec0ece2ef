"""Whether a client is in a hurry: it is not if it leaves unread what it was told."""

from __future__ import annotations

import math

#: One that leaves something unread for so long sees nothing sooner if it is told sooner.
UNREAD_SECONDS = 0.004

#: It is in no hurry for so long after that.
PATIENT_SECONDS = 0.25

#: It is not looked at more often than this.
_LOOK_SECONDS = 0.002


class Patience:
    """What is known of one client. Times are seconds of a clock that never steps.

    :ivar is_patient: it is in no hurry.
    """

    def __init__(self) -> None:
        self.is_patient = False
        self._looked_at = -math.inf
        self._told_at = math.inf
        self._unread = 0
        # When that was told which is the oldest that is surely unread.
        self._oldest = math.inf
        self._patient_until = -math.inf

    def is_due(self, now: float) -> bool:
        """Return whether to look at what it has read, before it is told more."""
        return now - self._looked_at >= _LOOK_SECONDS

    def look(self, unread: int, now: float) -> None:
        """Take note of how much it has not read, before it is told more.

        :param unread: in any measure that grows with each thing that it is told, and is 0 when all
            is read.
        """
        if not unread:
            self._oldest = math.inf
        elif unread <= self._unread or self._oldest == math.inf:
            # (it has read something since; what it was told last is unread at least)
            self._oldest = self._told_at
        self._unread = unread
        if now - self._oldest >= UNREAD_SECONDS:
            self._patient_until = now + PATIENT_SECONDS
        self.is_patient = now < self._patient_until
        self._looked_at = self._told_at = now
