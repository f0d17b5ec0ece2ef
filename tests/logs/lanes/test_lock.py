"""A lane's lock: who waits for whom, and what is left of it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.daemon import CHECKOUT
from tests.hanging import hanging
from twisted_virtlog.logs.lanes import lock as lock_module
from twisted_virtlog.logs.lanes.lock import Held, LaneLock, lock_path
from twisted_virtlog.logs.lanes.mounts import Mount


def mount(point: str, device: str = "0:51") -> Mount:
    """Make a mount."""
    return Mount(1, 0, device, point, "fuse", "somewhere")


def taking(path: str) -> str:
    """Return code that takes a lock."""
    return f"""
from twisted_virtlog.logs.lanes.lock import LaneLock
lock = LaneLock({path!r})
lock.acquire()
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Give the path of a lock in a directory that is not there yet."""
    return lock_path(str(tmp_path / "lanes" / "of a daemon"), mount("/mnt/a"))


@contextlib.contextmanager
def waiting(lock: LaneLock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Take a lock in a thread, which has to wait.

    :returns: what waits until it has the lock.
    """
    waits = threading.Event()
    wait = lock_module.wait_for_end

    def told(pid: int, seconds: float) -> None:
        waits.set()
        wait(pid, seconds)

    monkeypatch.setattr(lock_module, "wait_for_end", told)
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    assert waits.wait(60), "nobody was waited for"
    assert thread.is_alive()

    def join() -> None:
        thread.join(30)
        assert not thread.is_alive()

    yield join
    join()


def test_a_lock_is_taken_and_given_up(path: str) -> None:
    """It says by whom, and leaves nothing behind."""
    lock = LaneLock(path)
    lock.acquire()
    assert Path(path).read_text().split()[0] == str(os.getpid())
    assert os.stat(os.path.dirname(path)).st_mode & 0o077 == 0
    lock.release()
    assert not os.path.exists(os.path.dirname(path))
    lock.release()
    lock.acquire()
    lock.release()


def test_an_exec_closes_it(path: str) -> None:
    """Nobody else can have it."""
    lock = LaneLock(path)
    lock.acquire()
    (descriptor,) = (
        int(one)
        for one in os.listdir("/proc/self/fd")
        if os.path.realpath(f"/proc/self/fd/{one}") == os.path.realpath(path)
    )
    assert not os.get_inheritable(descriptor)
    lock.release()


def test_a_lock_of_a_process_that_lives(path: str) -> None:
    """There are two daemons; and there is no lock left of the one that ends in order."""
    with hanging(taking(path), then="lock.release()") as other:
        lock = LaneLock(path)
        with pytest.raises(Held) as refused:
            lock.acquire()
        assert refused.value.pid == other.process.pid
        other.go_on()
        lock.acquire()
        lock.release()
    assert not os.path.exists(path)


def test_a_process_that_is_dying_is_waited_for(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no longer than until it is gone."""
    with hanging(taking(path)) as other:
        other.die()
        lock = LaneLock(path)
        with waiting(lock, monkeypatch) as join:
            other.let_go()
            join()
        assert Path(path).read_text().split()[0] == str(os.getpid())
        lock.release()


@pytest.mark.parametrize(
    "related",
    [mount("/srv/the same file system"), mount("/mnt/a", "0:52"), mount("/mnt/a", "?/mnt/a")],
    ids=["bind mount", "new mount", "no mount"],
)
def test_a_related_lock_is_waited_for(
    related: Mount, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file system may be elsewhere by now, and another one in its place."""
    with hanging(taking(path)) as other:
        lock = LaneLock(lock_path(os.path.dirname(path), related))
        with pytest.raises(Held):
            lock.acquire()
        other.die()
        with waiting(lock, monkeypatch) as join:
            other.let_go()
            join()
        assert not os.path.exists(path)
        lock.release()


def test_other_locks_do_not_matter(path: str) -> None:
    """Neither those of other file systems, nor what else is in the directory."""
    with hanging(taking(path)):
        lock = LaneLock(lock_path(os.path.dirname(path), mount("/mnt/b", "0:5")))
        Path(path).with_name("a file").touch()
        lock.acquire()
        lock.release()
        assert os.path.exists(path)
    assert Path(path).with_name("a file").exists()


def test_two_lanes_of_one_process(path: str) -> None:
    """A new mount is used while the old one, lazily unmounted, still hangs."""
    old, new = LaneLock(path), LaneLock(lock_path(os.path.dirname(path), mount("/mnt/a", "0:52")))
    old.acquire()
    new.acquire()
    assert os.path.exists(path)
    old.release()
    new.release()


@pytest.mark.parametrize("leave", ["", "7 ", "no numbers\n", f"{2**22 + 1} 5\n"])
def test_what_a_process_left_that_is_gone(leave: str, path: str) -> None:
    """Whatever the file says, nobody holds it."""
    os.makedirs(os.path.dirname(path))
    Path(path).write_text(leave)
    lock = LaneLock(path)
    lock.acquire()
    lock.release()


def test_a_child_that_hangs_on_its_way_to_an_exec(path: str) -> None:
    """It has the descriptor, and cannot close it; the lock is given up all the same."""
    lock = LaneLock(path)
    lock.acquire()
    child = os.fork()
    if not child:
        signal.pause()
    try:
        lock.release()
        lock.acquire()
        lock.release()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_an_exec_beside_a_child_that_hangs(path: str) -> None:
    """The lock was this process's before, and the child has it still: it is made anew."""
    lock = LaneLock(path)
    lock.acquire()
    with open(path, "rb") as file:
        former = os.fstat(file.fileno()).st_ino
        fcntl.flock(file.fileno(), fcntl.LOCK_UN)
        after = LaneLock(path)
        after.acquire()
        assert os.stat(path).st_ino != former
        # What is given up late is not what has its place.
        lock.release()
        assert os.path.exists(path)
        after.release()


def test_a_child_has_the_lock_of_a_process_that_is_gone(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for, whoever has the process's number by now."""
    code = f"""{taking(path)}
import os, signal
child = os.fork()
if not child:
    signal.pause()
print(child, flush=True)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.stdout.close()
    parent.wait()
    lock = LaneLock(path)
    with waiting(lock, monkeypatch) as join:
        os.kill(child, signal.SIGKILL)
        join()
    lock.release()


def test_the_name_of_a_lock(tmp_path: Path) -> None:
    """Any mount point has one, and no two have the same."""
    points = ["/", "/mnt/a@0:51", "/mnt%2Fa", "/mnt/a b\n", "/\udcff", "/" + "x" * 4000]
    names = {lock_path(str(tmp_path), mount(point)) for point in points}
    names.add(lock_path(str(tmp_path), mount("/" + "x" * 4000 + "y")))
    # (the device of a mount that is gone is not known)
    names.add(lock_path(str(tmp_path), mount("/mnt/a", "?/mnt/a")))
    assert len(names) == len(points) + 2
    for name in names:
        assert os.path.dirname(name) == str(tmp_path)
        Path(name).touch()


def test_no_lock_can_be_made(tmp_path: Path) -> None:
    """Whoever asks is told why."""
    (tmp_path / "lanes").touch()
    with pytest.raises(FileExistsError):
        LaneLock(lock_path(str(tmp_path / "lanes"), mount("/mnt/a"))).acquire()
