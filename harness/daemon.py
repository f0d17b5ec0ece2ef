"""Starts a daemon of its own in a directory, as a user would, and stops it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from twisted_virtlog.client import BlockingClient, ClientError

#: This code is what runs, whatever is installed.
CHECKOUT = Path(__file__).parents[1]

_START_SECONDS = 60.0
_STOP_SECONDS = 60.0

#: Runs twistd in this interpreter, after code that changes the daemon for a test.
_TWISTD = "import sys; from twisted.scripts.twistd import run; {patch}; sys.exit(run())"

#: The daemon with its promise taken away.
NO_DRAIN = (
    "from twisted_virtlog.logs.open_log import OpenLog;"
    " OpenLog.position = lambda self: self.writer.position()"
)


#: Whether each file system is to have a thread of its own, in all daemons that tests start.
_FILE_THREADS = "TWISTED_VIRTLOG_TEST_FILE_THREADS"


def file_threads(settings: Sequence[str] = ()) -> list[str]:
    """Return a line of the configuration about threads of file systems, if tests run with such.

    :param settings: other lines, one of which may say something else.
    """
    value = os.environ.get(_FILE_THREADS)
    if not value or any(line.startswith("file_threads") for line in settings):
        return []
    return [f'file_threads = "{value}"']


def state_dir(directory: Path, settings: Sequence[str] = ()) -> list[str]:
    """Return a line of the configuration, so that a daemon keeps nothing where the system's does.

    :param directory: of the daemon.
    :param settings: other lines, one of which may say something else.
    """
    if any(line.startswith("state_dir") for line in settings):
        return []
    return [f'state_dir = "{directory / "state"}"']


@dataclass(frozen=True)
class Daemon:
    """A daemon that answers.

    :ivar socket: the path of its JSON-RPC socket.
    :ivar libvirt_socket: the path of its socket for libvirt's drivers.
    """

    process: subprocess.Popen[bytes]
    socket: str
    libvirt_socket: str
    admin_socket: str

    def client(self, timeout: float = 60.0) -> BlockingClient:
        """Connect to it."""
        return BlockingClient(self.socket, timeout)


@contextlib.contextmanager
def running(
    directory: Path,
    settings: Sequence[str] = (),
    patch: str = "pass",
    options: Sequence[str] = (),
    wait: Callable[[subprocess.Popen[bytes]], None] = lambda _: None,
) -> Iterator[Daemon]:
    """Run a daemon with its socket, its configuration and its own log below a directory.

    :param settings: lines of the configuration file.
    :param patch: Python code to run before it starts.
    :param options: more options of the plugin.
    :param wait: is called with the process right after its start.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "virtlogd.conf"
    lines = [*settings, *file_threads(settings), *state_dir(directory, settings), "# end"]
    config.write_text("\n".join(lines) + "\n")
    socket = directory / "jsonrpc-sock"
    command = [sys.executable, "-c", _TWISTD.format(patch=patch)]
    command += ["--pidfile=", "-n", "virtlogd", "--config", str(config)]
    libvirt_socket = directory / "virtlogd-sock"
    admin_socket = directory / "virtlogd-admin-sock"
    command += ["--jsonrpc", f"unix:{socket}:mode=600"]
    command += ["--libvirt", f"unix:{libvirt_socket}:mode=700"]
    command += ["--admin", f"unix:{admin_socket}:mode=700", *options]
    with (directory / "daemon.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        )
    try:
        wait(process)
        wait_until_it_answers(process, socket, directory / "daemon.log")
        yield Daemon(process, str(socket), str(libvirt_socket), str(admin_socket))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def wait_until_it_answers(process: subprocess.Popen[bytes], socket: Path, log: Path) -> None:
    """Ask until there is an answer; a daemon that has ended will not give one."""
    ended = os.pidfd_open(process.pid)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                with BlockingClient(str(socket), _START_SECONDS) as client:
                    client.info()
                return
            except ClientError:
                if select.select([ended], [], [], 0.01)[0]:
                    raise RuntimeError(f"the daemon ended: {log.read_text()}") from None
                if time.monotonic() > deadline:
                    raise
    finally:
        os.close(ended)
