"""The three clients' iterators, each driven step by step as the blocking one is."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor

from twisted_virtlog.client import BlockingClient, Position
from twisted_virtlog.client.asyncio_client import connect as connect_asyncio
from twisted_virtlog.client.deferred import connect as connect_deferred


class Iterating:
    """What is followed or watched, step by step."""

    def __init__(self, driver: Driver, iterator: Any) -> None:
        self.driver = driver
        self.iterator = iterator

    @property
    def position(self) -> Position:
        """Where it began."""
        return self.iterator.position  # type: ignore[no-any-return]

    @property
    def ended(self) -> str | None:
        """Why it has ended."""
        return self.iterator.ended  # type: ignore[no-any-return]

    def next(self) -> Any:
        """Return what comes next; None at the end."""
        return self.driver.next(self.iterator)

    def close(self) -> None:
        """End it."""
        self.driver.end(self.iterator)


class Driver(ABC):
    """One kind of client."""

    client: Any

    def follow(self, path: str, *given: Any, **named: Any) -> Iterating:
        """Follow a log, and wait until that has begun."""
        iterator = self.client.follow(path, *given, **named)
        self.start(iterator)
        return Iterating(self, iterator)

    @abstractmethod
    def start(self, iterator: Any) -> None:
        """Wait until it has begun."""

    @abstractmethod
    def next(self, iterator: Any) -> Any:
        """Return what comes next; None at the end."""

    @abstractmethod
    def end(self, iterator: Any) -> None:
        """End an iterator."""

    def settle(self) -> None:  # noqa: B027 (most have nothing to do)
        """Do what is to be done once the program waits again."""

    @abstractmethod
    def close(self) -> None:
        """Close the client, and whatever drives it."""


class BlockingDriver(Driver):
    """The blocking client."""

    def __init__(self, path: str, timeout: float | None = 30) -> None:
        self.client = BlockingClient(path, timeout)

    def start(self, iterator: Any) -> None:
        assert iterator.position is not None

    def next(self, iterator: Any) -> Any:
        return next(iterator, None)

    def end(self, iterator: Any) -> None:
        iterator.close()

    def close(self) -> None:
        self.client.close()


class AwaitingDriver(Driver):
    """A client whose iterators are awaited."""

    @abstractmethod
    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Drive a coroutine to its end."""

    def start(self, iterator: Any) -> None:
        self.run(iterator.__aenter__())

    def next(self, iterator: Any) -> Any:
        try:
            return self.run(iterator.__anext__())
        except StopAsyncIteration:
            return None

    def end(self, iterator: Any) -> None:
        self.run(iterator.aclose())


class AsyncioDriver(AwaitingDriver):
    """The asyncio client."""

    def __init__(self, path: str, timeout: float | None = 30) -> None:
        self.loop = asyncio.new_event_loop()
        self.client = self.run(connect_asyncio(path, timeout))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        self.client.close()
        self.loop.close()


class DeferredDriver(AwaitingDriver):
    """Twisted's client, on a reactor of its own."""

    def __init__(self, path: str, timeout: float | None = 30) -> None:
        self.reactor: Any = EPollReactor()
        connecting = connect_deferred(self.reactor, path, timeout)
        self.client = self.run(as_coroutine(connecting))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        outcomes: list[Any] = []
        failures: list[Any] = []
        Deferred.fromCoroutine(work).addCallbacks(outcomes.append, failures.append)
        while not outcomes and not failures:
            self.turn()
        if failures:
            raise failures[0].value
        return outcomes[0]

    def settle(self) -> None:
        # What was closed is, once the reactor turns.
        self.reactor.iterate(0)

    @property
    def internal(self) -> set[Any]:
        """What the reactor has for itself."""
        return {*self.reactor._internalReaders}

    def turn(self) -> None:
        """Let the reactor do what it has to do."""
        waiting = self.reactor.timeout()
        self.reactor.iterate(60 if waiting is None else waiting)

    def close(self) -> None:
        self.run(as_coroutine(self.client.close()))
        # (connections that are being closed, too)
        while {*self.reactor.getReaders(), *self.reactor.getWriters()} - self.internal:
            self.turn()
        for reader in self.internal:
            self.reactor.removeReader(reader)
            reader.connectionLost(None)
        self.reactor._poller.close()


async def as_coroutine(deferred: Deferred[Any]) -> Any:
    """Await a Deferred."""
    return await deferred


AWAITING: list[type[AwaitingDriver]] = [AsyncioDriver, DeferredDriver]
DRIVERS: list[type[Driver]] = [BlockingDriver, AsyncioDriver, DeferredDriver]
