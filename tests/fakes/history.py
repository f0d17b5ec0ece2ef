"""A history that answers what a test tells it to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from zope.interface import implementer

from twisted_virtlog.interfaces import Answer, IHistory
from twisted_virtlog.values import Boot, LogEvent, LogStatus, Position, TimeMark, TimeRange


@implementer(IHistory)
class FakeHistory:
    """Answers each method by what its name was given; an exception is raised.

    :ivar calls: what was asked, in order.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.calls: list[tuple[Any, ...]] = []

    def _answer(self, *call: Any) -> Any:
        self.calls.append(call)
        answer = self.answers.get(call[0], ())
        if isinstance(answer, Exception):
            raise answer
        return answer

    def locate(
        self, path: str, since: datetime | None, until: datetime | None
    ) -> Answer[Sequence[TimeRange]]:
        answer: Answer[Sequence[TimeRange]] = self._answer("locate", path, since, until)
        return answer

    def times(
        self, path: str, start: Position | None, end: Position | None
    ) -> Answer[Sequence[TimeMark]]:
        answer: Answer[Sequence[TimeMark]] = self._answer("times", path, start, end)
        return answer

    def boots(self, path: str) -> Answer[Sequence[Boot]]:
        answer: Answer[Sequence[Boot]] = self._answer("boots", path)
        return answer

    def events(self, path: str, since: datetime | None) -> Answer[Sequence[LogEvent]]:
        answer: Answer[Sequence[LogEvent]] = self._answer("events", path, since)
        return answer

    def closed_logs(self) -> Answer[Sequence[LogStatus]]:
        answer: Answer[Sequence[LogStatus]] = self._answer("closed_logs")
        return answer
