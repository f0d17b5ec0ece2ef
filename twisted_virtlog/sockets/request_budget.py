"""Bounds the memory that the unfinished requests of all clients hold together.

One request is bounded by its protocol, at 16 and at 32 MiB; a thousand clients that each send
half of one would still fill the machine. What a client has sent of requests that are not carried
out yet is counted here, unless it is little, and while all of that is over the limit, nothing more
is read from those who have a part in it. The one whose part is the oldest is read from all the
same: its request can be finished, which makes room for the next one.

A client that stops in the middle of a request would keep its room for ever, so while others wait
for room, whoever sends nothing is disconnected.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct
from twisted.internet.interfaces import IDelayedCall

from twisted_virtlog.loop.clock import Clock

#: The limit for all clients together; the oldest request may exceed it by its own size.
MAX_HELD_BYTES = 128 * 1024 * 1024

#: Less than this is not counted, so that ordinary requests are never held up. Also the least that
#: a client must send between two looks while others wait.
SMALL_BYTES = 64 * 1024

#: While somebody waits for room, clients are looked at this often. Who sent too little between two
#: looks in a row is disconnected; two, so that a reactor that was busy for long harms nobody.
LOOK_SECONDS = 5.0


class Holder(Protocol):
    """A connection, as the budget sees it."""

    @property
    def waits_for_client(self) -> bool:
        """Whether it is the client's turn, not the daemon's."""

    def room_made(self) -> None:
        """Read on."""

    def disconnect(self, reason: str) -> None:
        """Close; the client keeps room that others wait for."""


class _Part(Struct):
    """What one client holds.

    :ivar moved: bytes by which it grew or shrank since the last look.
    :ivar slow_looks: how many looks in a row found that to be little.
    """

    held: int = 0
    paused: bool = False
    moved: int = 0
    slow_looks: int = 0


class RequestBudget:
    """Counts what unfinished requests hold, and says who may be read from; see the module."""

    def __init__(self, clock: Clock, limit: int = MAX_HELD_BYTES) -> None:
        """Begin with nothing held.

        :param limit: bytes.
        """
        self._clock = clock
        self._limit = limit
        self._total = 0
        # In the order in which they began to hold more than little.
        self._parts: dict[Holder, _Part] = {}
        self._look: IDelayedCall | None = None

    @property
    def held(self) -> int:
        """Bytes that are counted."""
        return self._total

    def update(self, holder: Holder, held: int) -> bool:
        """Note how many bytes a client's unfinished requests hold now.

        :returns: whether more may be read from it; if not, :meth:`Holder.room_made` is called
            when it may.
        """
        part = self._parts.get(holder)
        if held <= SMALL_BYTES:
            if part is not None:
                self.remove(holder)
            return True
        if part is None:
            part = self._parts[holder] = _Part()
        change = held - part.held
        part.held = held
        part.moved += abs(change)
        self._total += change
        part.paused = self._total >= self._limit and holder is not self._oldest()
        if part.paused:
            self._look_later()
        elif change < 0:
            self._make_room()
        return not part.paused

    def remove(self, holder: Holder) -> None:
        """Forget a client."""
        part = self._parts.pop(holder, None)
        if part is not None:
            self._total -= part.held
            self._make_room()

    def close(self) -> None:
        """Look at nobody any more."""
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _oldest(self) -> Holder | None:
        return next(iter(self._parts), None)

    def _make_room(self) -> None:
        """Let those who wait read on, the oldest first, as far as there is room for what comes."""
        room = self._limit - self._total
        oldest = self._oldest()
        freed = []
        for holder, part in self._parts.items():
            if part.paused and (room > 0 or holder is oldest):
                part.paused = False
                room -= SMALL_BYTES
                freed.append(holder)
        # (reading on may change who holds what)
        for holder in freed:
            holder.room_made()

    def _look_later(self) -> None:
        if self._look is None:
            self._look = self._clock.callLater(LOOK_SECONDS, self._look_at_all)

    def _look_at_all(self) -> None:
        """Disconnect those who keep room and send nothing, if somebody waits for it."""
        self._look = None
        if not any(part.paused for part in self._parts.values()):
            for part in self._parts.values():
                part.moved = part.slow_looks = 0
            return
        slow = []
        for holder, part in self._parts.items():
            is_slow = not part.paused and part.moved < SMALL_BYTES and holder.waits_for_client
            part.slow_looks = part.slow_looks + 1 if is_slow else 0
            part.moved = 0
            if part.slow_looks > 1:
                slow.append((holder, part.held))
        self._look_later()
        for holder, held in slow:
            holder.disconnect(
                f"it holds {held} bytes of unfinished requests and sends nothing more, while"
                " others wait for the memory"
            )
