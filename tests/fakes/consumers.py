"""Consumers of logs that do as they are told."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from twisted_virtlog.interfaces import Answer, IConsumers
from twisted_virtlog.values import ConsumerStatus, Position


@implementer(IConsumers)
class FakeConsumers:
    """Remembers what is asked.

    :ivar told: what was acknowledged, by whom.
    :ivar forgotten: consumers, and paths.
    :ivar found: what is answered.
    :ivar error: what is raised in place of any answer.
    """

    def __init__(self) -> None:
        self.told: list[tuple[str, int, list[tuple[str, Position]]]] = []
        self.forgotten: list[tuple[str, str | None]] = []
        self.found: Sequence[ConsumerStatus] = ()
        self.error: Exception | None = None

    def acknowledge(
        self, consumer: str, uid: int, acks: Sequence[tuple[str, Position]]
    ) -> Answer[None]:
        self._fail()
        self.told.append((consumer, uid, list(acks)))

    def consumers(self) -> Answer[Sequence[ConsumerStatus]]:
        self._fail()
        return self.found

    def forget(self, consumer: str, path: str | None) -> Answer[None]:
        self._fail()
        self.forgotten.append((consumer, path))

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error
