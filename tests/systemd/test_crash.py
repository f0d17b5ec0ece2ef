"""A daemon that is killed and started again by a stand-in for systemd, while guests write."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.systemd.conftest import StartManager
from tests.systemd.manager import ServiceManager
from tests.systemd.writers import Guest
from twisted_virtlog.client import BlockingClient

SECONDS = 60.0

#: Some 400 kB a second come from each guest.
PAUSE_SECONDS = 0.001

MAX_BACKUPS = 32


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
    manager.wait_for(lambda: manager.pipes() == [])
    assert len(manager.names) == 2


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_kills_cost_no_byte(tmp_path: Path, supervised: StartManager, seed: int) -> None:
    """Each byte is in the files once, and no guest sees an error."""
    settings = ("max_size = 100000", f"max_backups = {MAX_BACKUPS}")
    endure(tmp_path, supervised(*settings), 3, seed)


@pytest.mark.slow
def test_a_hundred_kills_cost_no_byte(tmp_path: Path, supervised: StartManager) -> None:
    """The same at 100 moments."""
    settings = ("max_size = 2000000", f"max_backups = {MAX_BACKUPS}")
    endure(tmp_path, supervised(*settings), 100, seed=3)
