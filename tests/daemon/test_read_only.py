"""The read-only socket: a group may read the logs that the daemon knows, and nothing else."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness.daemon import Daemon
from tests.daemon.conftest import StartDaemon, wait_for_message
from twisted_virtlog.client import BlockingClient, RemoteError

_GROUP = grp.getgrgid(os.getgid()).gr_name
READ_ONLY = f'jsonrpc_ro_group = "{_GROUP}"'

_CONNECT = """
import os, socket, sys
path, user, group = sys.argv[1], *map(int, sys.argv[2:])
os.setgroups([])
os.setgid(group)
os.setuid(user)
with socket.socket(socket.AF_UNIX) as client:
    try:
        client.connect(path)
    except PermissionError:
        sys.exit("refused")
    client.sendall(b'{"jsonrpc":"2.0","id":1,"method":"log.list"}')
    print(client.recv(65536).decode())
"""


def read_only(daemon: Daemon) -> BlockingClient:
    """Connect to the socket beside the other."""
    return BlockingClient(f"{daemon.socket}-ro", 60)


def code_of(client: BlockingClient, call: str, *args: object) -> int:
    """Return the error code of a call that fails."""
    with pytest.raises(RemoteError) as caught:
        getattr(client, call)(*args)
    return caught.value.code


def test_it_serves_known_logs_and_no_other_file(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """Open now, or opened or appended to before; a link into their place changes nothing."""
    daemon = start_daemon(READ_ONLY)
    status = Path(f"{daemon.socket}-ro").stat()
    assert (status.st_mode & 0o777, status.st_gid) == (0o660, os.getgid())
    opened, appended, secret = (str(tmp_path / name) for name in ("open", "appended", "secret"))
    Path(secret).write_text("for root alone")
    with daemon.client() as root, read_only(daemon) as reader:
        write_end = root.open(opened).write_end
        os.write(write_end, b"a guest\n")
        root.append(appended, "a note\n")
        assert reader.position(opened).offset == 8
        assert reader.read(opened).data == b"a guest\n"
        assert reader.read(appended).data == b"a note\n"
        assert [log.path for log in reader.list()] == [opened]
        assert reader.info().counts["known_logs"] == 2
        assert code_of(reader, "position", appended) == 1002
        assert code_of(reader, "read", secret) == 1011
        assert code_of(reader, "position", secret) == 1011
        assert code_of(reader, "read", "/etc/shadow") == 1011
        Path(appended).unlink()
        Path(appended).symlink_to(secret)
        assert code_of(reader, "read", appended) == 1011
        os.close(write_end)
        while root.list():
            """Until the guest is known to be gone."""
        assert reader.read(opened).data == b"a guest\n"
        link = tmp_path / "link"
        link.symlink_to(opened)
        assert reader.read(str(link)).data == b"a guest\n"


def test_it_changes_nothing(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """Whatever changes a log or the daemon is refused by its name."""
    daemon = start_daemon(READ_ONLY)
    log = str(tmp_path / "log")
    with daemon.client() as root, read_only(daemon) as reader:
        root.append(log, "x")
        for call, *args in (
            ("open", log),
            ("append", log, "y"),
            ("close_log", log),
            ("remove", log),
            ("clients",),
            ("disconnect", "jsonrpc", 1),
            ("set_limits", "jsonrpc", 1),
            ("logging",),
            ("set_logging", "debug"),
            ("reexec",),
        ):
            assert code_of(reader, call, *args) == 1012, call
        assert reader.read(log).data == b"x"
        assert reader.discover()["openrpc"]


@pytest.mark.lengthy
def test_it_is_a_server_of_its_own_and_goes_over(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """With limits of its own; the next image has the socket, its clients, and what was known."""
    daemon = start_daemon(READ_ONLY)
    log = str(tmp_path / "log")
    with daemon.client() as root, read_only(daemon) as reader:
        root.append(log, "before")
        root.set_limits("jsonrpc-ro", 7)
        assert root.reexec()
        assert reader.read(log).data == b"before"
        limits = {one.server: (one.max_clients, len(one.clients)) for one in root.clients()}
        assert limits["jsonrpc-ro"] == (7, 1)
        with read_only(daemon) as another:
            assert another.read(log).data == b"before"


@pytest.mark.lengthy
def test_without_a_group_there_is_no_such_socket(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """Nor if the group is unknown, as the own log says; an endpoint without one is refused."""
    assert not Path(f"{start_daemon().socket}-ro").exists()
    daemon = start_daemon('jsonrpc_ro_group = "no-such-group"')
    assert not Path(f"{daemon.socket}-ro").exists()
    wait_for_message(daemon, "no group no-such-group")
    with pytest.raises(RuntimeError, match="names no group"):
        start_daemon(options=["--jsonrpc-ro", str(tmp_path / "ro")])


@pytest.mark.lengthy
def test_all_else_is_served_where_it_cannot_be_made(start_daemon: StartDaemon) -> None:
    """As under the unit, where the daemon must not give a file away; nothing is left behind."""
    patch = "import os; os.chown = lambda *_: (_ for _ in ()).throw(PermissionError(1, 'no'))"
    daemon = start_daemon(READ_ONLY, patch=patch)
    with daemon.client() as root:
        assert root.list() == []
    assert not Path(f"{daemon.socket}-ro").exists()
    wait_for_message(daemon, "a socket unit does: virtlogd-jsonrpc-ro.socket")


@pytest.mark.lengthy
def test_it_may_be_elsewhere_or_nowhere(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """As --jsonrpc-ro says."""
    start_daemon(READ_ONLY, options=["--jsonrpc-ro", f"unix:{tmp_path}/ro:mode=777"])
    with BlockingClient(str(tmp_path / "ro"), 60) as client:
        assert client.list() == []
    assert (tmp_path / "ro").stat().st_mode & 0o777 == 0o660
    daemon = start_daemon(READ_ONLY, options=["--jsonrpc-ro", "none"])
    assert not Path(f"{daemon.socket}-ro").exists()


def test_it_is_made_again_with_its_group(start_daemon: StartDaemon) -> None:
    """When somebody removed its file."""
    daemon = start_daemon(READ_ONLY)
    path = Path(f"{daemon.socket}-ro")
    path.unlink()
    daemon.process.send_signal(signal.SIGHUP)
    while not path.exists():
        """The daemon obeys in its next turn."""
    while path.stat().st_mode & 0o777 != 0o660:
        """Its rights come after its group."""
    assert path.stat().st_gid == os.getgid()


@pytest.mark.root
def test_members_of_the_group_are_served_and_nobody_else(
    start_daemon: StartDaemon, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whoever they are, and root; the file's mode is the check."""
    if os.geteuid():
        pytest.skip("needs root")
    directory = Path(f"/tmp/{tmp_path_factory.mktemp('ro').name}-{os.getpid()}")
    directory.mkdir(mode=0o755)
    nobody = pwd.getpwnam("nobody").pw_uid
    group = grp.getgrnam("adm")
    start_daemon(
        f'jsonrpc_ro_group = "{group.gr_name}"', options=["--jsonrpc-ro", f"{directory}/ro"]
    )
    try:
        for gid, expected in ((group.gr_gid, '"result":[]'), (nobody, "refused")):
            done = subprocess.run(
                [sys.executable, "-c", _CONNECT, f"{directory}/ro", str(nobody), str(gid)],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert expected in done.stdout + done.stderr
    finally:
        shutil.rmtree(directory)


def test_other_framings_are_served_there_too(start_daemon: StartDaemon) -> None:
    """As on the other socket."""
    daemon = start_daemon(READ_ONLY)
    body = b'{"jsonrpc":"2.0","id":1,"method":"log_list"}'
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(f"{daemon.socket}-ro")
        client.sendall(
            b"POST / HTTP/1.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        answer = b""
        while data := client.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b'{"jsonrpc":"2.0","id":1,"result":[]}\n')
