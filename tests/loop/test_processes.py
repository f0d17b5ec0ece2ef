"""Processes that live, that are gone, and that cannot end as a thread of theirs waits."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.hanging import hanging
from twisted_virtlog.loop.processes import Life, ProcessIdentity, is_dying, this_process


def test_this_process_lives() -> None:
    """Also by its number and birth, and by its number alone."""
    assert this_process().pid == os.getpid()
    assert this_process().life() is Life.LIVING
    assert not is_dying(os.getpid())


def test_another_process_with_the_same_number() -> None:
    """It is told apart by its birth."""
    me = this_process()
    assert me.born is not None
    assert ProcessIdentity(me.pid, me.born + 1).life() is Life.GONE


def test_a_process_is_gone() -> None:
    """And before somebody asks for its status, it is dying; nothing waits long for its end."""
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    identity = ProcessIdentity(process.pid)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert identity.life() is Life.DYING
    identity.wait_for_end(3600)
    process.wait()
    assert identity.life() is Life.GONE
    identity.wait_for_end(3600)


def test_a_process_with_a_thread_that_hangs() -> None:
    """It lives until it is killed, or ends by itself; then it is dying, as long as that takes."""
    with hanging("") as hung:
        identity = ProcessIdentity(hung.process.pid)
        assert identity.life() is Life.LIVING
        hung.die()
        assert identity.life() is Life.DYING
        assert is_dying(identity.pid)
        hung.let_go()
        identity.wait_for_end(3600)
        hung.process.wait()
        assert identity.life() is Life.GONE


def test_a_process_that_is_killed_while_its_main_thread_hangs() -> None:
    """Its main thread cannot even take the signal."""
    code = """
import os, signal
def hang_too():
    fcntl.ioctl(int(sys.argv[1]), termios.FIONREAD, array.array("i", [0]))
"""
    with hanging(code, then="hang_too()") as hung:
        identity = ProcessIdentity(hung.process.pid)
        assert hung.process.stdin is not None
        hung.process.stdin.write(b"\n")
        hung.process.stdin.flush()
        state = None
        while state != "D":
            with open(f"/proc/{identity.pid}/stat", encoding="utf-8") as file:
                state = file.read().rpartition(")")[2].split()[0]
        assert identity.life() is Life.LIVING
        hung.process.kill()
        assert identity.life() is Life.DYING
