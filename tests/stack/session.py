"""An ordinary user's libvirtd, which starts the log daemon; the inner half of test_session.py.

Runs as the first process of namespaces of its own, becomes that user, and prints what came out.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.daemon import CHECKOUT
from tests import documented
from tests.daemon.command.command import AS_NOBODY, install
from tests.documents import commands
from tests.stack import guest, machine
from tests.stack.guest import End

_HOME = Path("/run/session")
_RUN = _HOME / "run" / "libvirt"
_NOTE = _HOME / "note"
_LOG = _HOME / "libvirtd.log"
_PREFIX = Path("/opt/twisted-virtlog")
_LINES = 500
_SECONDS = 50.0

#: Tells how the daemon was started, and lets it end after 2 seconds; libvirtd asks for 120.
_TELL = """\
import json, os, sys, time
with open({note!r}, "a") as file:
    print(json.dumps([sys.argv[1:], os.getcwd(), sorted(os.environ)]), file=file)
sys.argv[1:] = ["--timeout=2" if one == "--timeout=120" else one for one in sys.argv[1:]]
"""


def main() -> None:
    """Be root, and make the user's machine; then be the user, and use it."""
    if os.geteuid() == 0:
        machine.be_init_beside(os.fork())
        machine.mount_own_file_systems()
        for path in (sys.base_prefix, sys.prefix, CHECKOUT):
            _open_to_everybody(Path(path))
        _make_user()
        _install()
        os.execvp(AS_NOBODY[0], [*AS_NOBODY, sys.executable, "-m", "tests.stack.session"])
    print(json.dumps(_use()))  # noqa: T201  (it is what the test reads)


def _open_to_everybody(path: Path) -> None:
    """Let everybody reach a path, as libvirtd takes all capabilities from what it starts.

    A directory that is closed to others is replaced by one that is not, with the same in it.
    """
    for directory in reversed(path.parents):
        if not directory.stat().st_mode & stat.S_IXOTH:
            _replace(directory)


def _replace(directory: Path) -> None:
    """Put another in a directory's place, with the same directories in it."""
    former = Path(tempfile.mkdtemp(dir="/run"))
    _mount("--rbind", directory, former)
    _mount("-t", "tmpfs", "-o", "mode=755", "open", directory)
    for one in former.iterdir():
        if one.is_dir() and not one.is_symlink():
            (directory / one.name).mkdir()
            _mount("--rbind", one, directory / one.name)


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True, timeout=_SECONDS)


def _make_user() -> None:
    """libvirtd looks the user up, and makes directories in the home."""
    own = Path("/run/passwd")
    entry = pwd.getpwuid(65534)
    lines = Path("/etc/passwd").read_text().splitlines()
    lines = [line for line in lines if not line.startswith(f"{entry.pw_name}:")]
    own.write_text("\n".join([*lines, f"{entry.pw_name}:x:65534:65534::{_HOME}:/bin/sh", ""]))
    _mount("--bind", own, "/etc/passwd")
    for device in ("null", "zero", "full", "random", "urandom", "ptmx"):
        os.chmod(f"/dev/{device}", 0o666)
    for directory in (_HOME, _HOME / "run"):
        directory.mkdir()
        os.chown(directory, 65534, 65534)


def _install() -> None:
    """Have the daemon where the documents have it."""
    _replace(_PREFIX.parent)
    if _PREFIX.is_dir():
        _mount("-t", "tmpfs", "-o", "mode=755", "installed", _PREFIX)
    (_PREFIX / "bin").mkdir(parents=True)
    install(_PREFIX / "bin" / "twisted-virtlogd", _TELL.format(note=str(_NOTE)))


def _paste() -> None:
    """Run the commands that are shown for a session libvirtd, which starts it."""
    run = set()
    for command in commands(CHECKOUT / "doc" / "libvirt.md"):
        if documented.row(command) in documented.rows(documented.SESSION):
            assert command.prompt == "$"
            subprocess.run(
                ["bash", "-e", "-c", command.text],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                timeout=_SECONDS,
                check=True,
            )
            run.add(documented.row(command))
    assert run == documented.rows(documented.SESSION)


def _use() -> dict[str, Any]:
    os.environ.update(
        HOME=str(_HOME),
        XDG_RUNTIME_DIR=str(_HOME / "run"),
        LIBVIRT_LOG_OUTPUTS=f"3:file:{_LOG}",
        LC_ALL="C",
    )
    os.chdir(_HOME)
    _paste()
    _until((_RUN / "libvirt-sock").exists)
    disk = _HOME / "disk"
    disk.write_bytes(guest.disk(_LINES, End.HALT, 0))
    consoles = {}
    result: dict[str, Any] = {"errors": []}
    for name in ("alice", "bob"):
        console = consoles[name] = _HOME / f"{name}.log"
        xml = _HOME / f"{name}.xml"
        xml.write_text(guest.domain(name, disk=disk, console=console))
        result["errors"].append(_virsh("create", str(xml)))
    _until(lambda: all(_printed(console) for console in consoles.values()))
    result["consoles"] = {name: path.read_text() for name, path in consoles.items()}
    socket = _RUN / "virtlogd-sock"
    result["served"] = socket.exists()
    for name in consoles:
        _virsh("destroy", name)
    # (the pid file goes last, when the process's threads have ended)
    _until(lambda: not (socket.exists() or (_RUN / "virtlogd.pid").exists()))
    result["left"] = sorted(path.name for path in _RUN.glob("virtlogd*"))
    result["starts"] = [json.loads(line) for line in _NOTE.read_text().splitlines()]
    os.kill(int((_RUN / "libvirtd.pid").read_text()), signal.SIGTERM)
    return result


def _printed(console: Path) -> bool:
    return console.exists() and console.read_bytes().endswith(guest.CLOSING)


def _virsh(*arguments: str) -> str:
    """Run virsh; give what it complains of."""
    return subprocess.run(
        ["virsh", "--connect", "qemu:///session", *arguments],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    ).stderr


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(_LOG.read_text())
        time.sleep(0.01)


if __name__ == "__main__":
    main()
