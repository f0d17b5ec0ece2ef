"""A real daemon removes old logs, by its configuration of the moment."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from twisted.internet.defer import execute

from harness.daemon import Daemon
from tests.daemon.conftest import StartDaemon
from tests.fakes.reactor import FakeReactor
from twisted_virtlog.client import BlockingClient
from twisted_virtlog.config.settings import Settings
from twisted_virtlog.logs.files import cleaner
from twisted_virtlog.service import Endpoints, VirtlogService

_SECONDS = 60.0

#: The first run is at once, and no log was used for very long.
_AT_ONCE = (
    "from twisted_virtlog.logs.files import cleaner, search; cleaner.FIRST_SECONDS = 0;"
    " search.used_ns = lambda log: 0"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty directory of logs; the files of ``last`` go last."""
    root = tmp_path / "root"
    (root / "last").mkdir(parents=True)
    # Just before the machine was started: what is older than this is known to be old.
    recent = root / "recent.log"
    recent.touch()
    os.utime(recent, (time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) - 60,) * 2)
    return root


def _old(path: Path) -> Path:
    path.touch()
    os.utime(path, (0, 0))
    return path


def _wait_for_a_run(root: Path, client: BlockingClient) -> None:
    _wait_until_gone(root / "last" / "last.log", client)


def _wait_until_gone(path: Path, client: BlockingClient) -> None:
    deadline = time.monotonic() + _SECONDS
    while path.exists():
        client.info()
        assert time.monotonic() < deadline


def _settings(root: Path) -> list[str]:
    return [
        "max_age_days = 30",
        f'log_root = "{root}"',
        f'log_outputs = "4:file:{root}/own.log"',
    ]


@pytest.mark.lengthy
def test_old_logs_go_but_those_in_use_stay(start_daemon: StartDaemon, root: Path) -> None:
    """The log of a guest, and the daemon's own; after a re-execution too."""
    _old(root / "last" / "last.log")
    old = _old(root / "old.log")
    own = _old(root / "own.log")
    known = root.parent / "virt-serial0-log"
    daemon = start_daemon(*_settings(root), patch=_AT_ONCE)
    with daemon.client() as client:
        _wait_for_a_run(root, client)
        assert not old.exists()
        assert own.exists()
        guest = root / "guest.log"
        write_end = client.open(str(guest)).write_end
        _old(guest)
        _old(old)
        client.append(str(known), "x")
        assert known.name in [os.path.basename(log.path) for log in client.list(closed=True)]
        _old(known)
        _old(root / "last" / "last.log")
        assert client.reexec()
        _wait_for_a_run(root, client)
        assert not old.exists()
        assert own.exists()
        assert guest.exists()
        _wait_until_gone(known, client)
        closed = [log.path for log in client.list(closed=True) if log.state == "closed"]
        assert closed == []
        os.close(write_end)


def test_a_limit_that_is_set_later_holds_on_sighup(start_daemon: StartDaemon, root: Path) -> None:
    """No restart is needed."""
    old = _old(root / "old.log")
    daemon: Daemon = start_daemon(patch=_AT_ONCE)
    with daemon.client() as client:
        _old(root / "last" / "last.log")
        assert old.exists()
        configuration = Path(daemon.socket).parent / "virtlogd.conf"
        configuration.write_text("\n".join(_settings(root)))
        os.kill(daemon.process.pid, signal.SIGHUP)
        _wait_for_a_run(root, client)
        assert not old.exists()


class _Reactor(FakeReactor):
    """Has a thread pool, which is itself, whose results are told later."""

    def __init__(self) -> None:
        super().__init__()
        self.results: list[Callable[[], object]] = []
        # What threads want to be called.
        self._calls: deque[Callable[[], object]] = deque()

    def getThreadPool(self) -> _Reactor:
        """See IReactorThreads."""
        return self

    def callFromThread(self, call: Callable[..., object], *arguments: object) -> None:
        """See IReactorThreads."""
        self._calls.append(partial(call, *arguments))

    def wait_for_result(self) -> None:
        """Turn until there is one."""
        while not self.results:
            self.turn()

    def tell_result(self) -> None:
        """Tell the next one, when it is there."""
        self.wait_for_result()
        self.results.pop(0)()

    def turn(self) -> bool:
        """Serve all that are ready now, threads first."""
        for _ in range(len(self._calls)):
            self._calls.popleft()()
        return super().turn()

    def callInThreadWithCallback(
        self, heard: Callable[[bool, object], object], call: Callable[[], object]
    ) -> None:
        """See IThreadPool."""
        result = execute(call)
        self.results.append(lambda: result.addCallback(lambda value: heard(True, value)))


@pytest.mark.parametrize("already_done", [0, 1])
def test_a_run_in_progress_removes_nothing_once_the_daemon_stops(
    root: Path, monkeypatch: pytest.MonkeyPatch, already_done: int
) -> None:
    """Its logs are closed then, though their guests may run on."""
    monkeypatch.setattr(cleaner, "FIRST_SECONDS", 0)
    reactor = _Reactor()
    settings = Settings(max_age_days=30, log_root=str(root))
    service = VirtlogService(settings, Endpoints(), reactor)  # type: ignore[arg-type]
    service.startService()
    guest = root / "guest.log"
    opened = service.handler.open(str(guest), "qemu", None, truncate=False)
    _old(guest)
    for _ in range(already_done):
        reactor.tell_result()
    reactor.wait_for_result()
    stopped = service.stopService()
    reactor.tell_result()
    assert guest.exists()
    assert not reactor.results
    os.close(opened.write_end)
    # (its thread would be there in other tests)
    reactor.result(stopped)
