"""Processes that live, that are gone, and that cannot end as a thread of theirs waits."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.daemon import CHECKOUT
from harness.pass_mount import PassMount, pass_mount
from tests.hanging import hanging
from twisted_virtlog.loop.processes import (
    Life,
    birth,
    has_open,
    is_dying,
    life_of,
    wait_for_end,
)


def test_this_process_lives() -> None:
    """And is the same as long as it does."""
    assert life_of(os.getpid()) is Life.LIVING
    assert not is_dying(os.getpid())
    assert birth() == birth()


def test_an_exec_does_not_change_the_birth() -> None:
    """Nor does it make another process of one."""
    code = """
import os, sys
from twisted_virtlog.loop.processes import birth
if len(sys.argv) == 1:
    os.execv(sys.executable, [sys.executable, "-c", sys.orig_argv[2], str(birth())])
print(sys.argv[1] == str(birth()))
"""
    command = [sys.executable, "-c", code]
    own = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    assert subprocess.run(command, capture_output=True, check=True, env=own).stdout == b"True\n"


def test_a_process_is_gone() -> None:
    """And before somebody asks for its status, it is dying; nothing waits long for its end."""
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert life_of(process.pid) is Life.DYING
    wait_for_end(process.pid, 3600)
    process.wait()
    assert life_of(process.pid) is Life.GONE
    wait_for_end(process.pid, 3600)
    assert not has_open(process.pid, "/")


def test_a_process_with_a_thread_that_hangs() -> None:
    """It lives until it is killed, or ends by itself; then it is dying, as long as that takes."""
    with hanging("") as hung:
        pid = hung.process.pid
        assert life_of(pid) is Life.LIVING
        hung.die()
        assert life_of(pid) is Life.DYING
        assert is_dying(pid)
        hung.let_go()
        wait_for_end(pid, 3600)
        hung.process.wait()
        assert life_of(pid) is Life.GONE


def test_a_process_that_is_killed_while_its_main_thread_hangs() -> None:
    """Its main thread cannot even take the signal."""
    code = """
def hang_too():
    fcntl.ioctl(int(sys.argv[1]), termios.FIONREAD, array.array("i", [0]))
"""
    with hanging(code, then="hang_too()") as hung:
        pid = hung.process.pid
        assert hung.process.stdin is not None
        hung.process.stdin.write(b"\n")
        hung.process.stdin.flush()
        while state_of(pid) != "D":
            os.sched_yield()
        assert life_of(pid) is Life.LIVING
        hung.process.kill()
        assert life_of(pid) is Life.DYING


def test_which_files_a_process_has_open(tmp_path: Path) -> None:
    """By their paths."""
    file = tmp_path / "a file"
    with file.open("w"):
        assert has_open(os.getpid(), str(file))
    assert not has_open(os.getpid(), str(file))


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[PassMount]:
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    with pass_mount(tmp_path / "there", tmp_path / "here") as mounted:
        yield mounted


@contextlib.contextmanager
def stuck(then: str, mount: PassMount) -> Iterator[subprocess.Popen[bytes]]:
    """Let a process that has a file open do what closes that, while the mount is stopped."""
    code = f"""
import os, sys
os.open({str(mount.point / "file")!r}, os.O_WRONLY | os.O_CREAT)
print("open", flush=True)
sys.stdin.readline()
{then}
"""
    with subprocess.Popen(
        [sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        assert process.stdin is not None
        with mount.stopped():
            process.stdin.write(b"\n")
            process.stdin.flush()
            yield process


@pytest.mark.fuse
def test_a_process_that_ends_and_waits_in_closing_its_files(mount: PassMount) -> None:
    """It is not a zombie yet."""
    with stuck("os._exit(7)", mount) as process:
        while life_of(process.pid) is not Life.DYING:
            os.sched_yield()
        assert state_of(process.pid) != "Z"
    assert process.returncode == 7


@pytest.mark.fuse
def test_a_process_that_waits_in_an_exec(mount: PassMount) -> None:
    """It lives; when it is killed, it is dying. Who asks for that does not wait as well."""
    with stuck("os.execv('/bin/true', ['true'])", mount) as process:
        # (its memory is that of the next program, which has only been begun)
        while int(Path(f"/proc/{process.pid}/statm").read_text().split()[0]) > 100:
            os.sched_yield()
        assert life_of(process.pid) is Life.LIVING
        process.kill()
        assert life_of(process.pid) is Life.DYING


def state_of(pid: int) -> str:
    """Return the state of a process's main thread."""
    return Path(f"/proc/{pid}/status").read_text().partition("State:")[2].split()[0]
