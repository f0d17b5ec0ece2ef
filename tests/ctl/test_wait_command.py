"""Where ``wait`` begins to look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import cast

import pytest

from twisted_virtlog.client import BlockingClient, Boot, Position
from twisted_virtlog.client.blocking_following import BlockingFollowing
from twisted_virtlog.ctl.wait_command import followed

_OLD, _NEW = Position(1, 70), Position(2, 0)


class Daemon:
    """A daemon that answers so many questions before a log is opened."""

    def __init__(self, questions: int, before: Sequence[Position]) -> None:
        self.left = questions
        self.openings = list(before)
        self.asked: list[str] = []

    def _answer(self, question: str) -> None:
        self.asked.append(question)
        if not self.left:
            self.openings.append(_NEW)
        self.left -= 1

    def boots(self, _path: str) -> Sequence[Boot]:
        """Return one for each opening."""
        self._answer("boots")
        return [
            Boot(start, datetime.now(timezone.utc), None, "test", None) for start in self.openings
        ]

    @contextmanager
    def follow(self, _path: str, where: Position | None) -> Iterator[Position | None]:
        """Follow from there on."""
        self._answer("follow")
        yield where


@pytest.mark.parametrize("before", [[], [_OLD]])
@pytest.mark.parametrize("questions", range(4))
def test_an_opening_between_two_questions_is_not_missed(
    questions: int, before: Sequence[Position]
) -> None:
    """Whenever it comes: it is followed from there on, or was followed before."""
    daemon = Daemon(questions, before)
    with followed(cast(BlockingClient, daemon), "/a", None, from_opening=True) as following:
        came_before = daemon.left < 0
        where = cast("Position | None", following)
        assert where == (_NEW if came_before else daemon.openings[-1] if before else None)


def test_a_position_is_followed_as_it_is() -> None:
    """Nobody asks when the log was opened."""
    daemon = Daemon(9, [_OLD])
    with followed(cast(BlockingClient, daemon), "/a", _NEW, from_opening=False) as following:
        assert cast("Position | BlockingFollowing", following) == _NEW
    assert daemon.asked == ["follow"]
