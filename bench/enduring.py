"""A daemon that is killed and hands over; a stand-in for systemd keeps what it stores."""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.ledger import Mistake
from harness.daemon import CHECKOUT
from harness.service_manager import ServiceManager
from twisted_virtlog.client import BlockingClient

#: The name of the file that its settings are in.
CONFIG = "virtlogd.conf"

CLIENT_SECONDS = 60.0
PROBE_SECONDS = 0.005

_START = "import sys; {patch}from twisted_virtlog.daemon.command.main import main; sys.exit(main())"


@contextmanager
def managed(directory: Path, settings: Sequence[str], patch: str = "") -> Iterator[ServiceManager]:
    """Have what starts a daemon, and ends it.

    :param settings: lines of its configuration file.
    :param patch: Python code to run before it starts, with a semicolon at its end.
    """
    directory.mkdir(exist_ok=True)
    configure(directory, settings)
    start = _START.format(patch=patch)
    config = str(directory / CONFIG)
    command = [sys.executable, "-c", start, "-f", config, "-p", str(directory / "pid")]
    manager = ServiceManager(directory, command)
    manager.environment = {"PYTHONPATH": str(CHECKOUT), "FDSTORE": "100", "HOME": str(directory)}
    try:
        yield manager
    finally:
        manager.close()


def configure(directory: Path, settings: Sequence[str]) -> None:
    """Write the configuration file."""
    lines = [*settings, f'state_dir = "{directory / "state"}"', "# end"]
    (directory / CONFIG).write_text("\n".join(lines) + "\n")


class Endured:
    """One daemon, from its start on.

    :ivar present: what happens now, for people.
    """

    def __init__(self, directory: Path, seed: str, manager: ServiceManager) -> None:
        self._directory = directory
        self._chance = random.Random(seed)
        self._manager = manager
        for name in ("virtlogd", "virtlogd-admin", "virtlogd-jsonrpc"):
            manager.listen(f"{name}.socket", directory / name)
        manager.start()
        self.present = ""

    def kill(self) -> None:
        """The daemon is killed, and started again with what was stored; now and then twice."""
        self._end()
        if self._chance.random() < 0.1:
            self._manager.start(wait=False)
            time.sleep(self._chance.uniform(0, 0.4))
            self._end()
        self._manager.start()

    def _end(self) -> None:
        """Kill the daemon; what it has said before counts, as for systemd."""
        self._manager.kill()
        self._manager.settle()

    def hand_over(self) -> None:
        """The daemon executes itself."""
        before = self._image()
        os.kill(self._manager.pid, signal.SIGUSR1)
        deadline = time.monotonic() + CLIENT_SECONDS
        while self._image() == before:
            if time.monotonic() > deadline:
                raise Mistake("the daemon did not hand over")
            self._meanwhile()
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(self._manager.pid, resource.RLIMIT_FSIZE, unlimited)

    def _meanwhile(self) -> None:
        """Do something for a moment while the daemon hands over."""
        time.sleep(PROBE_SECONDS)

    def _image(self) -> bytes:
        # Where the kernel put the program is another place each time.
        return Path(f"/proc/{self._manager.pid}/auxv").read_bytes()

    @property
    def _socket(self) -> str:
        return str(self._directory / "virtlogd-jsonrpc")

    @contextmanager
    def _client(self) -> Iterator[BlockingClient]:
        with BlockingClient(self._socket, CLIENT_SECONDS) as client:
            yield client
