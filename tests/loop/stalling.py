"""A reactor of each kind that stands still; run by test_stall_watch.py, as a process has one only.

Arguments: the name of the reactor, and how it stands still. Each ends only once the watch has told
that it stands still, so that no time matters here. The last line says that all went as it should.
"""

from __future__ import annotations

import importlib
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from twisted.logger import LogEvent, globalLogPublisher

from twisted_virtlog.loop import stall_watch
from twisted_virtlog.loop.concern import Client, Concern
from twisted_virtlog.loop.stall_watch import StallCause, StallWatch
from twisted_virtlog.loop.stalls import Judge, Look, Stall


class Log:
    """What the reactor does, for a log."""

    def __init__(self) -> None:
        self.end, self.other_end = os.pipe()

    def concern(self, names: Mapping[str, object]) -> Concern:
        return Concern(path=str(names["path"]))

    def hang(self, path: str) -> None:
        """Wait for a byte, as for a disk."""
        os.read(self.end, 1)


class Asking:
    """A client that has it done."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def concern(self, names: Mapping[str, object]) -> Concern:
        return Concern("/not/the/innermost", client=Client(12, 34))

    def ask(self) -> None:
        self.log.hang("/srv/a.log")


class Watched:
    """A reactor, the watch, and what the watch says."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.log = Log()
        self.told: list[str] = []
        self.threads: set[int] = set()
        self.watch = StallWatch(reactor, {"/srv/a.log": "/srv, nfs4 of files:/"}.get)
        # Nothing else wakes a reactor that waits.
        globalLogPublisher.addObserver(self._note)
        self.watch.start()

    def _note(self, event: LogEvent) -> None:
        if event.get("log_namespace") == "twisted_virtlog.loop.stall_watch.StallWatch":
            self.threads.add(threading.get_ident())
            self.told.append(str(event["log_format"]).format(**event))
            os.write(self.log.other_end, b"!")
            if len(self.told) % 2 == 0:
                # The reactor turns again.
                self.reactor.callFromThread(self.over)

    def over(self) -> None:
        self.watch.stop()
        self.reactor.stop()

    def run(self, first: Callable[[], object]) -> None:
        # (the watch begins in the first turn; a timer comes after that)
        self.reactor.callLater(0, lambda: self.reactor.callLater(0, first))
        self.reactor.run()
        assert threading.get_ident() not in self.threads
        assert self.watch.counts.stalls == len(self.told) // 2


def once(watched: Watched) -> None:
    """One call hangs."""
    watched.run(Asking(watched.log).ask)
    begun, ended = watched.told
    assert re.match(r"the reactor has stood still for \d+\.\d+ s", begun), begun
    assert "hang (line " in begun, begun
    about = ", for the log /srv/a.log (mount /srv, nfs4 of files:/, unless a symbolic link leads"
    assert about in begun, begun
    assert ", called by the client with pid 12, uid 34;" in begun, begun
    assert ended.startswith("the reactor turns again, after "), ended
    assert about in ended, ended
    counts = watched.watch.counts
    assert counts.stalls == 1
    assert counts.longest == counts.seconds >= 0.25
    # (where the kernel says what it waits for, it waits for a pipe)
    assert list(watched.watch.by_cause.values()) == [counts]
    assert watched.watch.by_cause.keys() <= {StallCause.PIPE, StallCause.LOG}
    assert sum(watched.watch.turns.counts[-4:]) >= 1


def others_select(watched: Watched) -> None:
    """It waits where an idle reactor of asyncio's does, but for something else."""
    import selectors

    def hang() -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(watched.log.end, selectors.EVENT_READ)
            selector.select()

    watched.run(hang)
    assert "selectors." in watched.told[0], watched.told
    assert list(watched.watch.by_cause) == [StallCause.OTHER]


def computes(watched: Watched) -> None:
    """It computes, and holds the interpreter meanwhile."""

    def count() -> None:
        # One step of the interpreter, which lets no other thread run.
        while not watched.told:
            sum(range(40_000_000))

    watched.run(count)
    assert "count (line " in watched.told[0], watched.told


def turns(watched: Watched) -> None:
    """It has something to do all the time, and turns."""
    import time

    ends = time.monotonic() + 1

    def again() -> None:
        if time.monotonic() < ends:
            watched.reactor.callLater(0, again)
        else:
            watched.over()

    watched.run(again)
    assert watched.told == [], watched.told


def idle(watched: Watched) -> None:
    """It has nothing to do, and is never woken up for the watch."""
    asked = []
    call = watched.reactor.callFromThread

    def done() -> None:
        watched.reactor.callFromThread = call
        watched.over()

    def begin() -> None:
        watched.reactor.callFromThread = lambda *more: (asked.append(more), call(*more))
        watched.reactor.callLater(1, done)

    watched.run(begin)
    assert watched.told == [], watched.told
    # (a look may have met one of the three turns)
    assert len(asked) <= 3, asked


def other_loop(watched: Watched) -> None:
    """It waits in a function that is not known, and is woken up to turn."""
    watched.run(lambda: watched.reactor.callLater(1, watched.over))
    assert watched.told == [], watched.told


def stopped(watched: Watched) -> None:
    """The process is stopped in the middle of a call; a child lets it go on."""
    import time

    parent = os.getpid()
    asked, looked = threading.Event(), threading.Event()
    call, judge_of = watched.reactor.callFromThread, Judge.judge

    def ask(*more: object) -> None:
        call(*more)
        asked.set()

    def look(judge: Judge, look: Look) -> Stall | None:
        found = judge_of(judge, look)
        looked.set()
        return found

    def is_stopped() -> bool:
        with open(f"/proc/{parent}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "T"

    def stop() -> None:
        watched.reactor.callFromThread = ask
        if not os.fork():
            while not is_stopped():
                pass
            time.sleep(1)
            os.kill(parent, signal.SIGCONT)
            os._exit(0)
        # From here on each moment counts until it turns.
        asked.wait()
        Judge.judge = look  # type: ignore[method-assign]
        os.kill(parent, signal.SIGSTOP)
        looked.wait()
        watched.reactor.callLater(0.2, end)

    def end() -> None:
        os.wait()
        watched.reactor.callFromThread = call
        Judge.judge = judge_of  # type: ignore[method-assign]
        watched.over()

    watched.run(stop)
    assert watched.told == [], watched.told


def runs_no_more(watched: Watched) -> None:
    """The reactor has been stopped, and the watch has not."""
    import time

    watched.run(watched.reactor.stop)
    # The thread of the reactor goes on without it.
    time.sleep(0.6)
    watched.watch.stop()
    assert watched.told == [], watched.told


def never_run(watched: Watched) -> None:
    """It is not run at all: no thread is begun."""
    assert threading.active_count() == 1
    watched.watch.stop()


WAYS = {
    way.__name__: way
    for way in (
        once,
        others_select,
        computes,
        turns,
        idle,
        other_loop,
        stopped,
        runs_no_more,
        never_run,
    )
}


if __name__ == "__main__":
    importlib.import_module(f"twisted.internet.{sys.argv[1]}").install()
    from twisted.internet import reactor

    if sys.argv[2] == "other_loop":
        stall_watch._WAITING_METHODS = ()
    WAYS[sys.argv[2]](Watched(reactor))
    sys.stdout.write("as it should be\n")
