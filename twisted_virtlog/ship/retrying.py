"""When something is tried again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

#: Nobody waits longer for what a server says of itself.
_LONGEST_ASKED_SECONDS = 600.0
_GROWTH = 1.5
_SPREAD = 0.5


class Backoff:
    """Pauses that grow, each a random part shorter or longer, so that many do not come at once."""

    def __init__(self, first: float, longest: float, chance: Callable[[], float]) -> None:
        """Begin with the first pause.

        :param first: seconds, on an average.
        :param longest: seconds, on an average.
        :param chance: gives numbers from 0 to 1.
        """
        self._first = self._next = first
        self._longest = longest
        self._chance = chance

    def pause(self, asked: float | None = None) -> float:
        """Return for how many seconds to wait.

        :param asked: how many the other side wants at least; None if it does not say.
        """
        pause = self._next * (1 - _SPREAD + 2 * _SPREAD * self._chance())
        self._next = min(self._next * _GROWTH, self._longest)
        return pause if asked is None else max(pause, min(asked, _LONGEST_ASKED_SECONDS))

    def reset(self) -> None:
        """Begin again, as it went well."""
        self._next = self._first


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return what a header Retry-After says, in seconds.

    :param now: an aware time.
    :returns: None if it is not there, or says nothing.
    """
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)
    return max(0.0, (when - now).total_seconds())
