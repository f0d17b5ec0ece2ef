"""Read ends are closed by threads, where a guest could let whoever closes them wait."""

from __future__ import annotations

import contextlib
import os
import threading

import pytest

from tests.locked_pipe import locked
from twisted_virtlog.logs.pipes import closing
from twisted_virtlog.logs.pipes.closing import PipeCloser


def closers() -> set[threading.Thread]:
    """Return the threads that close pipes, or could; those of former tests end when they will."""
    return {thread for thread in threading.enumerate() if thread.name == "pipes to close"}


def holds(what: str) -> bool:
    """Return whether this process has something open, by what /proc calls it."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"/proc/self/fd/{name}") == what:
                return True
    return False


def test_a_pipe_without_write_ends_is_closed_at_once() -> None:
    """As nearly all are; no thread is needed."""
    before = closers()
    read_end, write_end = os.pipe()
    os.close(write_end)
    pipe = os.readlink(f"/proc/self/fd/{read_end}")
    assert holds(pipe)
    closer = PipeCloser()
    closer.close(read_end)
    assert not holds(pipe)
    assert closer.unclosed() == ()
    assert closers() <= before


def test_a_pipe_that_is_known_to_have_ended_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    os.close(write_end)
    pipe = os.readlink(f"/proc/self/fd/{read_end}")
    monkeypatch.setattr(
        "twisted_virtlog.logs.pipes.closing.pipe_events", lambda _: pytest.fail("it was asked")
    )
    PipeCloser().close(read_end, has_ended=True)
    assert not holds(pipe)


def test_a_pipe_that_a_guest_has_is_closed_soon() -> None:
    """One thread closes one after another, and its guest's writes are refused from then on."""
    closer = PipeCloser()
    threads = closers()
    for _ in range(20):
        read_end, write_end = os.pipe()
        closer.close(read_end)
        assert closer.finish(10) == ()
        with pytest.raises(BrokenPipeError):
            os.write(write_end, b"x")
        os.close(write_end)
    assert len(closers() - threads) <= 1


def test_a_locked_pipe_holds_up_no_other() -> None:
    """It takes a thread with it until it is not locked any more."""
    closer = PipeCloser()
    read_end, write_end = os.pipe()
    number = os.fstat(read_end).st_ino
    with locked(write_end):
        closer.close(read_end)
        for _ in range(3):
            other, other_write_end = os.pipe()
            closer.close(other)
            while closer.unclosed() != (number,):
                os.sched_yield()
            with pytest.raises(BrokenPipeError):
                os.write(other_write_end, b"x")
            os.close(other_write_end)
        assert closer.finish(0.01) == (number,)
    assert closer.finish(10) == ()
    os.close(write_end)


def test_a_keeper_lets_go_first() -> None:
    """Of a pipe that a guest has; for one that nobody has, nobody waits."""
    closer = PipeCloser()
    read_end, write_end = os.pipe()
    let_go = threading.Event()
    closer.close(read_end, lambda: let_go.wait)
    assert len(closer.finish(0.01)) == 1
    os.write(write_end, b"not closed yet")
    let_go.set()
    assert closer.finish(10) == ()
    os.close(write_end)
    read_end, write_end = os.pipe()
    os.close(write_end)
    closer.close(read_end, lambda: pytest.fail("nobody is to be waited for"))
    assert closer.unclosed() == ()


def test_no_more_threads_are_lost_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pipes beyond that stay open, and are closed when one of them comes back."""
    monkeypatch.setattr(closing, "MOST_THREADS", 1)
    closer = PipeCloser()
    read_end, write_end = os.pipe()
    others = [os.pipe() for _ in range(3)]
    threads = closers()
    with locked(write_end):
        closer.close(read_end)
        for other, _ in others:
            closer.close(other)
        assert len(closer.finish(0.01)) == 4
        assert len(closers() - threads) <= 1
    assert closer.finish(10) == ()
    for _, end in (*others, (0, write_end)):
        os.close(end)


def test_a_thread_that_cannot_be_had_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipe is closed with the next one."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    closer = PipeCloser()
    ends = [os.pipe(), os.pipe()]
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        closer.close(ends[0][0])
    assert len(closer.unclosed()) == 1
    closer.close(ends[1][0])
    assert closer.finish(10) == ()
    for _, write_end in ends:
        os.close(write_end)


def test_idle_threads_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon in which no pipe is closed by force has none."""
    monkeypatch.setattr(closing, "_IDLE_SECONDS", 0.0)
    closer = PipeCloser()
    read_end, write_end = os.pipe()
    closer.close(read_end)
    assert closer.finish(10) == ()
    for thread in threading.enumerate():
        if thread.name == "pipes to close":
            thread.join(10)
    assert closers() == set()
    os.close(write_end)


def test_a_descriptor_that_is_not_open_is_an_error() -> None:
    """And what is no pipe is closed at once."""
    closer = PipeCloser()
    closer.close(os.memfd_create("no pipe"))
    assert not holds("/memfd:no pipe (deleted)")
    with pytest.raises(OSError, match="Bad file descriptor"):
        closer.close(999_999)
