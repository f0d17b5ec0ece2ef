"""A program is tried: what it says counts, and nobody waits for its end."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from harness.pass_mount import pass_mount
from tests.hanging import fifo, hanging_in
from twisted_virtlog.handover import trial
from twisted_virtlog.handover.trial import VERDICT, Result, run

#: Says yes.
_YES = f"import os; os.write(int(os.environ['{VERDICT}']), b'\\0')"


def _children() -> set[int]:
    """Return the children of this process; some may be of other tests."""
    found = set()
    for one in Path("/proc").glob("[0-9]*/stat"):
        # (some end meanwhile)
        with suppress(OSError):
            # (the name, which may have blanks in it, ends with the last bracket)
            if int(one.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.add(int(one.parent.name))
    return found


@pytest.fixture(autouse=True)
def _no_child() -> Iterator[None]:
    """After each test there is no child that was not there before."""
    before = _children()
    yield
    trial.reap()
    assert _children() <= before


def tried(code: str, seconds: float = 60.0) -> Result:
    """Try a program in Python."""
    command = (sys.executable, "-S", "-c", code)
    return run(command[0], command, "/", os.environ, seconds)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("print('said')", Result(0, "said\n")),
        ("import sys; print('said', file=sys.stderr); sys.exit(3)", Result(3, "said\n")),
        ("import os; os.kill(os.getpid(), 9)", Result(-9, "")),
        (f"print('said', flush=True); {_YES}", Result(0, "said\n")),
        (f"import os; os.close(int(os.environ['{VERDICT}'])); os._exit(4)", Result(4, "")),
        ("import os; os.write(1, b'\\xff')", Result(0, "\ufffd")),
    ],
)
def test_what_it_comes_to(code: str, expected: Result) -> None:
    """By what it says, or by its end, as earlier releases do."""
    assert tried(code) == expected


def test_where_and_how_it_runs(tmp_path: Path) -> None:
    """In its directory, by its name, and with nothing to read."""
    script = tmp_path / "program"
    script.write_text("#!/bin/sh\npwd; echo $1 $VARIABLE; cat\n")
    script.chmod(0o755)
    said = run(str(script), ("name", "argument"), str(tmp_path), {"VARIABLE": "set"}, 60.0)
    assert said == Result(0, f"{tmp_path}\nargument set\n")


def test_it_gets_no_descriptor_but_its_own(tmp_path: Path) -> None:
    """What is closed by an exec is not among them, what an exec leaves open is."""
    read_end, write_end = os.pipe()
    os.set_inheritable(read_end, True)
    code = f"""
import os
verdict = os.environ["{VERDICT}"]
print(sorted(set(os.listdir("/proc/self/fd")) & {{"{read_end}", "{write_end}", verdict}}), verdict)
"""
    found, _, verdict = tried(code).output.strip().rpartition(" ")
    assert found == str(sorted([str(read_end), verdict]))
    os.close(read_end)
    os.close(write_end)


def test_one_that_says_yes_need_not_end() -> None:
    """It is ended, and leaves nothing behind."""
    assert tried(f"import signal; {_YES}; signal.pause()") == Result(0, "")


@pytest.mark.lengthy
def test_one_that_says_yes_and_cannot_end(tmp_path: Path) -> None:
    """Its status is fetched when it has one."""
    with fifo(tmp_path / "fifo") as guest:
        code = f"import os; {hanging_in(tmp_path / 'fifo', _YES + '; hang()')}"
        assert tried(code) == Result(0, "")
        (left,) = trial._left
        assert left.returncode is None
        trial.reap()
        assert trial._left == [left]
        guest.kill()
        os.waitid(os.P_PID, left.pid, os.WEXITED | os.WNOWAIT)
        # The next trial looks first.
        assert tried("print('next')") == Result(0, "next\n")
        assert trial._left == []


def test_one_that_neither_says_anything_nor_ends() -> None:
    """It is ended."""
    with pytest.raises(TimeoutError, match=r"neither said .* nor ended in time"):
        tried("import signal; signal.pause()", seconds=0.5)


def test_only_the_end_of_what_it_says_is_kept() -> None:
    """However much that is, and also if another process goes on with it."""
    said = tried("print('x' * 3_000_000 + 'y')").output
    assert len(said) == 65536
    assert said.endswith("xy\n")


def test_a_process_that_has_its_output_is_not_waited_for() -> None:
    """It may run on for ever."""
    code = """
import os, signal
read_end, write_end = os.pipe()
child = os.fork()
if not child:
    os.close(read_end)
    os.write(write_end, b"!")
    signal.pause()
os.read(read_end, 1)
print(child, flush=True)
"""
    said = tried(code)
    assert said.status == 0
    os.kill(int(said.output), 9)


def test_a_program_that_cannot_be_started() -> None:
    """Nothing is left open."""
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        run("/nowhere/program", ("program",), "/", {}, 60.0)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.fuse
def test_a_child_that_waits_before_it_is_another_program(tmp_path: Path) -> None:
    """It closes a file that does not answer; this process goes on all the same.

    If it did that before its exec, the child would hold up this process with all its threads.
    """
    outcome: list[BaseException] = []

    def try_it() -> None:
        try:
            tried(_YES, seconds=0.0)
        except OSError as error:
            outcome.append(error)

    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    with ExitStack() as stack:
        mount = stack.enter_context(pass_mount(tmp_path / "there", tmp_path / "here"))
        file = stack.enter_context(open(mount.point / "file", "wb"))
        assert not os.get_inheritable(file.fileno())
        before = _children()
        with mount.stopped():
            thread = threading.Thread(target=try_it)
            thread.start()
            while not any(_is_at_its_exec(child) for child in _children() - before):
                os.sched_yield()
            assert thread.is_alive()
        # (it is too late by now)
        thread.join()
    (error,) = outcome
    assert isinstance(error, TimeoutError)


def _children() -> set[int]:
    """Return the children of all threads."""
    return {
        int(child)
        for task in os.listdir("/proc/self/task")
        for child in Path(f"/proc/self/task/{task}/children").read_text().split()
    }


def _is_at_its_exec(pid: int) -> bool:
    """Return whether a process has the memory of a program that has not begun."""
    return 0 < int(Path(f"/proc/{pid}/statm").read_text().split()[0]) < 100
