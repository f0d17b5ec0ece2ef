"""The table of mounts, and who is told that it has changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import LogEvent, LogLevel, globalLogPublisher

from tests.fakes.reactor import FakeReactor
from tests.logs.fakes import descriptors
from twisted_virtlog.logs.lanes import table as module
from twisted_virtlog.logs.lanes.mounts import MOUNTINFO
from twisted_virtlog.logs.lanes.table import MountTable

#: Two tables, of which the kernel has the one and then the other.
FIRST = b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
SECOND = FIRST + b"30 22 0:50 / /srv rw - nfs4 files:/export rw\n"


@pytest.fixture
def reactor() -> FakeReactor:
    """A reactor that a test turns."""
    return FakeReactor()


@pytest.fixture
def messages() -> Iterator[list[str]]:
    """Take the errors that are logged."""
    found: list[str] = []

    def observe(event: LogEvent) -> None:
        if event["log_level"] is LogLevel.error:
            found.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)


def test_the_kernels_table_is_there(reactor: FakeReactor) -> None:
    """It is the same object until something changes, and nobody is told of nothing."""
    table = MountTable(reactor)
    told: list[str] = []
    table.observe(lambda: told.append("changed"))
    mounts = table.now()
    assert len(mounts.all) == Path(MOUNTINFO).read_bytes().count(b"\n")
    assert table.now() is mounts
    assert table.afresh() is mounts
    reactor.run()
    assert told == []
    table.close()


def test_its_descriptors_are_closed_with_it(reactor: FakeReactor) -> None:
    """It keeps the last table."""
    before = descriptors()
    table = MountTable(reactor)
    mounts = table.now()
    assert len(descriptors()) == len(before) + 3
    table.close()
    assert descriptors() == before
    assert reactor.readers == {}
    assert table.now() is table.afresh() is mounts
    table.close()


def test_where_it_cannot_be_read_nothing_is_known(
    reactor: FakeReactor, messages: list[str], tmp_path: Path
) -> None:
    """That is said once."""
    before = descriptors()
    table = MountTable(reactor, str(tmp_path / "mountinfo"))
    assert [*table.now().all, *table.afresh().all] == []
    assert table.now().root is None
    assert len(messages) == 1
    assert "mountinfo: cannot be read" in messages[0]
    assert os.strerror(2) in messages[0]
    assert descriptors() == before
    table.close()


class Texts:
    """What the kernel gives for the whole table each time; the last one for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *texts: bytes | OSError) -> None:
        self.texts = list(texts)
        self.reads = 0
        monkeypatch.setattr(module, "_whole", self)

    def __call__(self, file: int) -> bytes:
        self.reads += 1
        text = self.texts[0] if len(self.texts) == 1 else self.texts.pop(0)
        if isinstance(text, OSError):
            raise text
        return text


class Changes:
    """What poll(2) tells of a change each time."""

    def __init__(self, *changes: bool) -> None:
        self.changes = list(changes)

    def poll(self, timeout: int) -> list[Any]:
        assert timeout == 0
        return [(0, 0)] if self.changes and self.changes.pop(0) else []


def test_it_is_read_again_when_it_has_changed(
    reactor: FakeReactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only then; and again if it has changed meanwhile."""
    texts = Texts(monkeypatch, FIRST, b"torn", SECOND)
    table = MountTable(reactor)
    assert [mount.point for mount in table.now().all] == ["/"]
    assert texts.reads == 1
    monkeypatch.setattr(table, "_poll", Changes(True, True, False, False))
    assert [mount.point for mount in table.now().all] == ["/", "/srv"]
    assert texts.reads == 3
    table.now()
    assert texts.reads == 3
    table.close()


def test_one_that_changes_all_the_time_is_read_again_the_next_time(
    reactor: FakeReactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits until it stays."""
    texts = Texts(monkeypatch, FIRST)
    table = MountTable(reactor)
    monkeypatch.setattr(table, "_poll", Changes(*[True] * 11))
    table.now()
    reads = texts.reads
    texts.texts = [SECOND]
    assert len(table.now().all) == 2
    assert texts.reads == reads + 1
    table.close()


def test_a_directory_that_was_renamed_is_found_by_looking(
    reactor: FakeReactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tells no change of that."""
    Texts(monkeypatch, FIRST, SECOND)
    table = MountTable(reactor)
    before = table.now()
    assert table.afresh() is not before
    assert len(table.now().all) == 2
    table.close()


def test_what_cannot_be_read_later_is_said_once(
    reactor: FakeReactor, monkeypatch: pytest.MonkeyPatch, messages: list[str]
) -> None:
    """And it may come back."""
    error = OSError(12, "Cannot allocate memory")
    Texts(monkeypatch, FIRST, error, error, SECOND)
    table = MountTable(reactor)
    assert list(table.afresh().all) == []
    assert list(table.afresh().all) == []
    (message,) = messages
    assert message == (
        f"{MOUNTINFO}: cannot be read, so it is not known which file lies on which mount:"
        " Cannot allocate memory"
    )
    assert len(table.afresh().all) == 2
    table.close()


def test_those_who_observe_are_told_in_the_reactor(
    reactor: FakeReactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each change once, also one that a thread has found before, until they end it."""
    Texts(monkeypatch, FIRST, SECOND)
    table = MountTable(reactor)
    told: list[int] = []
    end = table.observe(lambda: told.append(len(table.now().all)))
    table.observe(lambda: told.append(-1))
    table.afresh()
    assert told == []
    table.doRead()
    table.doRead()
    assert told == [2, -1]
    end()
    end()
    monkeypatch.setattr(module, "_whole", lambda file: FIRST)
    table.afresh()
    table.doRead()
    assert told == [2, -1, -1]
    table.close()
    table.doRead()
    assert table.fileno() == -1
