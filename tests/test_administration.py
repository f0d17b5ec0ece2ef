"""What who administers the daemon is told, and what becomes of what it changes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool
from zope.interface.verify import verifyObject

from tests.fakes.administration import CONNECTED_AT, STARTED_AT, FakeDaemon
from twisted_virtlog.administration import MAX_SPEC_CHARACTERS, MAX_WORKERS
from twisted_virtlog.config.logging import format_filters, format_outputs
from twisted_virtlog.errors import (
    AdministrationError,
    BadLimits,
    BadSetting,
    NoOwnLog,
    NoSuchClient,
    NoSuchServer,
    SystemFailure,
)
from twisted_virtlog.interfaces import IAdministration
from twisted_virtlog.values import Destination, Output, Priority


@pytest.fixture
def daemon() -> FakeDaemon:
    """A daemon with two servers, and two clients of the first."""
    made = FakeDaemon()
    made.connect(2, 3)
    return made


def test_it_is_what_protocols_expect(daemon: FakeDaemon) -> None:
    """All of its interface is there."""
    assert verifyObject(IAdministration, daemon.administration)


def test_the_daemon_is_described(daemon: FakeDaemon) -> None:
    """What it is, the limits that hold now, its totals, and how many clients it has."""
    status = daemon.administration.status()
    assert (status.pid, status.started_at) == (os.getpid(), STARTED_AT)
    assert 1.5 <= status.uptime_s < 1000
    assert list(status.limits) == [
        *("max_clients", "max_open_logs", "max_size", "max_backups", "pipe_size"),
    ]
    assert status.limits["max_clients"] == 7
    assert (status.counts.opened_logs, status.clients) == (2, 2)


def test_servers_and_clients_are_told(daemon: FakeDaemon) -> None:
    """By name; each client with its user, group, process and time."""
    administration = daemon.administration
    assert administration.servers() == ["admin", "virtlogd"]
    assert list(administration.clients("admin")) == []
    first, second = administration.clients("virtlogd")
    assert (first.id, first.pid, first.uid, first.user) == (2, 2168, 0, "root")
    assert first.connected_at == datetime.fromtimestamp(CONNECTED_AT, timezone.utc)
    assert administration.client("virtlogd", 3) == second


def test_who_is_not_there_is_told_by_name(daemon: FakeDaemon) -> None:
    """An unknown server by every method that takes one, an unknown client by every other."""
    administration = daemon.administration
    for call in (
        lambda: administration.clients("x"),
        lambda: administration.client("x", 2),
        lambda: administration.disconnect("x", 2),
        lambda: administration.limits("x"),
        lambda: administration.set_limits("x", 1, 1),
        lambda: administration.thread_pool("x"),
        lambda: administration.set_thread_pool("x", 1, 1, 1),
    ):
        with pytest.raises(NoSuchServer, match="'x'"):
            call()
    for call in (
        lambda: administration.client("admin", 2),
        lambda: administration.disconnect("admin", 2),
    ):
        with pytest.raises(NoSuchClient, match="'admin' has no client 2"):
            call()


def test_a_user_may_have_no_name(daemon: FakeDaemon) -> None:
    """It was removed since, or belongs to a container."""
    daemon.connect(9, uid=4_000_000_000)
    assert daemon.administration.client("virtlogd", 9).user is None
    assert daemon.administration.clients("virtlogd")[-1].user is None


def test_limits_hold_for_one_server(daemon: FakeDaemon) -> None:
    """Each of the two may be left as it is."""
    administration = daemon.administration
    administration.set_limits("virtlogd", None, 2)
    administration.set_limits("virtlogd", 2, None)
    limits = administration.limits("virtlogd")
    assert (limits.clients, limits.max_clients, limits.max_anonymous) == (2, 2, 2)
    assert daemon.servers[0].full
    assert administration.limits("admin").max_clients == 5000


@pytest.mark.parametrize(("clients", "anonymous"), [(1023, None), (None, 1025), (4, 5)])
def test_limits_must_not_contradict_one_another(
    daemon: FakeDaemon, clients: int | None, anonymous: int | None
) -> None:
    """As by libvirt; and nothing is changed then."""
    with pytest.raises(BadLimits):
        daemon.administration.set_limits("virtlogd", clients, anonymous)
    limits = daemon.administration.limits("virtlogd")
    assert (limits.max_clients, limits.max_anonymous) == (1024, 1024)


# The reactor's threads.


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    """Threads, as a reactor has them."""
    pool = ThreadPool(0, 10)
    pool.start()
    yield pool
    pool.stop()


def test_threads_are_started_and_ended(daemon: FakeDaemon, pool: ThreadPool) -> None:
    """A minimum starts them at once, a lower maximum ends those that are too many."""
    daemon.pool = pool
    administration = daemon.administration
    administration.set_thread_pool("virtlogd", 3, None, None)
    status = administration.thread_pool("admin")
    assert (status.min_workers, status.max_workers, status.workers) == (3, 10, 3)
    administration.set_thread_pool("virtlogd", 0, 1, None)
    assert (pool.min, pool.max, pool.workers) == (0, 1, 1)


def test_busy_threads_and_waiting_work_are_told(daemon: FakeDaemon) -> None:
    """For every server the same, as all share them; priority workers are each server's own."""
    daemon.administration.set_thread_pool("virtlogd", None, None, 2)
    status = daemon.administration.thread_pool("virtlogd")
    assert (status.workers, status.free_workers, status.waiting_jobs) == (7, 2, 3)
    assert status.priority_workers == 2
    assert daemon.administration.thread_pool("admin").priority_workers == 0


@pytest.mark.parametrize(
    ("least", "most"), [(11, None), (None, 4), (6, 5), (0, 0), (None, MAX_WORKERS + 1)]
)
def test_thread_numbers_must_be_possible(least: int | None, most: int | None) -> None:
    """Nothing is changed otherwise, not even the priority workers."""
    daemon = FakeDaemon(least=5)
    with pytest.raises(BadSetting) as caught:
        daemon.administration.set_thread_pool("virtlogd", least, most, 1)
    assert caught.value.remedy
    status = daemon.administration.thread_pool("virtlogd")
    assert (status.min_workers, status.max_workers, status.priority_workers) == (5, 10, 0)


# The daemon's own log.


def logging(daemon: FakeDaemon) -> tuple[int, str, str]:
    """Return level, filters and outputs."""
    found = daemon.administration.logging()
    return found.level.value, format_filters(found.filters), format_outputs(found.outputs)


def test_what_is_logged_changes(daemon: FakeDaemon, tmp_path: Path) -> None:
    """Level, filters and outputs, all at once, for the next message on."""
    log = tmp_path / "own.log"
    logger = Logger(namespace="part", observer=daemon.own_log)
    daemon.administration.set_logging(Priority.ERROR, "1:part", f"1:file:{log}")
    logger.debug("first")
    daemon.administration.set_logging(None, "", None)
    logger.warn("second")
    daemon.administration.set_logging(Priority.WARNING, None, None)
    logger.warn("third")
    daemon.administration.set_logging(None, None, "")
    assert logging(daemon) == (3, "", "3:stderr")
    assert daemon.own_log.flush(60)
    assert [line.split(" : ")[-1] for line in log.read_text().splitlines()] == ["first", "third"]


def test_the_default_output_has_the_new_level(daemon: FakeDaemon) -> None:
    """Blanks are as good as nothing."""
    daemon.administration.set_logging(Priority.INFO, None, "  ")
    assert logging(daemon) == (2, "", "2:stderr")


def test_all_is_changed_or_nothing(daemon: FakeDaemon, tmp_path: Path) -> None:
    """A part that cannot be leaves the others as they were, and no file open."""
    before = logging(daemon)
    descriptors = len(os.listdir("/proc/self/fd"))
    bad: list[tuple[str, str, type[Exception], str]] = [
        ("bad", "", BadSetting, "Malformed format for filter 'bad'"),
        ("1:x", "7:stderr", BadSetting, "Invalid log priority '7' for log output '7:stderr'"),
        (
            "1:x",
            f"1:file:{tmp_path}/a.log 3:file:{tmp_path}/none/x.log",
            SystemFailure,
            f"failed to open {tmp_path}/none/x.log: No such file or directory",
        ),
    ]
    for filters, outputs, error, message in bad:
        with pytest.raises(error) as caught:
            daemon.administration.set_logging(Priority.DEBUG, filters, outputs)
        assert str(caught.value) == message
        assert logging(daemon) == before
    assert daemon.own_log.flush(60)
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.parametrize("name", ["filters", "outputs"])
def test_a_long_text_is_refused(daemon: FakeDaemon, name: str) -> None:
    """Each message would be compared with all of it."""
    before = logging(daemon)
    texts = {"filters": "", "outputs": "", name: "3:stderr ".ljust(MAX_SPEC_CHARACTERS + 1)}
    with pytest.raises(BadSetting, match="too long") as caught:
        daemon.administration.set_logging(None, **texts)
    assert "65536" in caught.value.remedy
    assert logging(daemon) == before


def test_a_default_output_that_cannot_be_made_is_an_error(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The system's reason is told."""
    file = tmp_path / "file"
    file.touch()

    def below_a_file(level: Priority) -> list[Output]:
        return [Output(level, Destination.FILE, f"{file}/below/own.log")]

    monkeypatch.setattr(daemon.own_log, "_default_outputs", below_a_file)
    with pytest.raises(SystemFailure, match=f"cannot make {file}/below: Not a directory"):
        daemon.administration.set_logging(None, None, "")


def test_an_embedded_daemon_has_no_log_of_its_own() -> None:
    """The application around it has one."""
    administration = FakeDaemon(has_own_log=False).administration
    for call in (administration.logging, lambda: administration.set_logging(None, "", "")):
        with pytest.raises(NoOwnLog, match="another application") as caught:
            call()
        assert isinstance(caught.value, AdministrationError)
