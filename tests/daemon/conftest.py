"""A real daemon as a subprocess, on real sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.daemon import Daemon, file_threads, running

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


@pytest.fixture
def daemon(start_daemon: StartDaemon) -> Daemon:
    """A daemon with small files, so that rotation is seen."""
    return start_daemon("max_size = 65536", "max_backups = 3")
