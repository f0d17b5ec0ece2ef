"""Log handlers to try, and a watch on descriptors."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import pytest
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher

from tests.logs.fakes import World, descriptors
from twisted_virtlog.logs.files.writer import Writer

MakeWorld = Callable[..., World]


@pytest.fixture(autouse=True)
def _time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """No write stops because its time is up, but where a test says so."""
    monkeypatch.setattr(Writer, "seconds", lambda: 0.0)


@pytest.fixture(autouse=True)
def _nothing_leaks() -> Iterator[None]:
    """After each test no more descriptors are open than before it."""
    before = descriptors()
    yield
    after = descriptors()
    if len(after) > len(before):
        gc.collect()
        after = descriptors()
    assert len(after) <= len(before), (before, after)


@pytest.fixture
def make_world(tmp_path: Path, _nothing_leaks: None) -> Iterator[MakeWorld]:
    """Make log handlers; they are closed at the end."""
    with ExitStack() as stack:

        def make(*arguments: object, **settings: object) -> World:
            world = World(tmp_path, *arguments, **settings)  # type: ignore[arg-type]
            stack.callback(world.close)
            return world

        yield make


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """Make a log handler without rotation."""
    return make_world()


@pytest.fixture
def logged() -> Iterator[Callable[[], str]]:
    """Collect what the daemon logs."""
    events: list[LogEvent] = []
    observer = cast(ILogObserver, events.append)
    globalLogPublisher.addObserver(observer)
    yield lambda: "\n".join(formatEvent(event) for event in events)
    globalLogPublisher.removeObserver(observer)
