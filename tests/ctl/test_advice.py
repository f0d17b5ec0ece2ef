"""Where no daemon answers, the advice is one that works; one that is coming is waited for."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.client.fake_daemon import running_daemon
from twisted_virtlog.client import BlockingClient, Unreachable
from twisted_virtlog.client.usual_socket import own_socket
from twisted_virtlog.ctl import advice as advice_module
from twisted_virtlog.ctl import presence
from twisted_virtlog.ctl.advice import advice

NOBODY = Unreachable("/run/sock", "No such file or directory", errno.ENOENT)

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return a function that installs commands beside virtlogctl, on the PATH or not."""
    own, other = tmp_path / "own bin", tmp_path / "other"
    for folder in (own, other):
        folder.mkdir()
    monkeypatch.setattr(sys, "executable", str(own / "python"))
    monkeypatch.setattr(sys, "argv", [str(own / "virtlogctl")])
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    def install(*names: str, on_path: bool, foreign: tuple[str, ...] = ()) -> None:
        for folder, commands in ((own, names), (other, foreign)):
            for name in commands:
                (folder / name).touch(0o755)
        monkeypatch.setenv("PATH", f"{other}:{own}" if on_path else str(other))

    return install


def test_a_command_that_is_on_the_path_is_named_shortly(install: Install) -> None:
    """It stays in the terminal and leaves no pid file behind."""
    install("twistd", "twisted-virtlogd", on_path=True)
    short = "To start a daemon there: twistd -n --pidfile= virtlogd"
    assert advice(own_socket(), NOBODY) == short
    assert advice("/x/a b:c", NOBODY) == f"{short} --jsonrpc '/x/a b\\:c'"


def test_a_command_that_is_not_on_the_path_is_named_by_its_own(
    install: Install, tmp_path: Path
) -> None:
    """Neither is another installation's taken for it."""
    install("twistd", "twisted-virtlogd", on_path=False, foreign=("twistd",))
    own = f"To start a daemon there: '{tmp_path}/own bin/"
    assert advice(own_socket(), NOBODY) == f"{own}twisted-virtlogd'"
    assert advice("/x/sock", NOBODY) == f"{own}twistd' -n --pidfile= virtlogd --jsonrpc /x/sock"


def test_nothing_is_advised_that_is_not_installed(install: Install) -> None:
    """A command that is not there helps nobody."""
    install("twisted-virtlogd", on_path=True)
    assert advice(own_socket(), NOBODY).endswith(": twisted-virtlogd")
    assert advice("/x/sock", NOBODY) == ""


def test_the_units_are_named_where_they_are_installed(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root on a host with systemd starts the service, not a daemon beside it."""
    install("twistd", on_path=True)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(advice_module, "_SYSTEMD_RUNS", str(tmp_path))
    monkeypatch.setattr(advice_module, "_UNIT_DIRECTORIES", (str(tmp_path / "units"),))
    monkeypatch.setattr(advice_module, "listened_on", lambda _path: False)
    assert "twistd" in advice(own_socket(), NOBODY)
    (tmp_path / "units").mkdir()
    (tmp_path / "units" / "virtlogd-jsonrpc.socket").touch()
    assert advice(own_socket(), NOBODY).endswith(": systemctl start virtlogd-jsonrpc.socket")
    assert "twistd" in advice("/x/sock", NOBODY)


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENAMETOOLONG, errno.ENOTDIR, None])
def test_where_somebody_listens_nobody_is_told_to_start_another(
    install: Install, number: int | None
) -> None:
    """A daemon that is busy needs no second one."""
    install("twistd", on_path=True)
    assert advice("/x/sock", Unreachable("/x/sock", "so", number)) == ""
    assert "root" in advice("/x/sock", Unreachable("/x/sock", "so", errno.EACCES))


def test_a_daemon_without_jsonrpc_is_named(install: Install, tmp_path: Path) -> None:
    """Beside libvirt's virtlogd no second daemon can serve the guests."""
    install("twistd", on_path=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "virtlogd-sock"))
        assert "twistd" in advice(str(tmp_path / "sock"), NOBODY)
        listener.listen()
        text = advice(str(tmp_path / "sock"), NOBODY)
    assert text.startswith(f"A daemon serves {tmp_path}/virtlogd-sock: either it is libvirt's own")


def test_sockets_are_told_apart_by_who_listens(tmp_path: Path) -> None:
    """A file that nobody listens on is no daemon; a link to the folder is the same folder."""
    (tmp_path / "a b").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a b")
    path = tmp_path / "a b" / "virtlogd-sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert not presence.listened_on(str(path))
        listener.listen()
        assert presence.listened_on(str(path))
        assert presence.listened_on(str(tmp_path / "link" / "virtlogd-sock"))
        assert not presence.listened_on(str(tmp_path / "virtlogd-sock"))
    assert path.exists()
    assert not presence.listened_on(str(path))


def test_a_daemon_that_is_coming_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just after virtlogd has handed over, the socket for commands is not there yet."""
    pauses: list[float] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "virtlogd-sock"))
        listener.listen()
        daemons = running_daemon(tmp_path)

        def wait(pause: float) -> None:
            pauses.append(pause)
            if len(pauses) == 3:
                daemons.__enter__()

        monkeypatch.setattr(presence.time, "sleep", wait)
        with presence.connect(str(tmp_path / "sock"), 30, BlockingClient) as client:
            assert client.info().pid == 42
        daemons.__exit__(None, None, None)
        os.unlink(tmp_path / "sock")
        with pytest.raises(Unreachable):
            presence.connect(str(tmp_path / "sock"), 0.001, BlockingClient)
    pauses.clear()
    with pytest.raises(Unreachable):
        presence.connect(str(tmp_path / "sock"), None, BlockingClient)
    assert pauses == []
