"""A real daemon whose logs are confined to directories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.daemon.conftest import StartDaemon
from tests.daemon.test_reload import Configured
from twisted_virtlog.client import RemoteError


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
