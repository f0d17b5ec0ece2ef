"""The watch for stalls, beside each of Twisted's reactors."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.daemon import CHECKOUT
from tests.loop.stalling import WAYS
from twisted_virtlog.loop import stall_watch
from twisted_virtlog.loop.concern import Client, Concern
from twisted_virtlog.loop.stall_watch import StallCause

REACTORS = ("epollreactor", "pollreactor", "selectreactor", "asyncioreactor")

#: What depends on where a reactor waits.
EVERYWHERE = ("once", "idle")


def _run(reactor: str, way: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.loop.stalling", reactor, way],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.stdout.endswith("as it should be\n"), ended.stderr


@pytest.mark.lengthy
@pytest.mark.parametrize("way", EVERYWHERE)
@pytest.mark.parametrize("reactor", REACTORS)
def test_any_reactor_is_watched(reactor: str, way: str) -> None:
    """See stalling.py; likewise below."""
    _run(reactor, way)


@pytest.mark.lengthy
@pytest.mark.parametrize("way", sorted({*WAYS} - {*EVERYWHERE, "others_select"}))
def test_what_is_a_stall_and_what_is_none(way: str) -> None:
    _run("epollreactor", way)


def test_a_selector_of_another_is_not_asyncios_loop() -> None:
    _run("asyncioreactor", "others_select")


@pytest.mark.parametrize(
    ("kernel", "concern", "cause"),
    [
        ("anon_pipe_read", Concern("/a"), StallCause.PIPE),
        ("nfs_wait", Concern("/a", client=Client(1, 2)), StallCause.LOG),
        (None, Concern("/a"), StallCause.LOG),
        ("anon_pipe_read", Concern(), StallCause.OTHER),
        (None, Concern(client=Client(1, 2)), StallCause.CLIENT),
    ],
)
def test_what_a_stall_is_about(kernel: str | None, concern: Concern, cause: StallCause) -> None:
    """A log comes before the client that asked for it."""
    assert stall_watch._cause(kernel, concern) is cause
