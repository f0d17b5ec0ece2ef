"""A guest locks its own empty pipe, and the daemon answers whatever it is asked."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.daemon import Daemon
from tests.daemon.conftest import StartDaemon, by_default
from tests.daemon.test_handover import another_image, until
from tests.locked_pipe import locked, wait_for_end
from twisted_virtlog.client import ClientError, RemoteError

_HAND_OVER_FAILED = 1007
_NOT_WRITTEN = 1006


def is_refused(write_end: int) -> bool:
    """Return whether nobody has the read end any more."""
    try:
        os.write(write_end, b"too late")
    except BrokenPipeError:
        return True
    return False


def test_every_request_is_answered(daemon: Daemon, tmp_path: Path) -> None:
    """About that log, and about others."""
    log, other = str(tmp_path / "guest.log"), str(tmp_path / "other.log")
    with daemon.client() as client:
        opened = client.open(log, driver="qemu")
        os.write(opened.write_end, b"before ")
        client.position(log)
        with locked(opened.write_end):
            assert client.position(log).offset == 7
            assert client.read(log).data == b"before "
            assert client.append(log, "said ").offset == 12
            assert [one.path for one in client.list()] == [log]
            with pytest.raises(RemoteError, match="open already"):
                client.open(log, driver="qemu")
            another = client.open(other)
            os.write(another.write_end, b"from another")
            assert client.position(other).offset == 12
            os.close(another.write_end)
            assert client.info().counts["failing_logs"] == 0
            assert client.close_log(log).dropped == 0
            assert client.open(log).position.offset == 12
        until(lambda: is_refused(opened.write_end))


@pytest.mark.lengthy
def test_the_next_image_goes_on_with_it(daemon: Daemon, tmp_path: Path) -> None:
    """It takes the pipe over as it is."""
    log = str(tmp_path / "guest.log")
    with daemon.client() as client:
        opened = client.open(log)
        with locked(opened.write_end):
            with another_image(daemon.process.pid):
                assert client.reexec()
            assert client.position(log).offset == 0
        os.write(opened.write_end, b"after")
        assert client.position(log).offset == 5


@pytest.mark.lengthy
def test_nothing_is_handed_over_while_a_locked_pipe_is_to_be_closed(
    daemon: Daemon, tmp_path: Path
) -> None:
    """The exec would not come to an end; the answer says which pipe it is."""
    log = str(tmp_path / "guest.log")
    with daemon.client() as client:
        opened = client.open(log)
        (number,) = [one.pipe for one in client.list()]
        with locked(opened.write_end):
            client.close_log(log)
            with pytest.raises(RemoteError, match=rf"pipe:\[{number}\] cannot be closed") as caught:
                client.reexec()
            assert caught.value.code == _HAND_OVER_FAILED
            assert client.open(log).position.offset == 0
        with another_image(daemon.process.pid):
            assert client.reexec()
        assert client.position(log).offset == 0


@pytest.mark.lengthy
@by_default
def test_the_second_time_it_holds_up_nobody_but_itself(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """Nothing helps the thread that takes bytes: from then on that is one of the log's own."""
    daemon = start_daemon("file_timeout = 1")
    log, other = str(tmp_path / "guest.log"), str(tmp_path / "other.log")
    with daemon.client() as client:
        opened, another = client.open(log), client.open(other)
        os.write(another.write_end, b"one")
        assert client.position(other).offset == 3
        lock_with_bytes(daemon, opened.write_end, lambda: until(lambda: says(daemon, "locked")))
        until(lambda: [one.thread is not None for one in client.list()] == [True, False])
        assert client.position(log).offset == 6

        def ask() -> None:
            os.write(another.write_end, b"two")
            assert client.position(other).offset == 6
            with pytest.raises(RemoteError, match="timed out") as caught:
                client.position(log)
            assert caught.value.code == _NOT_WRITTEN
            assert caught.value.data["pending_bytes"] is None
            (status, _) = client.list()
            assert (status.state, status.pending) == ("failing", None)
            assert client.position(other).offset == 6

        lock_with_bytes(daemon, opened.write_end, ask)
        until(lambda: client.list()[0].state == "open")
        assert client.position(log).offset == 12
        assert Path(log).read_bytes() == b"lockedlocked"
        os.close(opened.write_end)
        os.close(another.write_end)


def lock_with_bytes(daemon: Daemon, write_end: int, then: Callable[[], object]) -> None:
    """Lock a pipe with bytes in it, and do something before it is unlocked."""
    daemon.process.send_signal(signal.SIGSTOP)
    os.write(write_end, b"locked")
    with locked(write_end):
        daemon.process.send_signal(signal.SIGCONT)
        then()


def says(daemon: Daemon, text: str) -> bool:
    """Return whether a daemon's own log has a text."""
    return text in (Path(daemon.socket).parent / "daemon.log").read_text()


def test_it_stops(daemon: Daemon, tmp_path: Path) -> None:
    """All that it does ends; the process lasts until the pipe is let go of."""
    log, other = str(tmp_path / "guest.log"), str(tmp_path / "other.log")
    with daemon.client() as client:
        opened, another = client.open(log), client.open(other)
        with locked(opened.write_end) as guest:
            os.write(another.write_end, b"the last words")
            daemon.process.send_signal(signal.SIGTERM)
            wait_for_end(guest, daemon.process.pid)
            assert Path(other).read_text() == "the last words"
            assert not Path(daemon.socket).exists()
            with pytest.raises(ClientError):
                daemon.client()
    assert daemon.process.wait(60) == 0
