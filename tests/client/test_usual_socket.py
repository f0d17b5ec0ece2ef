"""Which socket is asked when nobody names one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.client.full_queue import full_queue
from twisted_virtlog.client import usual_socket as module
from twisted_virtlog.client.usual_socket import usual_socket


class Places:
    """Where an ordinary user's socket is, and the system's."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        (directory / "libvirt").mkdir()
        self.own = directory / "libvirt" / "virtlogd-jsonrpc-sock"
        self.system = directory / "virtlogd-jsonrpc-sock-ro"
        self._stack = stack

    def listen(self, path: Path) -> socket.socket:
        """Let a daemon listen at a path."""
        listener = self._stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.bind(str(path))
        listener.listen()
        return listener


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Places]:
    """Be an ordinary user."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with ExitStack() as stack:
        places = Places(tmp_path, stack)
        monkeypatch.setattr(module, "SYSTEM_READ_ONLY", str(places.system))
        yield places


@pytest.mark.parametrize(
    ("own", "system", "chosen"),
    [(True, True, "own"), (True, False, "own"), (False, True, "system"), (False, False, "own")],
)
def test_the_system_s_read_only_socket_is_the_second_choice(
    places: Places, own: bool, system: bool, chosen: str
) -> None:
    """It is asked only where it is there and the user's own daemon is not."""
    for name, there in (("own", own), ("system", system)):
        if there:
            places.listen(getattr(places, name))
    assert usual_socket() == str(getattr(places, chosen))


def test_a_socket_that_was_left_behind_is_not_there(places: Places) -> None:
    """A daemon that was killed does not remove it."""
    places.listen(places.system)
    places.listen(places.own).close()
    assert usual_socket() == str(places.system)


def test_a_daemon_that_is_busy_is_there(places: Places) -> None:
    """It is waited for later."""
    places.listen(places.system)
    with full_queue(places.own):
        assert usual_socket() == str(places.own)
