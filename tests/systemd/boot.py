"""Boots a real systemd as PID 1 in namespaces of its own, and runs a Python program under it.

Everything is on an overlay of this machine's root, whose upper layer is in memory: nothing stays.
It takes root, unshare, mount, setpriv and systemd, and no image, network or D-Bus. What the program
sees of the machine is its own: processes, mounts, network, host name, cgroups, /run, /tmp, /dev.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_BOOT_SECONDS = 240

#: Where the overlay and all else is made, in a mount namespace that ends with the run.
_BASE = Path("/mnt")
_ROOT = _BASE / "root"

#: The program's output and status, inside and out.
_EXCHANGE = Path("/run/exchange")

_STATUS = "status"
_OUTPUT = "output"

_NODES = {"null": "1 3", "zero": "1 5", "full": "1 7", "random": "1 8", "urandom": "1 9"}

#: What a container must leave alone: the machine's clock, kernel and terminals.
_MASKED = (
    "console-getty.service",
    "dev-hugepages.mount",
    "getty.target",
    "kmod-static-nodes.service",
    "ldconfig.service",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-binfmt.service",
    "systemd-firstboot.service",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-journal-flush.service",
    "systemd-journald-audit.socket",
    "systemd-logind.service",
    "systemd-machine-id-commit.service",
    "systemd-modules-load.service",
    "systemd-networkd.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-repart.service",
    "systemd-resolved.service",
    "systemd-sysctl.service",
    "systemd-timesyncd.service",
    "systemd-udev-trigger.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udevd.service",
    "systemd-update-utmp.service",
)

#: Capabilities that the system inside does not get.
_DROPPED = "-sys_time,-sys_module,-audit_control,-audit_read,-audit_write,-syslog,-wake_alarm"

_SYSTEMD = "/lib/systemd/systemd"

_TARGET = """\
[Unit]
Requires=basic.target
After=basic.target
Wants=program.service
AllowIsolate=yes
"""

_PROGRAM = """\
[Unit]
After=basic.target
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
ExecStart=/bin/sh {exchange}/run
TimeoutStartSec=infinity
"""


def run(
    program: Sequence[str], directory: Path, seen: Sequence[Path], seconds: int = _BOOT_SECONDS
) -> tuple[int, str]:
    """Boot, run a program as root, and end.

    :param directory: is made, for what is exchanged with the inside.
    :param seen: directories that the inside sees, read-only where they are.
    :returns: the program's status and output.
    """
    script = f"exec >{_EXCHANGE}/{_OUTPUT} 2>&1\ncd /\n"
    script += f"export PATH={shlex.quote(os.environ['PATH'])}:/usr/sbin:/sbin HOME=/root\n"
    script += f"{shlex.join(program)}\necho $? > {_EXCHANGE}/{_STATUS}\n"
    directory.mkdir(exist_ok=True)
    (directory / "run").write_text(script)
    namespaces = ("--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup")
    command = ["unshare", *namespaces, "--fork", "--kill-child", "--propagation", "private"]
    command += [sys.executable, str(Path(__file__)), str(directory), *map(str, seen)]
    with _cgroup() as group:

        def enter() -> None:
            (group / "cgroup.procs").write_text("0")

        booted = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            preexec_fn=enter,
        )
    output = directory / _OUTPUT
    status = directory / _STATUS
    said = output.read_text() if output.exists() else ""
    if not status.exists():
        return -1, f"{said}\n{booted.stdout}\n{booted.stderr}\nsystemd ended too early"
    return int(status.read_text()), said


@contextmanager
def _cgroup() -> Iterator[Path]:
    """Make a cgroup, in which the inside makes its own, and remove all of them."""
    with open("/proc/self/cgroup") as file:
        own = next(line.split(":", 2)[2].strip() for line in file if line.startswith("0:"))
    with open("/proc/mounts") as file:
        mounts = [line.split() for line in file]
    mounted = next(Path(fields[1]) for fields in mounts if fields[2] == "cgroup2")
    group = mounted / own.lstrip("/") / f"twisted-virtlog-{os.getpid()}"
    group.mkdir()
    try:
        yield group
    finally:
        for path, _, _ in os.walk(group, topdown=False):
            os.rmdir(path)


def _mount(kind: str, target: Path, options: str = "") -> None:
    target.mkdir(parents=True, exist_ok=True)
    _call("mount", "-t", kind, "-o", options or "rw", kind, target)


def _bind(source: Path, target: Path, read_only: bool = False) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    _call("mount", "--bind", source, target)
    if read_only:
        _call("mount", "-o", "remount,bind,ro", target)


def _call(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True)


def _devices() -> None:
    _mount("tmpfs", _ROOT / "dev", "mode=755,nosuid")
    for name, number in _NODES.items():
        _call("mknod", "-m", "666", _ROOT / "dev" / name, "c", *number.split())
    _mount("devpts", _ROOT / "dev/pts", "newinstance,ptmxmode=0666,mode=620,gid=5")
    _mount("tmpfs", _ROOT / "dev/shm", "mode=1777")
    os.symlink("pts/ptmx", _ROOT / "dev/ptmx")
    os.symlink("/proc/self/fd", _ROOT / "dev/fd")


def _units() -> None:
    directory = _ROOT / "etc/systemd/system"
    _call("rm", "-rf", *directory.glob("*.wants"), *directory.glob("*.requires"))
    for name in _MASKED:
        (directory / name).unlink(missing_ok=True)
        os.symlink("/dev/null", directory / name)
    (directory / "program.target").write_text(_TARGET)
    (directory / "program.service").write_text(_PROGRAM.format(exchange=_EXCHANGE))
    journal = _ROOT / "etc/systemd/journald.conf.d/inside.conf"
    journal.parent.mkdir(parents=True, exist_ok=True)
    journal.write_text(
        "[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nRateLimitIntervalSec=0\n"
    )
    (_ROOT / "etc/fstab").write_text("")
    (_ROOT / "etc/machine-id").write_text(f"{os.urandom(16).hex()}\n")


def _become_systemd(exchange: Path, seen: Sequence[Path]) -> None:
    """Build the inside's root, enter it, and be its PID 1."""
    _mount("tmpfs", _BASE, "mode=755")
    for name in ("upper", "work", "root"):
        (_BASE / name).mkdir()
    _call(
        *("mount", "-t", "overlay", "overlay", _ROOT),
        *("-o", f"lowerdir=/,upperdir={_BASE}/upper,workdir={_BASE}/work"),
    )
    _mount("proc", _ROOT / "proc", "nosuid,nodev,noexec")
    _bind(_ROOT / "proc/sys", _ROOT / "proc/sys", read_only=True)
    _mount("sysfs", _ROOT / "sys", "ro,nosuid,nodev,noexec")
    _mount("cgroup2", _ROOT / "sys/fs/cgroup", "nosuid,nodev,noexec")
    _devices()
    _mount("tmpfs", _ROOT / "run", "mode=755,nosuid,nodev")
    _mount("tmpfs", _ROOT / "tmp", "mode=1777")
    for path in seen:
        _bind(path, _ROOT / path.relative_to("/"), read_only=True)
    _bind(exchange, _ROOT / _EXCHANGE.relative_to("/"))
    _units()
    os.chdir(_ROOT)
    Path("former").mkdir()
    _call("pivot_root", ".", "former")
    os.chdir("/")
    _call("hostname", "inside")
    _call("umount", "-l", "/former")
    command = ["setpriv", f"--bounding-set={_DROPPED}", f"--inh-caps={_DROPPED}"]
    command += ["env", "-i", "container=test", _SYSTEMD, "--system", "--unit=program.target"]
    os.execvp("setpriv", [*command, "--show-status=false"])


if __name__ == "__main__":
    _become_systemd(Path(sys.argv[1]), [Path(path) for path in sys.argv[2:]])
