"""The daemon with what a machine really has: QEMU, full disks, wall clocks that step."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.daemon import CHECKOUT, Daemon
from tests.daemon.command.command import AS_NOBODY
from tests.daemon.conftest import StartDaemon
from twisted_virtlog.client import BlockingClient, RemoteError


def virtlogctl(daemon: Daemon, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run virtlogctl as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "twisted_virtlog.ctl", "--socket", daemon.socket, *arguments],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        timeout=120,
        check=False,
    )


@pytest.mark.lengthy
@pytest.mark.qemu
def test_a_qemu_guest_s_firmware_is_in_the_log(daemon: Daemon, tmp_path: Path) -> None:
    """SeaBIOS speaks on the serial console of a guest that virtlogctl exec runs."""
    log = tmp_path / "guest.log"
    guest = "qemu-system-x86_64 -accel tcg -machine pc,graphics=off -display none -no-reboot"
    # The firmware finds nothing to boot; the panic device and a time limit end the guest.
    guest += " -m 32 -nic none -serial stdio -monitor none -boot reboot-timeout=1"
    run = virtlogctl(daemon, "exec", str(log), "--", *guest.split())
    assert run.returncode == 0, run.stderr
    text = log.read_bytes()
    assert b"SeaBIOS (version" in text
    assert b"No bootable device" in text
    assert virtlogctl(daemon, "read", str(log)).stdout == text


@pytest.mark.lengthy
@pytest.mark.root
@pytest.mark.parametrize("policy", ["drop", "block"])
def test_a_full_disk(policy: str, tmp_path: Path) -> None:
    """A guest's log survives a full disk, and other logs go on; see full_disk.py."""
    small = tmp_path / "small"
    small.mkdir()
    mount = 'mount -t tmpfs -o size=4m tmpfs "$1" && '
    mount += 'exec "$2" -m tests.daemon.full_disk "$3" "$1" "$4"'
    arguments = [str(small), sys.executable, policy, str(tmp_path)]
    run = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh", *arguments],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.lengthy
def test_timers_survive_a_wall_clock_that_steps_back(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """A failing log is tried again in time although the wall clock stands an hour earlier."""
    step = (
        "import time; real = time.time; start = real();"
        "time.time = lambda: real() - (3600 if real() - start > 1 else 0)"
    )
    directory = tmp_path / "logs"
    directory.mkdir()
    daemon = start_daemon(patch=step)
    log = directory / "guest.log"
    with daemon.client() as client:
        pipe = client.open(str(log)).write_end
        os.write(pipe, b"one\n")
        client.position(str(log))
        shutil.rmtree(directory)
        os.write(pipe, b"two\n")
        with pytest.raises(RemoteError):
            client.position(str(log))
        directory.mkdir()
        while client.list()[0].state == "failing":
            """Tried again once a second, by a clock that does not step."""
        assert log.read_bytes() == b"two\n"
        os.close(pipe)


def test_an_ordinary_user_needs_no_options(tmp_path: Path) -> None:
    """Without options the socket is made below XDG_RUNTIME_DIR, for its owner alone."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(CHECKOUT),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    command = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
    if os.geteuid() == 0:
        command = [*AS_NOBODY, *command]
        os.chown(tmp_path, 65534, 65534)
    socket = tmp_path / "run" / "libvirt" / "virtlogd-jsonrpc-sock"
    process = subprocess.Popen(
        [*command, "--pidfile=", "-n", "virtlogd"],
        env={**environment, "LIBVIRT_DEBUG": "info"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = ""
    while "jsonrpc: listening" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    with BlockingClient(str(socket), 30.0) as client:
        assert client.info().pid == process.pid
    assert socket.stat().st_mode & 0o777 == 0o600
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert not socket.exists()
