"""Upgrades and downgrades between this release and an older one, both as they are.

They need the older one's sources, in the directory that $OLD_RELEASE names, as made by
``git archive ca00403 | tar x -C DIRECTORY``; without it they are skipped. What the older one makes
and reads is also in tests/vectors, see test_older_state.py.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from harness.daemon import CHECKOUT
from harness.service_manager import ServiceManager
from tests.systemd.conftest import StartManager
from tests.systemd.writers import Guest
from twisted_virtlog.client import BlockingClient, Domain, RemoteError

OLD_RELEASE = os.environ.get("OLD_RELEASE")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(OLD_RELEASE is None, reason="$OLD_RELEASE names no older release"),
    pytest.mark.skipif(sys.version_info < (3, 11), reason="Python has no PYTHONSAFEPATH"),
]

SECONDS = 60.0

#: The older one's name first, as twisted_virtlog.daemon is a module there and starts nothing.
_COMMAND = """
try:
    from twisted_virtlog.cli.main import main
except ImportError:
    from twisted_virtlog.daemon.command.main import main
raise SystemExit(main())
"""

#: The journal is a file too, and must fit.
LIMIT = 100_000
GUEST = Domain("c7a5fdbd-edaf-9455-926a-d65c16db1809", "web")


class Host:
    """A host on which one release or the other is installed.

    :ivar log: the path of a log.
    """

    def __init__(self, directory: Path, start: StartManager) -> None:
        self.directory = directory
        self.log = str(directory / "guest.log")
        self.manager: ServiceManager = start('on_write_error = "block"')
        # As the installed command, which knows where its release begins.
        self.manager.command[1:3] = ["-c", _COMMAND]
        # (the daemon's own directory would come first, which may be a checkout)
        self.manager.environment["PYTHONSAFEPATH"] = "1"
        self.manager.environment["PYTHONPATH"] = str(directory / "release")
        for name in ("virtlogd.socket", "virtlogd-admin.socket", "virtlogd-jsonrpc.socket"):
            self.manager.listen(name, directory / name)

    def install(self, older: bool) -> None:
        """Install this release or the older one; what runs goes on."""
        link = self.directory / "release"
        link.unlink(missing_ok=True)
        link.symlink_to(str(OLD_RELEASE) if older else CHECKOUT)

    def client(self) -> BlockingClient:
        return BlockingClient(str(self.directory / "virtlogd-jsonrpc.socket"), SECONDS)

    def is_older(self) -> bool:
        """Return which one runs."""
        with self.client() as client:
            return "log.close" not in {one["name"] for one in client.discover()["methods"]}

    def restart(self, older: bool) -> None:
        """Kill the daemon and start the other release."""
        self.install(older)
        self.manager.kill()
        self.manager.start()
        assert self.is_older() == older

    def former(self) -> list[int]:
        """Open a log, fill its file, and let guests follow one another; return the write ends."""
        with self.client() as client:
            first = client.open(self.log, "qemu", GUEST).write_end
            resource.prlimit(self.manager.pid, resource.RLIMIT_FSIZE, (LIMIT, -1))
            os.write(first, b"1" * (LIMIT + 50_000))
            with pytest.raises(RemoteError, match="File too large"):
                client.position(self.log)
            os.close(first)
            second = client.open(self.log, "qemu", GUEST).write_end
            os.write(second, b"2" * 20_000)
            third = client.open(self.log, "qemu", GUEST).write_end
            os.write(third, b"3" * 20_000)
            return [second, third]

    def text(self) -> bytes:
        return Path(self.log).read_bytes()


@pytest.fixture
def host(tmp_path: Path, supervised: StartManager) -> Host:
    return Host(tmp_path, supervised)


@contextmanager
def written(host: Host) -> Iterator[None]:
    """Let a guest write meanwhile; all of it must be there in the end."""
    with host.client() as client:
        guest = Guest(client.open(host.log, "qemu", GUEST).write_end, Path(host.log), 0.001)
    yield
    guest.stop()
    with host.client() as client, suppress(RemoteError):
        while client.position(host.log):
            pass
    assert guest.wrong(32) == ""


def test_hand_overs_between_releases(host: Host) -> None:
    """Up, down and up again: the guest, the counters and the client that asks go on."""
    host.install(older=True)
    host.manager.start()
    with written(host), host.client() as client:
        before = client.info()
        for older in (False, True, False):
            assert host.is_older() != older
            host.install(older)
            assert client.reexec(None, 1 if older else None)
            assert host.is_older() == older
            assert client.info().started_at == before.started_at
            assert client.info().counts["opened_logs"] == 1
            (log,) = client.list()
            assert (log.path, log.domain) == (host.log, GUEST)
            assert client.position(host.log).inode == os.stat(host.log).st_ino


def test_kills_between_releases(host: Host) -> None:
    """The other release finds the journal and the pipes."""
    host.install(older=True)
    host.manager.start()
    with written(host):
        for older in (False, True, False):
            host.restart(older)
            with host.client() as client:
                (log,) = client.list()
                assert (log.path, log.domain) == (host.log, GUEST)


def test_several_pipes_of_a_log_do_not_go_over_to_a_release_that_knows_one(host: Host) -> None:
    """It is refused with the reason, and nothing is lost; they do go over to this release."""
    host.install(older=False)
    host.manager.start()
    write_ends = host.former()
    host.install(older=True)
    with host.client() as client:
        with pytest.raises(RemoteError, match="version 2, made by a newer release") as caught:
            client.reexec()
        assert caught.value.code == 1007
        with pytest.raises(RemoteError, match="version 1 cannot say all") as caught:
            client.reexec(None, 1)
        assert caught.value.code == 1007
        host.install(older=False)
        assert client.reexec()
        resource.prlimit(host.manager.pid, resource.RLIMIT_FSIZE, (-1, -1))
        while True:
            with suppress(RemoteError):
                client.position(host.log)
                break
        host.install(older=True)
        assert client.reexec(None, 1)
    assert host.is_older()
    assert host.text() == b"1" * (LIMIT + 50_000) + b"2" * 20_000 + b"3" * 20_000
    for write_end in write_ends:
        os.close(write_end)


def test_a_restart_into_a_release_that_knows_one_pipe_of_a_log_loses_nothing(host: Host) -> None:
    """It serves each as a log of its own, under another spelling of its path."""
    host.install(older=False)
    host.manager.start()
    write_ends = host.former()
    host.restart(older=True)
    for write_end in write_ends:
        os.close(write_end)
    with host.client() as client:
        while client.list():
            pass
    # (their order is that release's affair)
    text = host.text()
    assert (len(text), text.count(b"1"), text.count(b"2")) == (190_000, 150_000, 20_000)


def test_the_older_release_ends_at_a_socket_that_it_does_not_know(host: Host) -> None:
    """So its unit is removed before; the pipes wait in the store meanwhile."""
    host.install(older=False)
    host.manager.start()
    with host.client() as client:
        write_end = client.open(host.log, "qemu", GUEST).write_end
    os.write(write_end, b"still there")
    host.manager.kill()
    host.manager.listen("virtlogd-jsonrpc-ro.socket", host.directory / "read-only")
    host.install(older=True)
    host.manager.start(wait=False)
    assert host.manager.wait() != 0
    assert "virtlogd-jsonrpc-ro.socket" in host.manager.log.read_text()
    _, unknown = host.manager.sockets.pop()
    unknown.close()
    host.manager.start()
    os.close(write_end)
    with host.client() as client:
        while client.list():
            pass
    assert host.text() == b"still there"
