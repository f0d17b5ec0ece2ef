"""The command as a process: how it starts, stays and ends."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon.command.command import User, install, until, until_answers
from tests.daemon.test_ending import listens
from tests.hanging import fifo, hanging_in
from tests.locked_pipe import wait_for_end
from twisted_virtlog import __version__
from twisted_virtlog.client import BlockingClient, RemoteError
from twisted_virtlog.daemon.command.outcome import UNIT_VARIABLE, Status


def test_the_version_is_answered(user: User) -> None:
    """On standard output, with status 0."""
    said = user.run("--version")
    assert (said.status, said.error) == (0, "")
    assert said.output == f"twisted-virtlogd (twisted-virtlog) {__version__}\n"


@pytest.mark.lengthy
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_it_serves_until_a_signal_ends_it(user: User, number: int) -> None:
    """Without options; it leaves neither sockets nor its pid file."""
    process = user.start()
    until_answers(user, process)
    assert user.pid_file.read_text() == str(process.pid)
    process.send_signal(number)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0
    assert user.files() == ["run", "run/libvirt"]


def _shut_down(client: socket.socket) -> bytes:
    """Call CONNECT_DAEMON_SHUTDOWN; return the answer's status and all that follows."""
    client.settimeout(30)
    client.sendall(struct.pack(">IIIiIII I", 32, 0x06900690, 1, 20, 0, 0, 0, 1))
    answer = b"".join(iter(lambda: client.recv(4096), b""))
    return answer[24:]


@pytest.mark.lengthy
@pytest.mark.parametrize("environment", [{}, {UNIT_VARIABLE: "1"}])
def test_an_administrator_s_shutdown_is_answered_and_ends_the_daemon(
    user: User, environment: dict[str, str]
) -> None:
    """With virtlogd's status, or under the daemon's own unit with one that it does not restart."""
    user.environment = environment
    process = user.start()
    until_answers(user, process)
    with user.client() as client:
        write_end = client.open(str(user.directory / "guest.log")).write_end
    os.write(write_end, b"the last words\n")
    with user.connect("virtlogd-admin-sock") as client:
        assert _shut_down(client) == bytes(4)
    assert process.wait(60) == (Status.NOT_NEEDED if environment else Status.DONE)
    os.close(write_end)
    assert (user.directory / "guest.log").read_bytes() == b"the last words\n"
    assert not user.pid_file.exists()


@pytest.mark.lengthy
@pytest.mark.parametrize("environment", [{}, {UNIT_VARIABLE: "1"}])
def test_a_daemon_that_nobody_needs_says_so_to_its_unit(
    user: User, environment: dict[str, str]
) -> None:
    """After the timeout the status is virtlogd's, but for the daemon's own unit."""
    user.environment = environment
    expected = Status.NOT_NEEDED if environment else Status.DONE
    assert user.run("--timeout", "1").status == expected


@pytest.mark.lengthy
def test_in_the_background_it_is_ready_when_the_command_returns(user: User) -> None:
    """As nobody's child, in /, without terminal, with standard streams of its own."""
    said = user.run("-d")
    assert said == type(said)(0, "", "")
    pid = int(user.pid_file.read_text())
    with user.client() as client:
        assert client.info().pid == pid
    process = Path(f"/proc/{pid}")
    assert os.readlink(process / "cwd") == "/"
    assert {os.readlink(process / "fd" / str(number)) for number in range(3)} == {"/dev/null"}
    parent, group, session, terminal = (process / "stat").read_text().split(") ")[1].split()[1:5]
    assert session == group != str(pid)
    assert terminal == "0"
    assert parent != str(os.getpid())
    user.end()
    own_log = user.directory / ".cache" / "libvirt" / "virtlogd.log"
    assert own_log.exists() or Path("/run/systemd/journal/socket").exists()
    assert not user.socket.exists()


@pytest.mark.lengthy
def test_why_it_does_not_start_in_the_background_is_told(user: User) -> None:
    """By the command that was started, with status 1."""
    assert user.run("-d").status == 0
    said = user.run("-d")
    assert said.status == 1
    assert said.error == (
        f"twisted-virtlogd: Failed to acquire pid file '{user.pid_file}':"
        " Resource temporarily unavailable\n"
    )
    said = user.run("-d", "-p", "")
    assert said.status == 1
    assert said.error.startswith(f"twisted-virtlogd: cannot listen on {user.socket}: process ")


@pytest.mark.lengthy
def test_a_failure_is_told_by_its_status(user: User) -> None:
    """And in one line."""
    user.run_directory.parent.mkdir()
    user.run_directory.touch()
    said = user.run()
    assert said.status == 2
    assert f": unable to create rundir {user.run_directory}: " in said.error
    user.run_directory.unlink()
    user.run_directory.mkdir()
    if os.geteuid() == 0:
        os.chown(user.run_directory, 65534, 65534)
    user.socket.mkdir()
    said = user.run()
    assert said.status == 6
    assert f": cannot listen on {user.socket}: it exists and is not a socket\n" in said.error
    assert said.error.count("\n") == 1
    assert not user.pid_file.exists()


@pytest.mark.lengthy
def test_a_relative_configuration_is_found_again(user: User) -> None:
    """From the background, where the directory is another; -v is the strongest."""
    user.config.write_text(
        f'max_size = 5\nlog_level = 4\nlog_outputs = "1:file:{user.directory}/l"'
    )
    assert user.run("-dv", "-f", "virtlogd.conf").status == 0
    with user.client() as client:
        assert client.info().limits["max_size"] == 5
        user.config.write_text(f'max_size = 6\nlog_outputs = "1:file:{user.directory}/l"')
        os.kill(client.info().pid, signal.SIGHUP)
        until(lambda: client.info().limits["max_size"] == 6)
    assert ": info : " in (user.directory / "l").read_text()


def test_closed_standard_streams_are_no_guest_s(user: User) -> None:
    """What a program writes there by mistake must not land in a log or a socket."""
    script = user.directory / "closed"
    script.write_text(f'#!/bin/sh\nexec {user.program} "$@" <&- >&- 2>&-\n')
    script.chmod(0o755)
    user.program = str(script)
    process = user.start()
    until_answers(user, process)
    streams = {os.readlink(f"/proc/{process.pid}/fd/{number}") for number in range(3)}
    assert streams == {"/dev/null"}


@pytest.mark.slow
def test_it_stays_while_a_log_is_open_or_a_client_is_connected(user: User) -> None:
    """The timeout counts from when the last of them is gone."""
    process = user.start("--timeout", "1")
    until_answers(user, process)
    with user.client() as client:
        write_end = client.open(str(user.directory / "guest.log")).write_end
    ended = os.pidfd_open(process.pid)
    # Twice the timeout, in which it would end.
    assert not _readable(ended, 2.0)
    os.write(write_end, b"still here\n")
    with user.client() as client:
        os.close(write_end)
        until(lambda: not client.list())
        assert not _readable(ended, 2.0)
    assert process.wait(60) == 0
    os.close(ended)
    assert (user.directory / "guest.log").read_bytes() == b"still here\n"
    assert not user.pid_file.exists()


def _readable(descriptor: int, seconds: float) -> bool:
    return bool(select.select([descriptor], [], [], seconds)[0])


def _under_a_limit(user: User, limit: str) -> None:
    """Let a user's daemon be started with another limit on descriptors."""
    script = user.directory / "limited"
    script.write_text(f'#!/bin/sh\nulimit {limit}\nexec {user.program} "$@"\n')
    script.chmod(0o755)
    user.program = str(script)


def _open_logs_for_ever(user: User, client: BlockingClient, logs: list[tuple[str, int]]) -> None:
    while True:
        path = str(user.directory / f"guest{len(logs)}.log")
        logs.append((path, client.open(path).write_end))


@pytest.mark.lengthy
def test_without_descriptors_all_but_opening_goes_on(user: User) -> None:
    """Opens are refused with 1004, who connects waits, and all goes on when there is room."""
    _under_a_limit(user, "-n 60")
    user.config.write_text("max_size = 1000")
    process = user.start("-f", str(user.config))
    until_answers(user, process)
    logs: list[tuple[str, int]] = []
    with user.client() as client:
        with pytest.raises(RemoteError, match="Too many open files") as refused:
            _open_logs_for_ever(user, client, logs)
        assert refused.value.code == 1004
        waiting = [user.client() for _ in range(3)]
        for path, write_end in logs:
            os.write(write_end, b"a line of a guest\n" * 100)
            assert client.position(path).offset < 1000
        assert {log.state for log in client.list()} == {"open"}
        assert {log.rollovers for log in client.list()} == {1}
        for _, write_end in logs:
            os.close(write_end)
        for one in waiting:
            assert one.info().pid == process.pid
            one.close()
        again = client.open(str(user.directory / "again.log"))
        os.close(again.write_end)
    process.terminate()
    output, error = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "jsonrpc: cannot accept: [Errno 24] Too many open files" in error
    assert output == ""


def test_the_soft_limit_on_descriptors_is_raised(user: User, tmp_path: Path) -> None:
    """To the hard one."""
    _under_a_limit(user, "-Sn 100")
    process = user.start()
    until_answers(user, process)
    limits = Path(f"/proc/{process.pid}/limits").read_text().splitlines()
    soft, hard = next(line.split()[3:5] for line in limits if line.startswith("Max open files"))
    assert soft == hard != "100"


@pytest.mark.lengthy
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_while_it_starts_is_obeyed(user: User, number: int) -> None:
    """As soon as it can be; nothing is left behind."""
    process = user.start()
    until(user.pid_file.exists)
    process.send_signal(number)
    assert process.wait(60) == 0
    assert user.files() == ["run", "run/libvirt"]


@pytest.mark.lengthy
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_daemon_that_cannot_end_gives_way(
    number: signal.Signals, new_user: Callable[[str], User], directory: Path
) -> None:
    """A thread of it waits for a file system; told to end, it lets go of its pid file first."""
    lane = """
import threading
threading.Thread(target=hang, name="lane /mnt/a", daemon=True).start()
"""
    with fifo(directory / "fifo") as guest:
        (directory / "fifo").chmod(0o666)
        hanging = install(directory / "hanging", hanging_in(directory / "fifo", lane))
        user = new_user(str(hanging))
        first = user.start()
        until_answers(user, first)
        user.program = str(install(directory / "twisted-virtlogd"))
        first.send_signal(number)
        wait_for_end(guest, first.pid)
        assert user.pid_file.exists() is (number is signal.SIGKILL)
        second = user.start()
        until(lambda: user.has_pid_of(second))
        until(lambda: listens(f"{user.socket.parent}/virtlogd-jsonrpc-sock") == second.pid)
        until_answers(user, second)
        second.terminate()
        assert second.wait(60) == 0
        guest.kill()
        assert first.wait(60) == (0 if number is signal.SIGTERM else -number)
