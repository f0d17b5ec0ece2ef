"""What people do with virtlogctl to see logs: tail, wait, boots, list --closed and read --boot."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.daemon import CHECKOUT, Daemon
from tests.daemon.conftest import StartDaemon
from twisted_virtlog.client import Domain

_SECONDS = 60.0
_GUEST = Domain("c7a5fdbd-edaf-9455-926a-d65c16db1809", "web")
_OTHER = Domain("11111111-2222-3333-4444-555555555555", "db")


class Ctl:
    """virtlogctl, for one daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon

    def run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end."""
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=_SECONDS)
            return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    @contextmanager
    def start(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command inside the context."""
        with subprocess.Popen(
            [sys.executable, "-m", "twisted_virtlog.ctl", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={
                **os.environ,
                "VIRTLOGCTL_SOCKET": self.daemon.socket,
                "PYTHONPATH": str(CHECKOUT),
            },
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def json(self, *arguments: str) -> list[dict[str, object]]:
        """Run a command, and return its objects."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def ctl(daemon: Daemon) -> Ctl:
    """Return virtlogctl."""
    return Ctl(daemon)


def _read(process: subprocess.Popen[bytes], until: bytes) -> bytes:
    """Read what a process prints until something has come."""
    assert process.stdout is not None
    found = b""
    while until not in found:
        data = process.stdout.read(65536)
        assert data, found
        found += data
    return found


def _follows(ctl: Ctl, path: str, count: int = 1) -> None:
    """Wait until so many follow a log that is open."""
    with ctl.daemon.client() as client:
        while not any(log.path == path and log.followers == count for log in client.list()):
            pass


@pytest.mark.in_common
def test_the_last_lines(ctl: Ctl, tmp_path: Path) -> None:
    """As many as are wanted, of one log as its bytes are, of several with their names."""
    one, other = str(tmp_path / "a.log"), str(tmp_path / "b.log")
    with ctl.daemon.client() as client:
        client.append(one, "".join(f"{number}\n" for number in range(20_000)))
        client.append(other, "x\ny\nprompt")
    assert ctl.run("tail", one).stdout.split() == [b"%d" % n for n in range(19_990, 20_000)]
    assert ctl.run("tail", "-n", "2", other).stdout == b"y\nprompt"
    assert ctl.run("tail", "-n", "0", other).stdout == b""
    many = ctl.run("tail", "-n", "15000", one).stdout
    assert many == b"".join(b"%d\n" % n for n in range(5000, 20_000))
    assert ctl.run("tail", "-n", "1", one, other).stdout == b"a.log | 19999\nb.log | prompt"
    done = ctl.run("tail", str(tmp_path / "none.log"))
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"no file of the log" in done.stderr


def test_what_comes_is_printed_over_hand_overs_and_kills(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """Each byte once, to the end of the log."""
    daemon = start_daemon("max_size = 4194304")
    ctl = Ctl(daemon)
    path = str(tmp_path / "a.log")
    with daemon.client() as client:
        pipe = client.open(path).write_end
    with ctl.start("tail", "-f", "--until-closed", path) as process:
        _follows(ctl, path)
        written = b""
        for number in range(5):
            data = b"".join(b"%d %d\n" % (number, line) for line in range(5000))
            os.write(pipe, data)
            written += data
            os.kill(daemon.process.pid, signal.SIGUSR1)
        os.close(pipe)
        out, err = process.communicate(timeout=_SECONDS)
    assert (out, err, process.returncode) == (written, b"", 0)


@pytest.mark.lengthy
def test_logs_that_are_opened_later_are_followed(ctl: Ctl, tmp_path: Path) -> None:
    """If their guests' names match."""
    paths = [str(tmp_path / name) for name in ("a.log", "b.log", "c.log")]
    with ctl.daemon.client() as client:
        first = client.open(paths[0], "qemu", _GUEST).write_end
        with ctl.start("tail", "-f", "--domain", "w*") as process:
            _follows(ctl, paths[0])
            os.write(first, b"one\n")
            assert _read(process, b"one\n") == b"a.log | one\n"
            other = client.open(paths[1], "qemu", _OTHER).write_end
            os.write(other, b"not this\n")
            second = client.open(paths[2], "qemu", _GUEST).write_end
            os.write(second, b"two\n")
            assert _read(process, b"two\n") == b"c.log | two\n"
        for pipe in (first, other, second):
            os.close(pipe)


@pytest.mark.in_common
def test_wait_finds_a_line(ctl: Ctl, tmp_path: Path) -> None:
    """From before the log is there, and in pieces; what is unwanted ends it with another status."""
    path = str(tmp_path / "a.log")
    with (
        ctl.start("wait", path, "--for", "^login: $") as wanted,
        ctl.start("wait", path, "--for", "never", "--not", "[Pp]anic") as unwanted,
    ):
        with ctl.daemon.client() as client:
            pipe = client.open(path).write_end
            _follows(ctl, path, 2)
        for data in (b"boot\nlog", b"in: "):
            os.write(pipe, data)
        assert wanted.communicate(timeout=_SECONDS)[0] == b"login: \n"
        os.write(pipe, b"\nKernel panic - not syncing\nmore\n")
        assert unwanted.communicate(timeout=_SECONDS)[0] == b"Kernel panic - not syncing\n"
        assert (wanted.returncode, unwanted.returncode) == (0, 1)
    os.close(pipe)


@pytest.mark.in_common
def test_wait_goes_on_from_a_position(ctl: Ctl, tmp_path: Path) -> None:
    """Nothing is missed of what came since then; the end is where to wait for more."""
    path = str(tmp_path / "a.log")
    with ctl.daemon.client() as client:
        start = client.append(path, "old ready\n")
        client.append(path, "now ready\nand more\n")
    where = f"{start.inode}:{start.offset}:{start.birth}"
    (found,) = ctl.json("wait", path, "--for", "ready", "--from", where)
    assert found["line"] == "now ready"
    end = found["end"]
    assert isinstance(end, dict)
    where = f"{end['inode']}:{end['offset']}:{end['birth']}"
    assert ctl.run("wait", path, "--for", ".+", "--from", where).stdout == b"and more\n"


@pytest.mark.in_common
def test_wait_gives_up(ctl: Ctl, tmp_path: Path) -> None:
    """After the time that was given, or if the command line is wrong."""
    path = str(tmp_path / "a.log")
    done = ctl.run("wait", path, "--for", "x", "--timeout", "0.2")
    assert (done.returncode, done.stdout) == (124, b"")
    assert b"within 0.2 seconds" in done.stderr
    done = ctl.run("wait", path, "--for", "(")
    assert done.returncode == 2
    assert b"(" in done.stderr
    assert ctl.run("wait", path, "--for", "x", "--from", "then").returncode == 2


@pytest.mark.lengthy
def test_boots(ctl: Ctl, tmp_path: Path) -> None:
    """Each opening can be read by itself; closed logs are listed."""
    path = str(tmp_path / "a.log")
    with ctl.daemon.client() as client:
        for number in range(3):
            os.close(_printed(client.open(path, "qemu", _GUEST).write_end, b"boot %d\n" % number))
            while client.list():
                pass
    boots = ctl.json("boots", path)[0]
    assert isinstance(boots, list)
    assert [boot["number"] for boot in boots] == [-2, -1, 0]
    assert all(boot["closed_at"] for boot in boots)
    for number, text in ((0, b"boot 2\n"), (-1, b"boot 1\n"), (1, b"boot 0\n")):
        assert ctl.run("read", path, "--boot", str(number)).stdout == text
        assert ctl.run("tail", path, "--boot", str(number)).stdout == text
    assert ctl.run("read", path, "--boot", "7").returncode == 1
    table = ctl.run("list", "--closed").stdout.decode()
    assert "closed" in table
    assert path in table
    assert ctl.run("list").stdout.count(b"\n") == 1


def _printed(pipe: int, data: bytes) -> int:
    os.write(pipe, data)
    return pipe
