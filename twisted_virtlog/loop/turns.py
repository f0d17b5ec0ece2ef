"""Who is served in a turn of the reactor: clients who ask, and guests who print.

Twisted's reactor knows neither what a descriptor costs nor who waits behind it. So clients and
guests have one descriptor on it each, and what either leaves to the other is agreed here:

- A client who asks again at once keeps the reactor, for a millisecond at a time, unless a guest's
  pipe fills fast (:mod:`~twisted_virtlog.loop.client_sockets`).
- Guests whose pipes are full take turns by pieces, half a mebibyte together, and after each pipe
  that had much the clients who wait are answered (:mod:`~twisted_virtlog.loop.guest_pipes`).

So no answer waits for more than a piece, and no guest for longer than a client's millisecond.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorFDSet

from twisted_virtlog.loop.client_sockets import EventSet
from twisted_virtlog.loop.guest_pipes import PipeWatch


class Turns:
    """Joins the two; each is closed by whoever takes it over.

    :ivar clients: their connections and the sockets that they come in by.
    :ivar guests: their pipes.
    """

    def __init__(self, reactor: IReactorFDSet) -> None:
        """Register both with the reactor."""
        self.clients = EventSet(reactor, calm=lambda: self.guests.is_calm)
        self.guests = PipeWatch(reactor, between=self.clients.serve_ready)
