"""The socket of clients that only read: who gets in, what is served, and which logs."""

from __future__ import annotations

import grp
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.daemon import Daemon
from twisted_virtlog.client import BlockingClient, RemoteError


@pytest.fixture
def daemon(start_daemon: Callable[..., Daemon]) -> Daemon:
    """A daemon with a read-only socket for the group of this process."""
    return start_daemon(f'jsonrpc_ro_group = "{grp.getgrgid(os.getegid()).gr_name}"')


def refused(call: Callable[[], object]) -> int:
    """Return the code with which a call is refused."""
    with pytest.raises(RemoteError) as caught:
        call()
    return caught.value.code


def test_the_group_reads_what_the_daemon_knows(daemon: Daemon, tmp_path: Path) -> None:
    """Logs that are open or were, also after a hand-over; no other file, and nothing is changed."""
    path = f"{daemon.socket}-ro"
    status = os.stat(path)
    assert stat.S_IMODE(status.st_mode) == 0o660
    assert status.st_gid == os.getegid()
    log, other = str(tmp_path / "guest.log"), tmp_path / "secret"
    other.write_text("secret")
    link = tmp_path / "link.log"
    with daemon.client() as client, BlockingClient(path) as reader:
        assert refused(lambda: reader.read(log)) == 1011
        opened = client.open(log)
        os.write(opened.write_end, b"hello")
        assert reader.position(log).offset == 5
        assert [one.path for one in reader.list()] == [log]
        os.close(opened.write_end)
        while client.list():
            pass
        assert client.reexec()
        assert reader.read(log).data == b"hello"
        assert refused(lambda: reader.read(str(other))) == 1011
        link.symlink_to(other)
        assert refused(lambda: reader.read(str(link))) == 1011
        assert refused(lambda: reader.append(log, "x")) == 1012
        assert refused(lambda: reader.open(log)) == 1012
        assert refused(lambda: reader.close_log(log)) == 1012
        assert refused(reader.reexec) == 1012
        assert reader.info().counts["known_logs"] == 1
