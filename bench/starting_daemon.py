"""Measures how long the daemon takes to start, and its memory then, beside a twistd with nothing.

    python -m bench.starting_daemon
    python -m bench.starting_daemon --rounds 51 --beside ../before

All are started in turn, on one processor: by twistd, by the command twisted-virtlogd, and twistd
with a plugin that imports msgspec and pybase64 and listens. A figure is of a process from its start
until its first answer; the processor's time says more than the clock's where others have some work.
Where it runs as root, the command has a /run of its own, in a mount namespace.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.daemons import Target
from bench.figures import MIB
from harness.daemon import CHECKOUT

_PLUGIN = """\
from twisted.application.service import ServiceMaker
empty = ServiceMaker("empty", "empty_plugin_service", "Does nothing.", "empty")
"""
_SERVICE = """\
import msgspec, pybase64
from twisted.application.service import Service
from twisted.internet.protocol import Factory, Protocol
from twisted.python import usage

class Options(usage.Options):
    pass

class Answering(Protocol):
    def dataReceived(self, data):
        self.transport.write(b"{}")

class Empty(Service):
    def startService(self):
        from twisted.internet import reactor
        reactor.listenUNIX("jsonrpc-sock", Factory.forProtocol(Answering))

def makeService(options):
    return Empty()
"""

_TWISTD = "import sys; from twisted.scripts.twistd import run; sys.exit(run())"
_COMMAND = "import sys; from twisted_virtlog.daemon.command.main import main; main()"
_OWN_RUN = 'mount --bind "$1" /run && shift && exec "$@"'

_REQUEST = b'{"jsonrpc":"2.0","id":1,"method":"log.position","params":{"path":"/none"}}\n'
_PROBE_SECONDS = 0.001
_START_SECONDS = 60.0
#: What threads do beside the first answer is done by then.
_SETTLED_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Way:
    """A way of starting a process.

    :ivar command: started in a directory of its own.
    :ivar path: where its modules are.
    :ivar socket: what it answers at, in that directory.
    """

    name: str
    command: tuple[str, ...]
    path: Path
    socket: str = "jsonrpc-sock"


@dataclass(frozen=True, slots=True)
class Start:
    """What a start took.

    :ivar wall: seconds until the first answer.
    :ivar processor: seconds of a processor until then.
    :ivar memory: bytes that are resident a moment later.
    """

    wall: float
    processor: float
    memory: int


def ways_of(checkout: Path, name: str) -> list[Way]:
    """Return how the daemon of a checkout is started."""
    options = ["--jsonrpc", "unix:jsonrpc-sock", "--libvirt", "unix:libvirt-sock"]
    twistd = [sys.executable, "-c", _TWISTD, "--pidfile=", "-n", "virtlogd"]
    twistd += ["--config", "virtlogd.conf", *options, "--admin", "unix:admin-sock"]
    command = [sys.executable, "-c", _COMMAND, "-f", "virtlogd.conf", "-p", ""]
    if os.geteuid() == 0:
        own_run = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _OWN_RUN, "sh"]
        command = [*own_run, ".", *command]
    return [
        Way(f"{name}: twistd", tuple(twistd), checkout),
        Way(f"{name}: command", tuple(command), checkout, "libvirt/virtlogd-jsonrpc-sock"),
    ]


def empty(place: Path) -> Way:
    """Return how twistd is started with a plugin that does nothing.

    :param place: an empty directory.
    """
    plugins = place / "twisted" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "empty_plugin.py").write_text(_PLUGIN)
    (place / "empty_plugin_service.py").write_text(_SERVICE)
    return Way("twistd alone", (sys.executable, "-c", _TWISTD, "--pidfile=", "-n", "empty"), place)


def start(way: Way, place: Path) -> Start:
    """Start a process, wait for its first answer, and end it.

    :param place: an empty directory.
    :raises RuntimeError: it ends, or does not answer.
    """
    (place / "virtlogd.conf").write_text(f'state_dir = "{place}/state"\n')
    with _running(way, place) as (process, began):
        processes = Target(process.pid, "", None, place, 0.0)
        while not _answers(place / way.socket):
            if process.poll() is not None or time.monotonic() > began + _START_SECONDS:
                raise RuntimeError(f"{way.name}: {(place / 'said').read_text()}")
            time.sleep(_PROBE_SECONDS)
        taken = time.monotonic() - began, processes.cpu()
        time.sleep(_SETTLED_SECONDS)
        return Start(*taken, processes.rss())


@contextlib.contextmanager
def _running(way: Way, place: Path) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    processor = min(os.sched_getaffinity(0))
    with (place / "said").open("wb") as said:
        began = time.monotonic()
        process = subprocess.Popen(
            ["taskset", "--cpu-list", str(processor), *way.command],
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env={**os.environ, "PYTHONPATH": str(way.path), "XDG_RUNTIME_DIR": str(place)},
        )
    try:
        yield process, began
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
            client.sendall(_REQUEST)
            return bool(client.recv(1))
        except OSError:
            return False


def measure(ways: Sequence[Way], rounds: int, place: Path) -> dict[str, list[Start]]:
    """Start everything in turn.

    :param place: an empty directory.
    :returns: the starts of each, by its name.
    """
    starts: dict[str, list[Start]] = {way.name: [] for way in ways}
    for number in range(rounds + 1):
        for way in ways:
            directory = place / f"{number} {way.name}"
            directory.mkdir()
            starts[way.name].append(start(way, directory))
    # (the first one of each has compiled modules)
    return {name: found[1:] for name, found in starts.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    :returns: the exit status.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bench.starting_daemon",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--beside", type=Path, help="another checkout to measure in turn")
    options = parser.parse_args(arguments)
    # (so that compiled modules are kept, as of a package that is installed)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        place = Path(name)
        ways = [empty(place / "empty"), *ways_of(CHECKOUT, "this")]
        if options.beside is not None:
            ways += ways_of(options.beside.absolute(), "beside")
        starts = measure(ways, options.rounds, place)
    print(f"{'':18}{'CPU ms':>8}{'fastest':>9}{'wall ms':>9}{'fastest':>9}{'RSS MiB':>9}")
    for one, found in starts.items():
        print(_row(one, found))
    return 0


def _row(name: str, starts: Sequence[Start]) -> str:
    processor = [one.processor * 1e3 for one in starts]
    wall = [one.wall * 1e3 for one in starts]
    memory = median(one.memory for one in starts) / MIB
    return (
        f"{name:18}{median(processor):8.1f}{min(processor):9.1f}"
        f"{median(wall):9.1f}{min(wall):9.1f}{memory:9.2f}"
    )


if __name__ == "__main__":
    sys.exit(main())
