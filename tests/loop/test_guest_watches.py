"""Pipes whose output is awaited are watched apart from the others."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.fakes.reactor import FakeReactor
from twisted_virtlog.loop.guest_watches import GuestWatches


class Guest:
    """A pipe that is read."""

    capacity = 65536

    def __init__(self) -> None:
        self.pipe, self.write_end = os.pipe()
        os.set_blocking(self.pipe, False)
        self.is_awaited = False
        self.read = b""

    def pipe_ready(self, most: int = 65536) -> int:
        data = os.read(self.pipe, most)
        self.read += data
        return len(data)

    def pipe_slow(self) -> None:
        """Nothing is slow."""

    def pipe_floods(self) -> None:
        """Nobody is asked meanwhile."""

    def pipe_failed(self) -> None:
        raise AssertionError

    def close(self) -> None:
        """Close both ends."""
        os.close(self.pipe)
        os.close(self.write_end)


@pytest.fixture
def guests() -> Iterator[list[Guest]]:
    """Two of them."""
    found = [Guest(), Guest()]
    yield found
    for guest in found:
        guest.close()


def _serve(reactor: FakeReactor, guest: Guest, data: bytes) -> None:
    os.write(guest.write_end, data)
    while not guest.read.endswith(data):
        reactor.turn()


def test_a_pipe_changes_its_watch(guests: list[Guest]) -> None:
    """It is served before and after; the others stay where they are."""
    reactor = FakeReactor()
    watches = GuestWatches(reactor)
    for guest in guests:
        watches.add(guest.pipe, guest)
    assert (len(reactor.readers), len(watches)) == (1, 2)
    first, second = guests
    _serve(reactor, first, b"one")
    first.is_awaited = True
    watches.changed(first.pipe, first)
    assert (len(reactor.readers), len(watches)) == (2, 2)
    _serve(reactor, first, b"two")
    _serve(reactor, second, b"other")
    assert watches.is_calm
    first.is_awaited = False
    watches.changed(first.pipe, first)
    _serve(reactor, first, b"three")
    assert first.read == b"onetwothree"
    watches.remove(first.pipe)
    watches.remove(first.pipe)
    assert len(watches) == 1
    watches.close()
    assert not reactor.readers


def test_one_that_is_not_watched_now_is_left_alone(guests: list[Guest]) -> None:
    """Its log is occupied, or fails; it is watched in the right place afterwards."""
    reactor = FakeReactor()
    watches = GuestWatches(reactor)
    guest = guests[0]
    guest.is_awaited = True
    watches.changed(guest.pipe, guest)
    assert len(watches) == 0
    watches.add_or_poll(guest.pipe, guest)
    assert (len(reactor.readers), len(watches)) == (2, 1)
    _serve(reactor, guest, b"hello")
    watches.close()
