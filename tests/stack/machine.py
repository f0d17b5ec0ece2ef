"""A private machine with libvirtd and a log daemon; the inner half of stack.py, which starts it.

Runs as the first process of mount, process, network and IPC namespaces of its own. What libvirt
writes goes to file systems in memory, so that nothing of this machine's libvirt is seen or touched.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.daemon import file_threads
from tests.stack import scenarios
from twisted_virtlog.client import BlockingClient
from twisted_virtlog.client.feed import Feed

RUN = Path("/run/stack")
_LOG_SOCKET = "/run/libvirt/virtlogd-sock"
_JSONRPC_SOCKET = "/run/libvirt/virtlogd-jsonrpc-sock"
#: A command that takes longer has hung.
_SECONDS = 60.0

SETTINGS = {
    # Nobody asks polkit in here.
    "libvirtd.conf": (
        f'auth_unix_ro = "none"\nauth_unix_rw = "none"\nlog_outputs = "3:file:{RUN}/libvirtd.log"\n'
    ),
    "qemu.conf": (
        'user = "root"\ngroup = "root"\nsecurity_driver = "none"\nremember_owner = 0\n'
        # The whole machine is private already.
        "namespaces = []\ncgroup_controllers = []\n"
    ),
}
_DEVICES = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}


def main(max_size: str, *daemon: str) -> None:
    """Start everything, then run the scenarios that standard input asks for, until it ends.

    :param max_size: the size in bytes at which a log file is rotated.
    :param daemon: the command of the log daemon.
    """
    be_init_beside(os.fork())
    mount_own_file_systems()
    # Our daemon reads it as well.
    settings = (f"max_size = {max_size}", "max_backups = 3", *file_threads())
    Path("/etc/libvirt/virtlogd.conf").write_text("".join(f"{line}\n" for line in settings))
    machine = Machine(daemon)
    machine.start_log_daemon()
    machine.start_libvirtd()
    _tell({"result": "ready"})
    for line in sys.stdin:
        _tell(_answer(machine, json.loads(line)))


def _tell(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def be_init_beside(child: int) -> None:
    """Stay behind as the namespace's first process, which inherits QEMUs; end with the child.

    A QEMU that has ended and waits to be reaped would seem alive to libvirtd, which then neither
    gives it up nor asks for its log. So the kernel reaps them.
    """
    if child:
        ended = os.pidfd_open(child)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        select.select([ended], [], [])
        # All that is left in the namespace ends with its first process.
        os._exit(0)


def _answer(machine: Machine, request: dict[str, Any]) -> dict[str, Any]:
    scenario = getattr(scenarios, request["scenario"])
    try:
        return {"result": scenario(machine, **request["arguments"])}
    except Exception:  # noqa: BLE001  # it is told, whatever it is
        return {"error": f"{traceback.format_exc()}\n{machine.logs()}"}


def mount_own_file_systems() -> None:
    for directory in ("/run", "/var/log/libvirt", "/var/lib/libvirt", "/var/cache/libvirt"):
        os.makedirs(directory, exist_ok=True)
        _mount("-t", "tmpfs", "-o", "mode=755", "stack", directory)
    # A guest's control groups would be shared with one of the same name outside.
    _mount("-t", "tmpfs", "-o", "mode=755", "stack", "/sys/fs/cgroup")
    _mount("-t", "tmpfs", "-o", "mode=755", "stack", "/etc/libvirt")
    for name, settings in SETTINGS.items():
        Path("/etc/libvirt", name).write_text(settings)
    _mount_devices()
    for directory in (RUN, scenarios.LOGS, scenarios.IMAGES):
        Path(directory).mkdir(parents=True)


def _mount_devices() -> None:
    """Make a /dev without kvm: libvirtd finds the same abilities of QEMU on every machine."""
    _mount("-t", "tmpfs", "-o", "mode=755", "stack", "/dev")
    for name, minor in _DEVICES.items():
        os.mknod(f"/dev/{name}", stat.S_IFCHR | 0o666, os.makedev(1, minor))
    for name in ("pts", "shm"):
        Path("/dev", name).mkdir()
    _mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666", "stack", "/dev/pts")
    _mount("-t", "tmpfs", "-o", "mode=1777", "stack", "/dev/shm")
    Path("/dev/ptmx").symlink_to("pts/ptmx")
    Path("/dev/fd").symlink_to("/proc/self/fd")


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, timeout=_SECONDS)


@dataclass(frozen=True)
class Said:
    """What a command came to."""

    status: int
    output: str
    error: str


class Machine:
    """What a scenario works with.

    :ivar log_daemon: its process.
    """

    log_daemon: subprocess.Popen[bytes]

    def __init__(self, daemon: Sequence[str]) -> None:
        self._daemon = daemon
        self._libvirtd: subprocess.Popen[bytes] | None = None

    def start_log_daemon(self) -> None:
        """Start the log daemon; return when it can be connected to."""
        process = self.log_daemon = self._start("logd", self._daemon)
        self.until(lambda: _connects(_LOG_SOCKET) or _must_run(process))

    def start_libvirtd(self) -> None:
        """Start libvirtd; return when it answers."""
        process = self._libvirtd = self._start("libvirtd", ["libvirtd"])
        self.until(lambda: not self.virsh("uri").status or _must_run(process))

    def stop_libvirtd(self) -> None:
        """Stop libvirtd; its guests run on."""
        assert self._libvirtd is not None
        self._libvirtd.terminate()
        self._libvirtd.wait(_SECONDS)

    def begin_virsh(self, *arguments: str) -> subprocess.Popen[str]:
        """Start virsh, and do not wait for it."""
        return subprocess.Popen(
            ["virsh", "--connect", "qemu:///system", "--quiet", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
        )

    def begin_virtlogctl(self, *arguments: str) -> subprocess.Popen[str]:
        """Start virtlogctl, and do not wait for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "twisted_virtlog.ctl", "--socket", _JSONRPC_SOCKET, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def virsh(self, *arguments: str) -> Said:
        """Run virsh."""
        process = self.begin_virsh(*arguments)
        stdout, stderr = process.communicate(timeout=_SECONDS)
        return Said(process.returncode, stdout, stderr)

    def must(self, *arguments: str) -> str:
        """Run virsh, which must succeed; give what it printed."""
        done = self.virsh(*arguments)
        if done.status:
            raise AssertionError(f"virsh {' '.join(arguments)}: {done.error}")
        return done.output

    def client(self) -> BlockingClient:
        """Connect to the daemon's JSON-RPC socket; the real virtlogd has none."""
        return BlockingClient(_JSONRPC_SOCKET, _SECONDS)

    def feed(self) -> Feed:
        """Connect to follow logs."""
        return Feed(_JSONRPC_SOCKET, _SECONDS)

    def until(self, condition: Callable[[], object], seconds: float = _SECONDS) -> None:
        """Look until a condition of other processes holds.

        :raises TimeoutError: it did not in so many seconds.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not in {seconds} seconds")
            time.sleep(0.01)

    def logs(self) -> str:
        """Give the ends of what the daemons said, for whoever looks into a failure."""
        return "\n".join(
            f"{path}:\n{path.read_text(errors='replace')[-4000:]}" for path in RUN.glob("*.log")
        )

    def _start(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        path = f"/usr/sbin:{os.environ.get('PATH', '')}"
        with (RUN / f"{name}.out.log").open("ab") as log:
            return subprocess.Popen(
                [shutil.which(command[0], path=path) or command[0], *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


def _connects(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def _must_run(process: subprocess.Popen[bytes]) -> bool:
    """Give False, unless it has ended, which it should not."""
    if process.poll() is not None:
        logs = [path.read_text(errors="replace")[-2000:] for path in RUN.glob("*.log")]
        raise ChildProcessError(f"{process.args!r} ended: {logs}")
    return False


if __name__ == "__main__":
    main(*sys.argv[1:])
