"""Who may acknowledge, and what becomes of it."""

from __future__ import annotations

import pwd
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from twisted_virtlog.errors import LogError, NoSuchConsumer, NotAllowed, SystemFailure
from twisted_virtlog.history.records import Progress
from twisted_virtlog.interfaces import Answer
from twisted_virtlog.logs.consumers.acknowledging import Acknowledging
from twisted_virtlog.logs.consumers.consumers import Consumers, HoldSettings
from twisted_virtlog.loop.slices import at_once
from twisted_virtlog.values import ConsumerStatus, Position

OWN, UID = "shipper", 1234
AT = Position(1, 2, "h1.a")
PATH, OTHER = "/var/log/a.log", "/var/log/b.log"


@pytest.fixture(autouse=True)
def uids(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Let there be one user."""
    known = {OWN: UID}

    def find(name: str) -> pwd.struct_passwd:
        return pwd.struct_passwd((name, "x", known[name], 7, "", "", ""))

    monkeypatch.setattr(pwd, "getpwnam", find)
    return known


class FakeLogs:
    """Logs that a test makes up."""

    def __init__(self, consumers: Consumers) -> None:
        self.consumers = consumers
        self.known = {PATH, OTHER}
        self.fails: dict[str, Exception] = {}
        self.later: dict[str, Deferred[Any]] = {}
        self.settled: list[str] = []
        self.settled_all = 0
        self.lag = 0

    def is_known(self, path: str) -> Answer[bool]:
        return path in self.known

    def acknowledge(
        self, path: str, consumer: str, position: Position, at: datetime
    ) -> Answer[None]:
        if path in self.fails:
            raise self.fails[path]
        self.consumers.note(self.consumers.made(path), consumer, Progress(position, at=at))
        return self.later.get(path)

    def forget_consumer(self, path: str, consumer: str) -> Answer[None]:
        self.consumers.forget(self.consumers.made(path), consumer)
        return None

    def consumed(self, path: str, now: datetime) -> Answer[Sequence[ConsumerStatus]]:
        if path in self.fails:
            return fail(self.fails[path])
        progress: Mapping[str, Progress] = self.consumers.made(path).progress
        return [ConsumerStatus(one, path, AT, self.lag, 0, 0, 0) for one in progress]

    def settle(self, path: str) -> Answer[None]:
        self.settled.append(path)
        return None

    def settle_all(self) -> None:
        self.settled_all += 1


class FakeKept:
    """What is kept, or not known yet."""

    def __init__(self) -> None:
        self.known: list[tuple[str, str, Progress]] | None = []
        self.writes: list[Deferred[None]] = []

    def consumers(self) -> Deferred[list[tuple[str, str, Progress]] | None]:
        return succeed(self.known)

    def written(self) -> Deferred[None]:
        self.writes.append(Deferred())
        return self.writes[-1]


class World:
    """Consumers of logs that are not there."""

    def __init__(self, **users: str) -> None:
        self.consumers = Consumers()
        self.consumers.settings = HoldSettings(users or {"nats": OWN})
        self.logs = FakeLogs(self.consumers)
        self.kept = FakeKept()
        self.clock = Clock()
        self.calls: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        self.acknowledging = Acknowledging(
            self.consumers, self.logs, self.kept, self._in_thread, self.clock, at_once
        )

    def _in_thread(self, call: Callable[[], Any]) -> Deferred[Any]:
        later: Deferred[Any] = Deferred()
        self.calls.append((call, later))
        return later

    def run_threads(self) -> None:
        """Let the threads do what they have to do."""
        calls, self.calls = self.calls, []
        for call, later in calls:
            later.callback(call())

    def begin(self) -> World:
        """Begin, and find out who the users are."""
        self.acknowledging.begin()
        self.run_threads()
        return self

    def ack(self, consumer: str = "nats", uid: int = UID, path: str = PATH) -> Any:
        """Acknowledge; return None, the failure's value, or a Deferred that has not fired."""
        found: list[Any] = []
        later = self.acknowledging.acknowledge(consumer, uid, [(path, AT)])
        later.addCallbacks(found.append, lambda failure: found.append(failure.value))
        return found[0] if found else later


def test_the_user_and_root_may() -> None:
    """And nobody else."""
    world = World().begin()
    assert world.ack() is None
    assert world.ack(uid=0) is None
    refused = world.ack(uid=54321)
    assert isinstance(refused, NotAllowed)
    assert str(refused) == f"nats: only the user {OWN} and root acknowledge for it"
    unknown = world.ack("loki")
    assert isinstance(unknown, NoSuchConsumer)
    assert "(nats)" in unknown.remedy


def test_who_comes_before_the_users_are_known_waits() -> None:
    """It is not refused for that."""
    world = World()
    world.acknowledging.begin()
    later = world.ack()
    assert isinstance(later, Deferred)
    refused = world.ack(uid=54321)
    world.run_threads()
    assert later.result is None
    assert world.ack() is None
    refused.addErrback(lambda _: None)


def test_a_user_that_is_not_there_is_looked_up_again(uids: dict[str, int]) -> None:
    """With a warning, once."""
    world = World(nats="nobody-is-called-so")
    with capturedLogs() as logged:
        world.begin()
        assert isinstance(world.ack(uid=7), NotAllowed)
        assert world.ack(uid=0) is None
        world.clock.advance(30)
        world.run_threads()
        assert [event["user"] for event in logged] == ["nobody-is-called-so"]
    uids["nobody-is-called-so"] = 7
    world.clock.advance(30)
    world.run_threads()
    assert world.ack(uid=7) is None
    assert not world.clock.getDelayedCalls()


def test_other_users_hold_from_the_next_configuration_on() -> None:
    """And the former ones no more."""
    world = World().begin()
    world.consumers.settings = HoldSettings({"loki": OWN})
    world.acknowledging.reload()
    world.run_threads()
    assert isinstance(world.ack("nats"), NoSuchConsumer)
    assert world.ack("loki") is None


def test_what_is_not_known_yet_is_asked_again() -> None:
    """Until then all is held."""
    world = World()
    world.kept.known = None
    world.begin()
    assert not world.consumers.is_loaded
    assert world.consumers.holders(None, ()) == ["nats"]
    world.kept.known = [(PATH, "nats", Progress(AT, unread=5))]
    assert world.ack() is None
    world.clock.advance(30)
    assert world.consumers.is_loaded
    assert world.logs.settled_all == 1
    log = world.consumers.of(PATH)
    assert log is not None
    # (what was told meanwhile is newer)
    assert log.progress["nats"].unread == 5
    assert log.progress["nats"].at is not None
    assert world.consumers.holders(log, ()) == ["nats"]
    assert world.consumers.holders(world.consumers.of(OTHER), ()) == []


def test_what_is_held_goes_when_it_is_written_that_it_was_read() -> None:
    """In one go, for all that were told meanwhile."""
    world = World().begin()
    world.ack()
    world.ack(path=OTHER)
    world.ack()
    assert world.logs.settled == []
    assert len(world.kept.writes) == 1
    world.kept.writes[0].callback(None)
    assert world.logs.settled == [PATH, OTHER]
    # Of a log of which nothing is held, there is nothing to do.
    log = world.consumers.of(PATH)
    assert log is not None
    log.held = []
    world.ack()
    assert len(world.kept.writes) == 1


def test_a_log_that_is_not_known_is_passed_over() -> None:
    """There is nothing of it to hold."""
    world = World().begin()
    assert world.ack(path="/etc/passwd") is None
    assert world.consumers.logs() == []


def test_the_others_are_done_if_one_fails() -> None:
    """And the failure is told."""
    world = World().begin()
    failure = SystemFailure("Unable", 110, PATH)
    world.logs.fails[PATH] = failure
    later = world.acknowledging.acknowledge("nats", 0, [(PATH, AT), (OTHER, AT)])
    found: list[BaseException] = []
    later.addErrback(lambda failure: found.append(failure.value))
    assert found == [failure]
    log = world.consumers.of(OTHER)
    assert log is not None
    assert log.progress["nats"].position == AT


def test_what_cannot_be_looked_at_is_listed_by_what_is_known() -> None:
    """Nobody waits for it."""
    world = World().begin()
    world.ack()
    world.ack(path=OTHER)
    world.logs.fails[PATH] = LogError("it does not answer", PATH)
    found: list[Any] = []
    world.acknowledging.consumers().addCallback(found.extend)
    assert [(one.path, one.lag_bytes) for one in found] == [(PATH, None), (OTHER, 0)]
    assert found[0].position == AT


def test_what_is_yet_to_be_read_is_added_up() -> None:
    """Of logs that can be looked at, by consumer."""
    world = World(nats=OWN, loki=OWN).begin()
    world.ack()
    world.ack(path=OTHER)
    world.ack("loki", path=OTHER)
    world.logs.lag = 7
    found: list[Mapping[str, int]] = []
    world.acknowledging.lags().addCallback(found.append)
    world.logs.fails[PATH] = LogError("it does not answer", PATH)
    world.acknowledging.lags().addCallback(found.append)
    assert found == [{"nats": 14, "loki": 7}, {"nats": 7, "loki": 7}]


def test_one_is_forgotten_for_a_log_or_for_all() -> None:
    """Also when the configuration does not name it any more."""
    world = World().begin()
    world.ack()
    world.ack(path=OTHER)
    world.acknowledging.forget("nats", PATH)
    assert [log.path for log in world.consumers.logs()] == [OTHER]
    world.consumers.settings = HoldSettings()
    world.acknowledging.forget("nats", None)
    assert world.consumers.logs() == []
    found: list[BaseException] = []
    later = world.acknowledging.forget("nats", None)
    later.addErrback(lambda failure: found.append(failure.value))
    assert isinstance(found[0], NoSuchConsumer)
