"""A daemon that is killed and started again by a stand-in for systemd, while guests write."""

from __future__ import annotations

import os
import random
import resource
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.service_manager import ServiceManager
from tests.systemd.conftest import StartManager
from tests.systemd.writers import LINE_BYTES, Guest
from twisted_virtlog.client import BlockingClient, LogFile, RemoteError

SECONDS = 60.0

#: Some 400 kB a second come from each guest.
PAUSE_SECONDS = 0.001

MAX_BACKUPS = 32

#: What a file takes while the disk is full.
FULL_BYTES = 100_000


def listening(manager: ServiceManager, directory: Path) -> None:
    """Let the manager make the three sockets."""
    manager.listen("virtlogd.socket", directory / "log")
    manager.listen("virtlogd-admin.socket", directory / "admin")
    manager.listen("virtlogd-jsonrpc.socket", directory / "rpc")


@contextmanager
def client(directory: Path) -> Iterator[BlockingClient]:
    with BlockingClient(str(directory / "rpc"), SECONDS) as connected:
        yield connected


def guest(directory: Path, name: str) -> Guest:
    """Open a log and let a guest write into it."""
    path = directory / name
    with client(directory) as connected:
        return Guest(connected.open(str(path), "test").write_end, path, PAUSE_SECONDS)


def closed(directory: Path, guests: list[Guest]) -> None:
    """Wait until the logs of guests that are gone are closed."""
    gone = {str(one.path) for one in guests}
    with client(directory) as connected:
        for path in gone:
            while any(log.path == path for log in connected.list()):
                pass


def endure(directory: Path, manager: ServiceManager, kills: int, seed: int) -> None:
    """Kill the daemon at random moments while guests come, write and go."""
    chance = random.Random(seed)
    pause = threading.Event()
    listening(manager, directory)
    manager.start()
    steady = [guest(directory, f"steady{number}") for number in range(4)]
    passing: list[Guest] = []
    for number in range(kills):
        passing.append(guest(directory, f"passing{number}"))
        pause.wait(chance.uniform(0, 0.15))
        if chance.random() < 0.5:
            passing[-1].stop()
            pause.wait(chance.uniform(0, 0.01))
        manager.kill()
        if number % 3 == 0:
            # Killed again before it serves.
            manager.start(wait=False)
            pause.wait(chance.uniform(0, 0.6))
            manager.kill()
        manager.start()
        running = [*steady, *(one for one in passing if not one.stopped)]
        with client(directory) as connected:
            paths = {log.path for log in connected.list()}
        assert {str(one.path) for one in running} <= paths
    guests = [*steady, *passing]
    for one in guests:
        if not one.stopped:
            one.stop()
    closed(directory, guests)
    assert [mistake for one in guests if (mistake := one.wrong(MAX_BACKUPS))] == []
    with client(directory) as connected:
        ledger = connected.ledger()
    assert ledger.intake.received == LINE_BYTES * sum(one.written for one in guests)
    assert not ledger.intake.dropped.total
    manager.wait_for(lambda: manager.pipes() == [])
    assert len(manager.names) == 4


@pytest.mark.lengthy
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_kills_cost_no_byte(tmp_path: Path, supervised: StartManager, seed: int) -> None:
    """Each byte is in the files once, and no guest sees an error."""
    settings = ("max_size = 100000", f"max_backups = {MAX_BACKUPS}")
    endure(tmp_path, supervised(*settings), 3, seed)


# A daemon is started a hundred times, and each time other work may slow the machine down.
@pytest.mark.timeout(1800)
@pytest.mark.slow
def test_a_hundred_kills_cost_no_byte(tmp_path: Path, supervised: StartManager) -> None:
    """The same at 100 moments."""
    settings = ("max_size = 2000000", f"max_backups = {MAX_BACKUPS}")
    endure(tmp_path, supervised(*settings), 100, seed=3)


@pytest.mark.lengthy
def test_what_a_rate_dropped_is_told_after_a_kill(tmp_path: Path, supervised: StartManager) -> None:
    """It was noted when it was dropped, and stands before what was written later."""
    manager = supervised("rate = 100")
    listening(manager, tmp_path)
    manager.start()
    log = tmp_path / "guest.log"
    with client(tmp_path) as connected:
        write_end = connected.open(str(log), "test").write_end
        os.write(write_end, b"a line, \n" * 1000)
        while not connected.list()[0].dropped:
            """It is dropped soon."""
        lost = connected.list()[0].dropped
    manager.settle()
    manager.kill()
    manager.start()
    with client(tmp_path) as connected:
        while b"bytes lost" not in log.read_bytes():
            connected.info()
        os.write(write_end, b"later\n")
        connected.position(str(log))
        assert connected.list()[0].dropped == lost
    before, notice, later = log.read_bytes().partition(b"[virtlogd: %d bytes lost from " % lost)
    assert len(before) + lost == 9000
    assert notice
    assert later.endswith(b": over its rate of 100 bytes a second]\nlater\n")
    os.close(write_end)


@pytest.mark.lengthy
def test_kills_under_a_flood_beyond_a_rate_hide_no_byte(
    tmp_path: Path, supervised: StartManager
) -> None:
    """What was being dropped when the daemon was killed is counted by the next one."""
    manager = supervised("rate = 10000")
    listening(manager, tmp_path)
    manager.start()
    with client(tmp_path) as connected:
        write_end = connected.open(str(tmp_path / "guest.log"), "test").write_end
        manager.wait_for(lambda: len(manager.pipes()) == 1)
    written = 0
    stop = threading.Event()

    def flood() -> None:
        nonlocal written
        while not stop.is_set():
            written += os.write(write_end, b"a line of a flood\n" * 4000)

    flooding = threading.Thread(target=flood)
    flooding.start()
    dropped = 0
    for _ in range(4):
        with client(tmp_path) as connected:
            # (each of them drops some, and is killed while it does)
            while connected.ledger().intake.dropped.rate <= dropped + 1_000_000:
                pass
            dropped = connected.ledger().intake.dropped.rate
        manager.kill()
        manager.start()
    stop.set()
    flooding.join()
    os.close(write_end)
    with client(tmp_path) as connected:
        while connected.list():
            pass
        ledger = connected.ledger()
    assert ledger.intake.received == written
    assert ledger.intake_gap == 0


@pytest.mark.lengthy
def test_guests_that_followed_one_another_on_a_full_disk_outlive_kills(
    tmp_path: Path, supervised: StartManager
) -> None:
    """All pipes of the log come back, and their output goes into the file in order."""
    manager = supervised('on_write_error = "block"')
    listening(manager, tmp_path)
    manager.start()
    log = str(tmp_path / "guest.log")
    expected = b""
    with client(tmp_path) as connected:
        for number in range(4):
            write_end = connected.open(log, "test").write_end
            # (the journal is a file too, and must fit)
            resource.prlimit(manager.pid, resource.RLIMIT_FSIZE, (FULL_BYTES, -1))
            written = b"%d" % number * (FULL_BYTES + 1000)
            os.write(write_end, written)
            expected += written
            with pytest.raises(RemoteError, match="File too large"):
                connected.position(log)
            if number < 3:
                os.close(write_end)
    manager.settle()
    assert len(manager.pipes()) == 4
    for wait in (False, True):
        manager.kill()
        manager.start(wait=wait)
    with client(tmp_path) as connected:
        # The file counts as failing until it is tried again.
        while connected.list()[0].state != "open":
            pass
        assert connected.position(log).offset == len(expected)
        assert Path(log).read_bytes() == expected
        os.close(write_end)
        while connected.list():
            pass
    manager.wait_for(lambda: manager.pipes() == [])


@pytest.mark.lengthy
def test_a_guest_that_outlives_kills_is_one_opening(
    tmp_path: Path, supervised: StartManager
) -> None:
    """What is known of its log's past goes on, and what came while nobody watched is found."""
    manager = supervised("max_size = 100000", f"max_backups = {MAX_BACKUPS}")
    listening(manager, tmp_path)
    manager.start()
    log = str(tmp_path / "guest.log")
    with client(tmp_path) as connected:
        write_end = connected.open(log, "test").write_end
        manager.wait_for(lambda: len(manager.pipes()) == 1)
        (before,) = connected.boots(log)
    assert before.closed_at is None
    length = 0
    for _ in range(3):
        manager.kill()
        # (as long as nobody reads, a pipe takes it)
        length += os.write(write_end, b"x" * 49_999 + b"\n")
        manager.start()
        with client(tmp_path) as connected:
            connected.position(log)
            assert connected.boots(log) == [before]
            assert [event.kind for event in connected.events(log)] == ["opened"]
            (part,) = connected.locate(log, before.opened_at)
            assert part.start == before.start
            assert sum(file.size for file in _files(connected, log)) == length
            assert part.end == connected.times(log)[-1].position == connected.position(log)
    os.close(write_end)
    with client(tmp_path) as connected:
        while connected.list():
            pass
        (boot,) = connected.boots(log)
        assert boot.closed_at is not None
        assert boot.opened_at == before.opened_at
        assert [event.kind for event in connected.events(log)] == ["opened", "closed"]


def _files(connected: BlockingClient, log: str) -> Sequence[LogFile]:
    """Return the files of a log, as they are told."""
    files = connected.files(log).files
    for file in files:
        os.close(file.descriptor)
    return files
