"""The daemon is told to end, or is killed, while a thread waits for what does not answer."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.daemon import CHECKOUT, Daemon, running, state_dir
from harness.fuse import Operation
from harness.pass_mount import pass_mount
from tests.daemon.conftest import by_default
from tests.daemon.test_handover import until
from tests.hanging import fifo, hanging_in
from tests.locked_pipe import wait_for_end
from twisted_virtlog.client import BlockingClient, RemoteError
from twisted_virtlog.sockets.peer_credentials import peer_credentials

#: A thread that nobody waits for, as that of a lane.
_LANE = """
import threading
threading.Thread(target=hang, name="lane /mnt/a", daemon=True).start()
"""

#: One that the reactor's end and the interpreter's wait for.
_POOL = """
from twisted_virtlog.daemon import ending
from twisted_virtlog.service import VirtlogService
ending._SECONDS = 0.5
start = VirtlogService.startService
def start_and_hang(self):
    start(self)
    self._reactor.callInThread(hang)
VirtlogService.startService = start_and_hang
"""

#: The thread has the interpreter's end wait as well, but nobody sees that it hangs.
_NO_END = """
import threading, twisted_virtlog.daemon.ending as ending
ending._SECONDS = 0.5
threading.Thread(target=lambda: threading.Event().wait(), name="for ever").start()
"""


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Give what has a FIFO locked, and ends what waits for that when it ends itself."""
    with fifo(tmp_path / "fifo") as process:
        yield process


@contextlib.contextmanager
def daemon(
    directory: Path, code: str, guest: subprocess.Popen[bytes], status: int = 0
) -> Iterator[Daemon]:
    """Run a daemon with a thread that hangs until the end of this.

    :param status: with which it ends, when it can.
    """
    patch = hanging_in(directory / "fifo", code)
    with running(directory / "daemon", patch=patch) as started:
        try:
            yield started
        finally:
            guest.kill()
        assert started.process.wait(60) == status


def is_closed(write_end: int) -> bool:
    """Return whether nobody has the read end of a pipe."""
    try:
        os.write(write_end, b"x")
    except BrokenPipeError:
        return True
    return False


def listens(path: str) -> int | None:
    """Return which process listens on a socket; None for none."""
    with socket.socket(socket.AF_UNIX) as client:
        return None if client.connect_ex(path) else peer_credentials(client).pid


def own_log(daemon: Daemon) -> str:
    """Return what the daemon has logged."""
    return (Path(daemon.socket).parent / "daemon.log").read_text()


@pytest.mark.lengthy
@pytest.mark.parametrize(
    ("code", "reason"),
    [(_LANE, "the thread 'lane /mnt/a' waits"), (_POOL, "the thread 'PoolThread-")],
    ids=["lane", "pool"],
)
def test_nobody_waits_for_what_has_been_told_to_end(
    code: str, reason: str, guest: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """Sockets, clients and guests are let go, and another daemon takes its place."""
    with daemon(tmp_path, code, guest) as first:
        client = socket.socket(socket.AF_UNIX)
        client.connect(first.socket)
        with first.client() as opener:
            pipe = opener.open(str(tmp_path / "guest.log")).write_end
        os.write(pipe, b"before\n")
        first.process.send_signal(signal.SIGTERM)
        wait_for_end(guest, first.process.pid)
        assert client.recv(1) == b""
        client.close()
        assert is_closed(pipe)
        os.close(pipe)
        assert (tmp_path / "guest.log").read_text() == "before\n"
        assert [one.name for one in (tmp_path / "daemon").glob("*sock*")] == []
        assert reason in own_log(first)
        assert "closed by hand: " in own_log(first)
        with running(tmp_path / "daemon") as second, second.client() as client_of_second:
            assert client_of_second.info().pid == second.process.pid


@pytest.mark.lengthy
@pytest.mark.fuse
def test_a_server_of_fuse_that_does_not_answer(tmp_path: Path) -> None:
    """The thread that waits for it looks like any that waits, until it is killed."""
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "there" / "file").touch()
    with pass_mount(tmp_path / "there", tmp_path / "here") as mount:
        code = f"""
from twisted_virtlog.loop.threads import DeafThread
hang = lambda: open({str(mount.point / "file")!r})
DeafThread(target=hang, name="lane /mnt/a", daemon=True).start()
"""
        mount.hold(Operation.OPEN)
        with running(tmp_path / "daemon", patch=f"exec({code!r}, {{}})") as first:
            assert mount.held() is Operation.OPEN
            client = first.client()
            pipe = client.open(str(tmp_path / "guest.log")).write_end
            first.process.send_signal(signal.SIGTERM)
            status = Path(f"/proc/{first.process.pid}/status")
            until(lambda: "State:\tZ" in status.read_text())
            assert is_closed(pipe)
            os.close(pipe)
            client.close()
            assert first.process.poll() is None
            mount.release()
            assert first.process.wait(60) == 0
        assert "the thread 'lane /mnt/a' waits; the daemon has stopped" in own_log(first)


@pytest.mark.lengthy
@by_default
@pytest.mark.fuse
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_who_comes_next_waits_for_what_was_begun(number: signal.Signals, tmp_path: Path) -> None:
    """And for no more: it has the sockets, and serves all other logs."""
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    log, other = str(tmp_path / "here" / "guest.log"), str(tmp_path / "other.log")
    settings = ["file_timeout = 1"]
    with ExitStack() as stack:
        mount = stack.enter_context(pass_mount(tmp_path / "there", tmp_path / "here"))
        first = stack.enter_context(running(tmp_path / "daemon", settings))
        with first.client() as client:
            pipe = client.open(log).write_end
            os.write(pipe, b"one\n")
            assert client.position(log).offset == 4
        mount.hold(Operation.WRITE)
        os.write(pipe, b"two\n")
        assert mount.held() is Operation.WRITE
        first.process.send_signal(number)
        status = Path(f"/proc/{first.process.pid}/status")
        until(lambda: "State:\tZ" in status.read_text())
        # (who was killed cannot let go of it)
        assert is_closed(pipe) == (number is signal.SIGTERM)
        os.close(pipe)
        second = stack.enter_context(
            running(
                tmp_path / "daemon",
                settings,
                wait=lambda process: until(lambda: listens(first.socket) == process.pid),
            )
        )
        client = stack.enter_context(second.client())
        with pytest.raises(RemoteError, match="does not answer"):
            client.open(log)
        os.close(client.open(other).write_end)
        assert first.process.poll() is None
        assert (tmp_path / "there" / "guest.log").read_bytes() == b"one\n"
        mount.release()
        assert first.process.wait(60) == (0 if number is signal.SIGTERM else -number)
        pipe = _opened(client, log)
        os.write(pipe, b"three\n")
        assert client.position(log).offset == 14
        os.close(pipe)
    assert (tmp_path / "there" / "guest.log").read_bytes() == b"one\ntwo\nthree\n"


def _opened(client: BlockingClient, log: str) -> int:
    """Open a log as soon as its file system answers; return the pipe."""
    while True:
        try:
            return client.open(log).write_end
        except RemoteError as error:
            if "does not answer" not in str(error):
                raise


@pytest.mark.lengthy
def test_guests_pipes_are_closed_whatever_the_service_did(
    guest: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """Also that of a log in a lane, which has not been closed; a pipe of the daemon's own is not.

    The service is held up here, as if it waited for the lane.
    """
    code = f"""{_LANE}
from twisted.internet.defer import Deferred
from twisted_virtlog.daemon import ending
from twisted_virtlog.service import VirtlogService
ending._SECONDS = 0.5
VirtlogService.stopService = lambda self: Deferred()
VirtlogService.hung = lambda self: ["the file system at /mnt/a does not answer"]
"""
    with daemon(tmp_path, code, guest) as first, first.client() as client:
        pipe = client.open(str(tmp_path / "guest.log")).write_end
        first.process.send_signal(signal.SIGTERM)
        wait_for_end(guest, first.process.pid)
        until(lambda: is_closed(pipe))
        os.close(pipe)
        assert "the file system at /mnt/a does not answer; " in own_log(first)
        assert "1 of 1 guests' pipes" in own_log(first)


@pytest.mark.lengthy
def test_what_is_left_to_write_is_waited_for(tmp_path: Path) -> None:
    """As long as nothing hangs."""
    code = """
from twisted.internet.task import deferLater
from twisted_virtlog.daemon import ending
from twisted_virtlog.service import VirtlogService
ending._SECONDS = 0.1
ending._REACTOR_SECONDS = 60
stop = VirtlogService.stopService
def stop_later(self):
    ending._SECONDS = 60
    return deferLater(self._reactor, 0.5, stop, self)
VirtlogService.stopService = stop_later
"""
    with running(tmp_path / "daemon", patch=f"exec({code!r}, {{}})") as first:
        with first.client() as client:
            pipe = client.open(str(tmp_path / "guest.log")).write_end
        os.write(pipe, b"before\n")
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(60) == 0
    assert (tmp_path / "guest.log").read_text() == "before\n"
    assert "closed by hand" not in own_log(first)
    os.close(pipe)


@pytest.mark.lengthy
def test_a_thread_that_does_not_end(tmp_path: Path) -> None:
    """Whatever it is: once all is written, nobody waits for it for long."""
    with running(tmp_path / "daemon", patch=f"exec({_NO_END!r}, {{}})") as first:
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(60) == 0
    assert "the thread 'for ever' does not end" in own_log(first)


@pytest.mark.lengthy
def test_a_daemon_that_was_killed_gives_way(guest: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """It cannot close anything any more; its sockets take connections as long as it is there."""
    with daemon(tmp_path, _LANE, guest, -signal.SIGKILL) as first:
        first.process.kill()
        wait_for_end(guest, first.process.pid)
        assert listens(first.socket) == first.process.pid
        with (
            running(
                tmp_path / "daemon",
                wait=lambda process: until(lambda: listens(first.socket) == process.pid),
            ) as second,
            second.client() as client_of_second,
        ):
            assert client_of_second.info().pid == second.process.pid
            assert f"the socket of process {first.process.pid}, which waits" in own_log(second)


@pytest.mark.lengthy
def test_twistd_s_pid_file(guest: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """It names a process that was killed, or one that was told to end."""
    file = tmp_path / "twistd.pid"
    processes = []
    for number in (signal.SIGKILL, signal.SIGTERM):
        # (a second one after the first, whose file is in its way)
        process = _twistd(tmp_path, file)
        processes.append(process)
        process.send_signal(number)
        wait_for_end(guest, process.pid)
        assert file.exists() is (number is signal.SIGKILL)
    guest.kill()
    assert [process.wait(60) for process in processes] == [-signal.SIGKILL, 0]


def _twistd(directory: Path, pid_file: Path) -> subprocess.Popen[bytes]:
    """Start a daemon by twistd, with a thread that hangs, and wait until it has its pid file."""
    patch = hanging_in(directory / "fifo", _LANE)
    code = f"import sys; {patch}; from twisted.scripts.twistd import run; sys.exit(run())"
    config = directory / "virtlogd.conf"
    config.write_text("\n".join(state_dir(directory)))
    options = ["--libvirt=none", "--admin=none", f"--jsonrpc={directory}/sock"]
    options += ["--config", str(config)]
    process = subprocess.Popen(
        [sys.executable, "-c", code, "-n", f"--pidfile={pid_file}", "virtlogd", *options],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stderr=subprocess.DEVNULL,
    )

    def runs() -> bool:
        assert process.poll() is None
        return listens(f"{directory}/sock") == process.pid

    until(runs)
    with BlockingClient(f"{directory}/sock") as client:
        client.info()
    assert pid_file.read_text() == str(process.pid)
    return process
