"""The threads that write: when they begin and end, and who waits for whom."""

from __future__ import annotations

import _thread
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.daemon import CHECKOUT
from tests.daemon.log.conftest import PATIENCE, write_all
from twisted_virtlog.daemon.log import output_thread
from twisted_virtlog.daemon.log.output_thread import ENTRY_BYTES, MOST_BYTES, flush, thread_of
from twisted_virtlog.loop.signals import OBEYED


def test_a_place_has_one_thread_which_ends_when_nobody_needs_it() -> None:
    """While it is needed it waits for more."""
    place = thread_of("/a place")
    assert thread_of("/a place") is place
    place.users = 1
    seen: list[int] = []
    for _ in range(2):
        place.do(lambda: seen.append(threading.get_native_id()))
        write_all()
        assert not place.is_idle
    place.users = 0
    place.do(lambda: seen.append(threading.get_native_id()))
    while not place.is_idle:
        os.sched_yield()
    assert len(set(seen)) == 1
    place.do(lambda: seen.append(threading.get_native_id()))
    write_all()
    assert len(seen) == 4


def test_a_place_that_nobody_needs_is_forgotten() -> None:
    """The daemon may log to any number of files, one after the other."""
    thread_of("/forgotten").do(lambda: None)
    write_all()
    while "/forgotten" in output_thread._threads:
        os.sched_yield()


def test_it_gets_no_signals() -> None:
    """Those that wait for the next image must not end up there."""
    masks = []
    thread_of("/a place").do(lambda: masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ())))
    write_all()
    assert masks[0] >= OBEYED


def test_a_job_that_fails_does_not_end_it() -> None:
    """The next is done, and the room is free again."""
    done = []
    place = thread_of("/a place")
    for _ in range(3):
        place.offer(MOST_BYTES, lambda: 1 // 0)
        write_all()
    place.offer(1, lambda: done.append(place.untold))
    write_all()
    assert done == [0]


class Held:
    """A thread that hangs until it is let go."""

    def __init__(self, name: str) -> None:
        self.thread = thread_of(name)
        self._go = threading.Event()
        begun = threading.Event()
        self.thread.do(lambda: (begun.set(), self._go.wait(PATIENCE)))
        assert begun.wait(PATIENCE)

    def let_go(self) -> None:
        """Let it go on."""
        self._go.set()
        write_all()


def test_who_waits_for_all_waits_no_longer_than_that() -> None:
    """What hangs is named; others are done by then."""
    held = Held("/hangs")
    done = []
    thread_of("/works").do(lambda: done.append(True))
    assert flush(0.1) == [held.thread]
    held.let_go()
    assert flush(PATIENCE) == []
    assert done == [True]


def test_messages_take_the_room_of_their_bytes_and_some_more() -> None:
    """What is full takes nothing, however small; what was missed is told by the first that fits."""
    held = Held("/hangs")
    place = held.thread
    seen: list[tuple[str, int]] = []
    fits = MOST_BYTES // (1000 + ENTRY_BYTES) + 1
    for _ in range(fits):
        place.offer(1000, lambda: None)
    for _ in range(5):
        place.offer(1, lambda: seen.append(("missed", 0)))
    place.do(lambda: seen.append(("done in any case", 0)))
    held.let_go()
    place.offer(1, lambda: seen.append(("after", place.untold)))
    write_all()
    assert seen == [("done in any case", 0), ("after", 5)]
    place.untold = 0


def test_a_message_larger_than_the_queue_is_taken_by_one_that_has_room() -> None:
    """It is in memory anyway."""
    seen = []
    thread_of("/a place").offer(10 * MOST_BYTES, lambda: seen.append(True))
    write_all()
    assert seen == [True]


def test_a_finaliser_may_log_while_a_message_is_taken() -> None:
    """At any moment: neither does it wait for its own thread, nor are sums wrong afterwards."""
    place = thread_of("/a place")
    order = []

    class Size(int):
        """Logs when it is added to something."""

        def __add__(self, other: int) -> int:
            place.offer(1, lambda: order.append("of the finaliser"))
            return int(self) + other

    place.offer(Size(1), lambda: order.append("the first"))
    write_all()
    assert order == ["the first", "of the finaliser"]
    assert place._taken == place._done


def test_nobody_waits_for_who_takes_a_message() -> None:
    """Whoever it is: a thread that hangs there holds up no other."""
    place = thread_of("/a place")
    done = []
    with place._taking:
        place.offer(1, lambda: done.append(1))
    write_all()
    assert done == []
    place.offer(1, lambda: done.append(2))
    write_all()
    assert done == [1, 2]


def test_what_waits_is_done_once_there_may_be_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a limit for threads, too."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    place = thread_of("/a place")
    done: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(_thread, "start_new_thread", refuse)
        place.offer(1, lambda: done.append(1))
    assert done == []
    place.offer(1, lambda: done.append(2))
    write_all()
    assert done == [1, 2]


_END = """
import sys, threading
from twisted.logger import Logger
from twisted_virtlog.daemon.log.observer import OwnLog
from twisted_virtlog.daemon.log.output_thread import thread_of
from twisted_virtlog.config.logging import parse_outputs

log = OwnLog(lambda _: [], outputs=parse_outputs(sys.argv[1]))
# A thread that is late, or hangs.
thread_of(sys.argv[2]).do(lambda: threading.Event().wait(float(sys.argv[3])))
Logger(observer=log).error("the last words")
{end}
"""


@pytest.mark.lengthy
@pytest.mark.parametrize("seconds", ["0.2", "1000"])
@pytest.mark.parametrize(
    ("end", "status"), [("sys.exit(7)", 7), ("raise ValueError('of the daemon')", 1)]
)
def test_the_end_of_the_process_waits_for_the_last_messages(
    tmp_path: Path, end: str, status: int, seconds: str
) -> None:
    """A second at most: what hangs holds up no end."""
    file = tmp_path / "log"
    outputs = f"1:stderr 1:file:{file}"
    script = _END.format(end=end)
    run = subprocess.run(
        [sys.executable, "-c", script, outputs, "standard error", seconds],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert run.returncode == status
    assert ("the last words" in run.stderr) == (seconds == "0.2")
    assert ("of the daemon" in run.stderr) == (status == 1)
    assert file.read_text().endswith(": the last words\n")
