"""What a thread is in."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from twisted_virtlog.logs.known import KnownLogs
from twisted_virtlog.loop.concern import Client, Concern
from twisted_virtlog.loop.stack import innermost, place


@contextmanager
def in_thread(call: Callable[[Callable[[], None]], object]) -> Iterator[int]:
    """Run something in a thread, which is given a function that waits until the end.

    :returns: the thread's identifier, once it waits.
    """
    waits = threading.Event()
    end, other_end = os.pipe()

    def wait() -> None:
        waits.set()
        os.read(end, 1)

    thread = threading.Thread(target=call, args=(wait,))
    thread.start()
    waits.wait()
    assert thread.ident is not None
    try:
        yield thread.ident
    finally:
        os.close(other_end)
        thread.join()
        os.close(end)


class Told:
    """An object that tells what it is told to, and calls another one's method."""

    def __init__(self, concern: object, following: Callable[[], object]) -> None:
        self.told = concern
        self.following = following

    def concern(self, names: Mapping[str, object]) -> object:
        assert names["argument"] == "known"
        return self.told

    def call(self, argument: str = "known") -> None:
        self.following()


def test_the_innermost_tell_what_they_know_and_others_the_rest() -> None:
    """What another path says of links does not belong to this one."""

    def call(wait: Callable[[], None]) -> None:
        inner = Told(Concern("/a"), wait)
        Told(Concern("/b", "/real/b", Client(1, 2)), inner.call).call()

    with in_thread(call) as thread:
        found = place(thread)
    assert found is not None
    assert found.concern == Concern("/a", None, Client(1, 2))


def test_a_path_without_links_may_be_known_further_out() -> None:
    def call(wait: Callable[[], None]) -> None:
        Told(Concern("/a", "/real/a", Client(5, 6)), Told(Concern("/a"), wait).call).call()

    with in_thread(call) as thread:
        found = place(thread)
    assert found is not None
    assert found.concern == Concern("/a", "/real/a", Client(5, 6))


def test_what_is_half_made_or_something_else_tells_nothing() -> None:
    """It may raise, answer with what is no concern, or have any attribute."""

    class Anything:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(name)

        def call(self, following: Callable[[], None]) -> None:
            following()

    def call(wait: Callable[[], None]) -> None:
        wrong = Told("no concern", wait)
        half_made = Told(None, lambda: Anything().call(wrong.call))
        Told(Concern(client=Client(3, 4)), lambda: half_made.call("unknown")).call()

    with in_thread(call) as thread:
        found = place(thread)
    assert found is not None
    assert found.concern == Concern(client=Client(3, 4))


def test_the_innermost_function_is_named_and_the_daemons_own() -> None:
    """They differ where the daemon calls what is not its own."""
    known = KnownLogs()
    with in_thread(lambda wait: _add(known, wait)) as thread:
        found = place(thread)
        code, outer = innermost(thread)
    assert found is not None
    assert found.function.startswith(f"{__name__}.")
    assert code.co_name == "wait"
    assert outer is not code
    assert found.own is not None
    assert found.own.startswith("twisted_virtlog.logs.known.")
    assert " (line " in found.own


def _add(known: KnownLogs, wait: Callable[[], None]) -> None:
    class Paths:
        def __iter__(self) -> Iterator[str]:
            wait()
            return iter(())

    known.add_earlier(Paths())


def test_a_thread_that_has_ended_is_in_nothing() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    assert thread.ident is not None
    assert innermost(thread.ident) == ()
    assert place(thread.ident) is None
