"""Logs in lanes and in the reactor's thread used at random, with every byte accounted for."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import re
import resource
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.effort import examples
from tests.fakes.reactor import FakeReactor
from tests.logs.fakes import DOMAIN, DRIVER, KIB, Threads, log_settings
from tests.logs.lanes.test_lane import Gate
from twisted_virtlog.errors import LogBusy, NoAnswer, NoSuchLog, NotWritten
from twisted_virtlog.handover.state import OpenLogState, by_log
from twisted_virtlog.logs.all_logs import AllLogs, LaneSettings
from twisted_virtlog.logs.files.names import oldest_first
from twisted_virtlog.logs.lanes.lane_logs import LaneLogs
from twisted_virtlog.logs.observing import ObserverOf, nobody
from twisted_virtlog.logs.pipes.making import PipeLimits, Pipes
from twisted_virtlog.loop.guest_pipes import PipeWatch
from twisted_virtlog.values import Closed, Opened, Position

TIMEOUT = 5
BACKUPS = 32
#: No file grows beyond it while files refuse.
FULL = 20_000
#: How long anything may take on a machine that is busy.
PATIENCE_SECONDS = 60.0

NOTICE = re.compile(rb"\n?\[virtlogd: (\d+) bytes lost from [^\[\]]*\]\n")


@dataclass
class Asked:
    """A call whose answer is not there yet.

    :ivar kind: of call.
    :ivar floor: what was written to the log before.
    :ivar size: of the message of an append.
    """

    kind: str
    log: Log
    floor: int
    size: int = 0
    found: list[Any] = field(default_factory=list)


def _all_text(end: bytes) -> bytes:
    return b"".join(b"%015d" % number + end for number in range(1 << 17))


TEXT = {end: _all_text(end) for end in (b";", b"\n")}


class Log:
    """A log, its guest, and what should be in its files.

    :ivar end: the write end; -1 without a guest.
    :ivar written: how much of the text of numbered lines was written, by guests and in messages.
    :ivar answered: positions that callers were told, with what they must cover.
    :ivar unsure: the size of a message that may have been written.
    :ivar waits_for: the kinds of calls that are under way.
    """

    def __init__(self, path: str, line_end: bytes) -> None:
        self.path = path
        self.end = -1
        self.written = 0
        self.lost = 0
        self.answered: list[tuple[Position, int]] = []
        self.unsure = 0
        self.waits_for: set[str] = set()
        self._text = TEXT[line_end]

    @property
    def has_guest(self) -> bool:
        """Whether its write end is open."""
        return self.end >= 0

    def next(self, count: int) -> bytes:
        """Return what is written next."""
        assert self.written + count <= len(self._text)
        return self._text[self.written : self.written + count]

    def write(self, count: int) -> None:
        """Write as much as the pipe takes, but some."""
        self.written += os.write(self.end, self.next(count))

    def close_end(self) -> None:
        """Let its guest end."""
        if self.has_guest:
            os.close(self.end)
        self.end = -1

    def files(self) -> list[Path]:
        """Return its files, oldest first."""
        return [Path(name) for name in oldest_first(self.path, BACKUPS) if os.path.exists(name)]

    def check(self) -> None:
        """See that every byte is in the files once and in order, or said to be missing there."""
        whole = b""
        ends = {}
        for file in self.files():
            ends[file.stat().st_ino] = len(whole)
            whole += file.read_bytes()
        front, self.lost = self._account(whole)
        if self.unsure:
            assert front - self.written in (0, self.unsure), (front, self.written, self.unsure)
            self.written, self.unsure = front, 0
        assert front == self.written, (self.path, front, self.written)
        for position, floor in self.answered:
            covered, _ = self._account(whole[: ends[position.inode] + position.offset])
            assert covered >= floor, (self.path, position, covered, floor)
        self.answered.clear()

    def _account(self, whole: bytes) -> tuple[int, int]:
        """Return how much of the text is there, or lost, and how much of that is lost."""
        front = lost = at = 0
        for notice in [*NOTICE.finditer(whole), None]:
            part = whole[at : notice.start() if notice else len(whole)]
            assert part == self._text[front : front + len(part)], (
                f"{self.path}: at {at} there is {part[:80]!r} ..., not"
                f" {self._text[front : front + 80]!r} at {front} of {self.written}"
            )
            front += len(part)
            if notice:
                front += int(notice[1])
                lost += int(notice[1])
                at = notice.end()
        return front, lost


class LanesMachine(RuleBasedStateMachine):
    """Two logs, on a reactor that turns by hand, and threads that are real.

    :ivar gates: in which lanes hang.
    :ivar asked: calls that are under way.
    :ivar refuses: whether files may not grow for long.
    """

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.threads = set(threading.enumerate())
        gc.collect()
        self.descriptors = _links()
        self.reactor = FakeReactor()
        self.clock = Clock()
        self.gates: dict[LaneLogs, Gate] = {}
        self.asked: list[Asked] = []
        self.refuses = False

    @initialize(
        threads=st.sampled_from(["always", "auto", "auto"]),
        drops=st.booleans(),
        max_size=st.sampled_from([0, 50_000]),
    )
    def begin(self, threads: str, drops: bool, max_size: int) -> None:
        self.drops = drops
        self.lane_settings = LaneSettings(threads, TIMEOUT)
        self.settings = log_settings(max_size, BACKUPS, drops=drops)
        self.logs = self.make()
        line_end = b";" if drops else b"\n"
        self.all = [Log(f"{self.directory.name}/{name}.log", line_end) for name in "ab"]

    def make(self) -> AllLogs:
        return AllLogs(
            self.reactor,
            self.clock,
            Threads(),
            PipeWatch(self.reactor, rest_seconds=0),
            Pipes(64 * KIB, PipeLimits(1024 * KIB, None)),
            self.settings,
            lane_settings=self.lane_settings,
            observer_of=self.observer_of(),
        )

    def observer_of(self) -> ObserverOf:
        """Return what makes those who want to know of logs."""
        return nobody

    # How answers come.

    def until(self, condition: Callable[[], object]) -> None:
        """Turn until something holds, and let failing logs be tried soon."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, [
                self.logs._moving,
                [(one.kind, one.log.path) for one in self.asked],
                [(one.lane.name, one.lane.is_silent, one.names()) for one in self.lanes],
            ]
            self.go_on()

    def go_on(self) -> None:
        """Turn once, and let a little time pass if nothing is to be done."""
        if not self.reactor.turn():
            self.clock.advance(0.06)
            self.try_again()
            # (the lanes' threads are to have the processor)
            os.sched_yield()

    def try_again(self) -> None:
        """Let failing logs be tried without a wait of a second."""
        for log in self.logs._inline.open_logs():
            if log.outage is not None:
                log.outage.tried_at -= 1.0
        for lane in self.lanes:
            if lane not in self.gates:
                for log in lane._open_logs():
                    outage = log.outage
                    if outage is not None:
                        outage.tried_at -= 1.0

    def ask(self, kind: str, log: Log, call: Callable[[], Any], size: int = 0) -> Asked:
        """Ask, and wait for the answer unless a lane hangs."""
        asked = Asked(kind, log, log.written, size)
        log.waits_for.add(kind)
        self.asked.append(asked)
        try:
            answer = call()
        except Exception as error:  # noqa: BLE001 (as an answer)
            answer = Failure(error)
        if isinstance(answer, Deferred):
            answer.addBoth(asked.found.append)
        else:
            asked.found.append(answer)
        if not self.gates:
            self.until(lambda: asked.found)
        self.look()
        return asked

    def look(self) -> None:
        """See what has been answered."""
        for asked in [one for one in self.asked if one.found]:
            self.asked.remove(asked)
            log = asked.log
            if not any(one.kind == asked.kind and one.log is log for one in self.asked):
                log.waits_for.discard(asked.kind)
            (result,) = asked.found
            if isinstance(result, Failure):
                self.failed(asked, result.value)
            elif isinstance(result, Position):
                if asked.kind == "append":
                    log.written += asked.size
                log.answered.append((result, asked.floor + asked.size))
            elif isinstance(result, Opened):
                assert not log.has_guest
                log.end = result.write_end
                os.set_blocking(log.end, False)
            elif isinstance(result, Closed):
                assert not result.dropped
                log.close_end()

    def failed(self, asked: Asked, error: BaseException) -> None:
        """See that a failure is one that may be."""
        log = asked.log
        if isinstance(error, NoSuchLog):
            assert asked.kind in {"position", "close"}
            return
        if isinstance(error, NotWritten):
            assert asked.kind in {"position", "append", "close"}
            silent = error.errno == errno.ETIMEDOUT
            assert silent or self.refuses or self.drops, error
            if error.maybe_written:
                log.unsure = asked.size
            if asked.kind == "close":
                log.close_end()
            return
        if isinstance(error, NoAnswer):
            assert asked.kind in {"open", "read"}
            return
        if isinstance(error, LogBusy):
            assert asked.kind == "open"
            return
        raise AssertionError(repr(error)) from error

    @property
    def lanes(self) -> list[LaneLogs]:
        return list(self.logs._lanes.values())

    # What guests and callers do.

    which = st.integers(0, 1)

    @rule(which=which)
    def open(self, which: int) -> None:
        log = self.all[which]
        if not log.has_guest and not log.waits_for and not log.unsure:
            self.ask("open", log, lambda: self.logs.open(log.path, DRIVER, DOMAIN, False))

    @rule(which=which, size=st.one_of(st.integers(1, 300), st.integers(300, 70_000)))
    def write(self, which: int, size: int) -> None:
        log = self.all[which]
        if not log.has_guest or log.unsure or {"append", "close"} & log.waits_for:
            return
        with contextlib.suppress(BlockingIOError):
            log.write(size)

    @rule(which=which)
    def position(self, which: int) -> None:
        log = self.all[which]
        if not log.unsure and "append" not in log.waits_for:
            self.ask("position", log, lambda: self.logs.position(log.path))

    @rule(which=which)
    def read(self, which: int) -> None:
        log = self.all[which]
        if log.written and log.files():
            self.ask("read", log, lambda: self.logs.read(log.path, None, 100))

    @rule(which=which, size=st.integers(1, 2000))
    def append(self, which: int, size: int) -> None:
        log = self.all[which]
        if not log.has_guest or log.unsure or log.waits_for:
            return
        message = log.next(size)
        self.ask("append", log, lambda: self.logs.append(log.path, message, DRIVER, DOMAIN), size)

    @rule(which=which)
    def end_guest(self, which: int) -> None:
        """What a failing file has no room for would be lost with its guest, if that is dropped."""
        log = self.all[which]
        if not (self.refuses and self.drops) and "close" not in log.waits_for:
            log.close_end()

    @rule(which=which)
    def close_by_force(self, which: int) -> None:
        log = self.all[which]
        if not log.has_guest or log.waits_for or log.unsure or self.refuses:
            return
        if self.gates or self.settle():
            self.ask("close", log, lambda: self.logs.close_log(log.path))

    # What happens to files and lanes.

    @precondition(lambda self: not self.refuses)
    @rule()
    def refuse(self) -> None:
        self.refuses = True
        resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, resource.RLIM_INFINITY))

    @precondition(lambda self: self.refuses)
    @rule()
    def heal(self) -> None:
        self.refuses = False
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)

    @rule(number=st.integers(0, 3))
    def hang(self, number: int) -> None:
        lanes = [one for one in self.lanes if one not in self.gates]
        if lanes:
            lane = lanes[number % len(lanes)]
            gate = self.gates[lane] = Gate()
            lane.lane.tell(gate)
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not gate._entered.is_set():
                assert time.monotonic() < deadline
                self.reactor.turn()

    @precondition(lambda self: self.gates)
    @rule()
    def fall_silent(self) -> None:
        for lane in self.gates:
            lane.lane.loop.since -= TIMEOUT
        self.clock.advance(TIMEOUT)
        self.look()
        # (of the lanes that hang nobody waits)
        for lane in self.gates:
            assert lane.lane.is_silent or lane.is_idle
        if not [one for one in self.lanes if one not in self.gates]:
            assert not self.asked, [(one.kind, one.log.path) for one in self.asked]

    @precondition(lambda self: self.gates)
    @rule()
    def drop(self) -> None:
        """Whoever is not to wait has room soon, while his lane is silent."""
        for _ in range(10):
            self.clock.advance(0.01)
            self.reactor.turn()
        if not self.drops:
            return
        for log in self.all:
            lane = next((one for one in self.gates if one.has_open(log.path)), None)
            if log.has_guest and lane is not None and lane.lane.is_silent:
                if log.unsure or {"append", "close"} & log.waits_for:
                    continue
                log.write(10)

    @precondition(lambda self: self.gates)
    @rule()
    def let_go(self) -> None:
        for gate in self.gates.values():
            gate.let_go()
        gone_on = list(self.gates)
        self.gates.clear()
        self.until(lambda: not any(lane.lane.is_silent for lane in gone_on))
        self.until(lambda: all(asked.found for asked in self.asked))
        self.look()

    @rule(which=which)
    def slow(self, which: int) -> None:
        """Let a file system get a lane, or nearly."""
        path = self.all[which].path
        self.logs.slow(path, path)
        self.clock.advance(0.31)

    @rule(which=which)
    def locked(self, which: int) -> None:
        """Let a log get a lane for itself."""
        if self.all[which].has_guest:
            self.logs.pipe_locked(self.all[which].path)
            self.clock.advance(0.1)

    @rule(seconds=st.sampled_from([1.1, 61.0, 700.0]))
    def pass_time(self, seconds: float) -> None:
        if not self.gates:
            self.clock.advance(seconds)
            for _ in range(5):
                self.reactor.turn()

    @rule()
    def pause(self) -> None:
        """A hand-over that does not come about."""
        paused = self.logs.pause()
        if not self.gates:
            self.until(lambda: paused.called)
        self.logs.go_on()

    @precondition(lambda self: not self.gates)
    @rule()
    def hand_over(self) -> None:
        self.look()
        assert not self.asked
        paused = self.logs.pause()
        self.until(lambda: paused.called)
        self.suspend()
        states = [_copied(state) for state in self.logs.suspended()]
        totals = self.logs.totals()
        self.abandon()
        self.logs = self.make()
        self.logs.add_totals(totals)
        for *former, state in by_log(states):
            self.logs.adopt(state, former)
        self.logs.write_former()
        self.resume()

    def suspend(self) -> None:
        """Let others prepare for the next image."""

    def resume(self) -> None:
        """Let others go on in it."""

    def abandon(self) -> None:
        """End all logs as an exec does: nothing is written any more."""
        inline = self.logs._inline
        logs = inline.open_logs()
        pipes = [one.pipe for log in logs for one in log._former] + [log.pipe for log in logs]
        inline._failing.close()
        for log in logs:
            inline.watch.remove(log.pipe)
            log.writer.close()
        inline._logs.clear()
        inline._real.clear()
        for pipe in pipes:
            inline.pipes.close(pipe)
        for lane in self.lanes:
            for log in lane._open_logs():
                for one in log._former:
                    lane._common.pipes.close(one.pipe)
        self.end_logs()

    def end_logs(self) -> None:
        threads = [lane.lane._thread for lane in self.lanes]
        self.logs.close()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()

    @precondition(lambda self: not self.gates)
    @rule()
    def look_at_all(self) -> None:
        self.settle()

    def settle(self) -> bool:
        """See that all that was written is in the files, or said to be lost."""
        self.until(lambda: all(asked.found for asked in self.asked))
        self.look()
        done = True
        for log in self.all:
            done = self.settle_log(log) and done
        return done

    def settle_log(self, log: Log) -> bool:
        found: list[Any] = []

        def is_written() -> bool:
            if not found:
                found.append(None)
                later = _deferred(lambda: self.logs.position(log.path))
                later.addBoth(found.append)
            if len(found) < 2:
                return False
            result = found[1]
            if isinstance(result, Position):
                return log.has_guest or not self.logs.has(log.path) or _retry(found)
            assert isinstance(result, Failure), result
            if result.check(NoSuchLog):
                return not log.has_guest or _retry(found)
            assert result.check(NotWritten), result
            return self.refuses or _retry(found)

        self.until(is_written)
        if isinstance(found[1], Failure) and found[1].check(NotWritten):
            return False
        log.check()
        return True

    def teardown(self) -> None:
        try:
            if hasattr(self, "logs"):
                self.finish()
        finally:
            self.heal()
            self.directory.cleanup()

    def finish(self) -> None:
        try:
            self.heal()
            if self.gates:
                self.let_go()
            assert self.settle()
            lost = sum(log.lost for log in self.all)
            assert self.logs.counts().bytes_lost == lost
        finally:
            for gate in self.gates.values():
                gate.let_go()
            for log in self.all:
                log.close_end()
        self.until(lambda: not self.logs.counts().open_logs)
        finished = self.logs.finish()
        self.until(lambda: finished.called)
        self.end_logs()
        for log in self.all:
            log.check()
        # (pipes are closed by a thread)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while set(threading.enumerate()) - self.threads or len(_links()) > len(self.descriptors):
            gc.collect()
            assert time.monotonic() < deadline, [
                threading.enumerate(),
                {name: link for name, link in _links().items() if name not in self.descriptors},
            ]


def _retry(found: list[Any]) -> bool:
    found.clear()
    return False


def _deferred(call: Callable[[], Any]) -> Deferred[Any]:
    later: Deferred[Any] = Deferred()
    try:
        answer = call()
    except Exception as error:  # noqa: BLE001 (as an answer)
        answer = Failure(error)
    if isinstance(answer, Deferred):
        return answer
    later.callback(answer)
    return later


def _copied(state: OpenLogState) -> OpenLogState:
    """Return a state with descriptors of its own, as an exec keeps them."""
    details = state.details
    assert details is not None
    if details.staged is not None:
        details = msgspec.structs.replace(details, staged=os.dup(details.staged))
    return msgspec.structs.replace(state, pipe=os.dup(state.pipe), details=details)


def _links() -> dict[str, str]:
    """Return what descriptors there are, and of what."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[name] = os.readlink(f"/proc/self/fd/{name}")
    return found


TestLanes = pytest.mark.lengthy(LanesMachine.TestCase)
TestLanes.settings = settings(
    max_examples=examples(10),
    stateful_step_count=30,
    deadline=None,
    # (an example is not the same twice, as the threads are real)
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
