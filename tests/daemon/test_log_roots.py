"""A real daemon whose logs are confined to directories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.daemon.conftest import StartDaemon
from tests.daemon.followers import SECONDS, Told
from tests.daemon.test_handover import until
from tests.daemon.test_read_only import READ_ONLY, read_only
from tests.daemon.test_reload import Configured
from twisted_virtlog.client import RemoteError
from twisted_virtlog.client.feed import Feed


def test_logs_are_below_roots_and_those_that_are_open_go_on(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """What is refused says below what it would have to be."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "tenant").mkdir(parents=True)
    outside.mkdir()
    daemon = start_daemon()
    with daemon.client() as client:
        old = client.open(str(outside / "old.log"))
        Configured(daemon, client).read(f'log_roots = ["{root}"]')
        os.write(old.write_end, b"goes on\n")
        assert client.read(str(outside / "old.log")).data == b"goes on\n"
        with pytest.raises(RemoteError, match="not below log_roots") as caught:
            client.open(str(outside / "new.log"))
        assert caught.value.code == 1011
        assert caught.value.data == {"path": str(outside / "new.log"), "roots": [str(root)]}
        (root / "link").symlink_to(outside)
        with pytest.raises(RemoteError, match="symbolic link") as caught:
            client.open(str(root / "link" / "new.log"))
        assert caught.value.code == 1011
        assert caught.value.data["roots"] == [str(root)]
        new = client.open(str(root / "tenant" / "new.log"))
        os.write(new.write_end, b"below\n")
        assert client.read(str(root / "tenant" / "new.log")).data == b"below\n"
        os.close(old.write_end)
        os.close(new.write_end)
    assert os.listdir(outside) == ["old.log"]


def test_what_may_not_be_read_is_not_named(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """To those on the read-only socket, in lists of open and closed logs and in what happens."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    daemon = start_daemon(READ_ONLY)
    with daemon.client() as client, read_only(daemon) as reader:
        os.close(client.open(str(outside / "closed.log")).write_end)
        hidden = client.open(str(outside / "old.log")).write_end
        shown = client.open(str(root / "new.log")).write_end
        assert len(reader.list(closed=True)) == 3
        Configured(daemon, client).read(f'log_roots = ["{root}"]', READ_ONLY)
        assert [one.path for one in reader.list(closed=True)] == [str(root / "new.log")]
        assert len(client.list()) == 2
        with Feed(f"{daemon.socket}-ro", SECONDS) as following:
            told = Told(following)
            following.watch()
            os.close(hidden)
            until(lambda: len(client.list()) == 1)
            os.close(shown)
            told.until(lambda: bool(told.logs))
        assert [(one.kind, one.log.path) for one in told.logs] == [
            ("closed", str(root / "new.log"))
        ]
