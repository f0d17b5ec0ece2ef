"""A real daemon as a subprocess, on real sockets."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.daemon import Daemon, file_threads, running
from twisted_virtlog.client import ClientError

StartDaemon = Callable[..., Daemon]

#: Of a test that says which file systems have threads, or that nothing is known only to one.
by_default = pytest.mark.skipif(
    bool(file_threads()), reason="all file systems have threads of their own here"
)


def wait_for_message(daemon: Daemon, text: str) -> None:
    """Wait until the daemon's standard error has a text, which is written soon."""
    log = Path(daemon.socket).parent / "daemon.log"
    with daemon.client() as client:
        while text not in log.read_text():
            client.info()


@pytest.fixture
def start_daemon(tmp_path: Path) -> Iterator[StartDaemon]:
    """Start daemons, each in a directory of its own; they are stopped at the end."""
    with ExitStack() as stack:
        count = 0

        def start(*settings: str, **more: object) -> Daemon:
            nonlocal count
            count += 1
            directory = tmp_path / f"daemon{count}"
            return stack.enter_context(running(directory, settings, **more))  # type: ignore[arg-type]

        yield start


#: Small files, so that rotation is seen.
_SMALL = ("max_size = 65536", "max_backups = 3")


class Common:
    """A daemon that tests use one after another, as its start takes longer than most of them."""

    #: How often it is asked whether all of a test has ended, which takes some turns of its reactor.
    _QUESTIONS = 1000

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        """Start none before one is needed."""
        self._factory = factory
        self._stack = ExitStack()
        self._daemon: Daemon | None = None

    def take(self) -> Daemon:
        """Return it."""
        if self._daemon is None:
            directory = self._factory.mktemp("t")
            self._daemon = self._stack.enter_context(running(directory, _SMALL))
        return self._daemon

    def put_back(self, daemon: Daemon) -> None:
        """Wait until it has no log open and no client; if a test left it some, end it."""
        with contextlib.suppress(ClientError), daemon.client() as client:
            for _ in range(self._QUESTIONS):
                if not client.list() and client.info().counts["clients"] == 1:
                    return
        self.end()

    def end(self) -> None:
        """Stop it; another one is started when it is needed."""
        self._daemon = None
        self._stack.close()


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Common]:
    """Give the daemon of tests that are marked so."""
    common = Common(tmp_path_factory)
    yield common
    common.end()


@pytest.fixture
def daemon(
    request: pytest.FixtureRequest, start_daemon: StartDaemon, common: Common
) -> Iterator[Daemon]:
    """A daemon with small files: of the test's own, or that of all that are marked in_common."""
    if request.node.get_closest_marker("in_common") is None:
        yield start_daemon(*_SMALL)
        return
    daemon = common.take()
    yield daemon
    common.put_back(daemon)
