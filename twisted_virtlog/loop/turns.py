"""Who is served in a turn of the reactor: clients who ask, and guests who print.

Twisted's reactor knows neither what a descriptor costs nor who waits behind it. So clients and
guests have one descriptor on it each, and what either leaves to the other is agreed here:

- A client who asks again at once is waited for, unless somebody else waits or a guest's pipe fills
  fast (:mod:`~twisted_virtlog.loop.client_sockets`). The clients' turn is two milliseconds.
- A client who has used up a share of time goes on after those who were quiet, if there are any
  (:mod:`~twisted_virtlog.loop.shares`). In any case it gives way at the end of the clients' turn,
  and a request that is long by itself after each share.
- Guests whose pipes are full take turns by pieces of bytes or of time, half a mebibyte or two
  milliseconds together. After each pipe that had much, and after each share of time, the clients
  who wait are answered (:mod:`~twisted_virtlog.loop.guest_pipes`). One that has more than that
  while clients ask leaves the turns, if whoever reads it has another thread for it.

So no answer waits for longer than a piece or a share takes, and no guest for longer than the
clients' turn.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorFDSet

from twisted_virtlog.loop.client_sockets import EventSet
from twisted_virtlog.loop.guest_watches import GuestWatches
from twisted_virtlog.loop.shares import Shares


class Turns:
    """Joins them; each is closed by whoever takes it over.

    :ivar clients: their connections and the sockets that they come in by.
    :ivar guests: their pipes.
    :ivar shares: what those do who have used up their share of time.
    """

    def __init__(self, reactor: IReactorFDSet) -> None:
        """Register all with the reactor."""
        self.clients = EventSet(reactor, calm=lambda: self.guests.is_calm and self.shares.is_idle)
        self.guests = GuestWatches(reactor, between=self.clients.serve_ready)
        self.shares = Shares(
            reactor, between=self.clients.serve_ready, is_alone=self.clients.is_alone
        )
