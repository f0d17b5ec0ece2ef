"""Log handlers whose logs can be followed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.logs.following.room import Room

MakeRoom = Callable[..., Room]


@pytest.fixture
def make_room(tmp_path: Path, _nothing_leaks: None) -> Iterator[MakeRoom]:
    """Make log handlers whose logs can be followed; they are closed at the end."""
    with ExitStack() as stack:

        def make(*arguments: object, **settings: object) -> Room:
            room = Room(tmp_path, *arguments, **settings)  # type: ignore[arg-type]
            stack.callback(room.close)
            return room

        yield make


@pytest.fixture
def room(make_room: MakeRoom) -> Room:
    """Make a log handler without rotation."""
    return make_room()
