"""A log handler that answers what a test tells it to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zope.interface import implementer

from twisted_virtlog.interfaces import Answer, ILogHandler
from twisted_virtlog.values import (
    Closed,
    Counts,
    Domain,
    Excerpt,
    KeptFile,
    Ledger,
    LogStatus,
    Opened,
    OpenedFiles,
    PolicyWord,
    Position,
    Removed,
)


@implementer(ILogHandler)
class FakeHandler:
    """Answers each method by what its name was given; an exception is raised.

    :ivar calls: what was asked, in order.
    """

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[Any, ...]] = []

    def _answer(self, *call: Any) -> Any:
        self.calls.append(call)
        answer = self.answers[call[0]]
        if callable(answer):
            answer = answer(*call[1:])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def open(self, path: str, driver: str, domain: Domain | None, truncate: bool) -> Answer[Opened]:
        answer: Answer[Opened] = self._answer("open", path, driver, domain, truncate)
        return answer

    def close_log(self, path: str) -> Answer[Closed]:
        answer: Answer[Closed] = self._answer("close_log", path)
        return answer

    def remove(self, path: str) -> Answer[Removed]:
        answer: Answer[Removed] = self._answer("remove", path)
        return answer

    def position(self, path: str) -> Answer[Position]:
        answer: Answer[Position] = self._answer("position", path)
        return answer

    def read(self, path: str, position: Position | None, max_bytes: int) -> Answer[Excerpt]:
        answer: Answer[Excerpt] = self._answer("read", path, position, max_bytes)
        return answer

    def append(
        self, path: str, message: bytes, driver: str, domain: Domain | None
    ) -> Answer[Position]:
        answer: Answer[Position] = self._answer("append", path, message, driver, domain)
        return answer

    def kept_files(self, path: str) -> Answer[Sequence[KeptFile]]:
        answer: Answer[Sequence[KeptFile]] = self._answer("kept_files", path)
        return answer

    def files(self, path: str, start: Position | None) -> Answer[OpenedFiles]:
        answer: Answer[OpenedFiles] = self._answer("files", path, start)
        return answer

    def logs(self) -> Answer[Sequence[LogStatus]]:
        answer: Answer[Sequence[LogStatus]] = self._answer("logs")
        return answer

    def policy(self, path: str) -> Answer[Mapping[str, PolicyWord]]:
        answer: Answer[Mapping[str, PolicyWord]] = self._answer("policy", path)
        return answer

    def ledger(self, path: str | None) -> Answer[Ledger]:
        answer: Answer[Ledger] = self._answer("ledger", path)
        return answer

    def is_known(self, path: str) -> bool:
        answer: bool = self._answer("is_known", path)
        return answer

    def counts(self) -> Counts:
        answer: Counts = self._answer("counts")
        return answer
