"""The watch for stalls, beside each of Twisted's reactors."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.daemon import CHECKOUT
from tests.loop.stalling import WAYS

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
