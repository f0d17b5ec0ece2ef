"""Logs used at random, against a model of bytes."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from tests.effort import examples
from tests.logs.fakes import KIB, Guest, World, place
from twisted_virtlog.values import Dropped, Intake, Ledger, Outside, Position, Written

PIPE = 64 * KIB


@dataclass
class Log:
    """What a log should hold.

    :ivar written: all that was ever written to it, in order.
    :ivar in_pipe: how much of that may still be in its guest's pipe.
    :ivar begun: how much was written before the files were removed for truncation.
    :ivar found: how much was in the files when the log was opened, as the ledger is to say; so
        are ``truncated``, ``from_guest`` and ``appended``.
    """

    path: str
    written: bytes = b""
    in_pipe: int = 0
    begun: int = 0
    guest: Guest | None = None
    found: int = 0
    truncated: int = 0
    from_guest: int = 0
    appended: int = 0


Remembered = tuple[int, Position, int]

logs = st.integers(0, 1)
output = st.one_of(
    st.binary(max_size=300),
    st.tuples(st.integers(1, 400), st.sampled_from([b"\n", b"line\n", b"x", b"\0\xff"])).map(
        lambda part: part[1] * part[0]
    ),
)


class Logs(RuleBasedStateMachine):
    """Two logs; every byte written has its place in the model."""

    remembered: Bundle[Remembered] = Bundle("remembered")

    @initialize(
        max_size=st.sampled_from([0, 1, 80, 100, 300, 1024, 1500, 5000]),
        max_backups=st.integers(0, 3),
    )
    def start(self, max_size: int, max_backups: int) -> None:
        """Start a daemon."""
        self.directory = tempfile.TemporaryDirectory()
        # With files of one byte each byte makes a new one.
        self.most = 60 if max_size == 1 else PIPE
        self.max_size = max_size
        self.world = self.make_world(Path(self.directory.name), max_size, max_backups)
        self.logs = [Log(str(Path(self.directory.name) / f"{name}.log")) for name in "ab"]

    def make_world(self, directory: Path, max_size: int, max_backups: int) -> World:
        """Make the daemon."""
        return World(directory, max_size, max_backups)

    def teardown(self) -> None:
        """Stop the daemon, and find all bytes in their files."""
        if not hasattr(self, "world"):
            return
        self.world.close()
        for log in self.logs:
            self._compare(log, len(log.written))
        self.directory.cleanup()

    # What callers and guests do.

    @rule(which=logs, truncate=st.sampled_from([False, False, False, True]))
    def open(self, which: int, truncate: bool) -> None:
        """Open a log that is not open."""
        log = self.logs[which]
        if log.guest is not None:
            return
        log.found = len(self.world.whole(log.path))
        log.truncated = log.found if truncate else 0
        log.from_guest = log.appended = 0
        log.guest = self.world.open(log.path, truncate)
        if truncate:
            log.begun = len(log.written)
        self._settled(log)
        assert self._index(log, log.guest.position) == len(log.written)

    @rule(which=logs, data=output, turn=st.booleans())
    def write(self, which: int, data: bytes, turn: bool) -> None:
        """A guest writes, and sometimes the reactor turns."""
        log = self.logs[which]
        data = data[: self.most]
        if log.guest is None:
            return
        if log.in_pipe + len(data) > PIPE // 2:
            self.turn()
        log.guest.write(data)
        log.written += data
        log.from_guest += len(data)
        log.in_pipe += len(data)
        if turn:
            self.turn()

    @rule()
    def turn(self) -> None:
        """The reactor turns."""
        self.world.reactor.turn()
        for log in self.logs:
            self._settled(log)

    @rule(which=logs, message=output)
    def append(self, which: int, message: bytes) -> None:
        """A message is appended, to an open log or a closed one."""
        log = self.logs[which]
        message = message[: self.most]
        position = self.world.append(message, log.path)
        log.written += message
        log.appended += len(message)
        self._settled(log)
        assert self._index(log, position) == len(log.written)

    @rule(target=remembered, which=logs)
    def position(self, which: int) -> Remembered | MultipleResults[Remembered]:
        """A position is asked for, and remembered."""
        log = self.logs[which]
        if log.guest is None:
            return multiple()
        position = self.world.position(log.path)
        self._settled(log)
        assert self._index(log, position) == len(log.written)
        assert position == place(log.path, os.stat(log.path).st_size)
        return (which, position, len(log.written))

    @rule(target=remembered, where=consumes(remembered), max_bytes=st.integers(1, 3000))
    def read(self, where: Remembered, max_bytes: int) -> Remembered | MultipleResults[Remembered]:
        """A reader reads on from where it was."""
        which, position, index = where
        log = self.logs[which]
        if log.guest is None and not self.world.files(log.path):
            return multiple()
        excerpt = self.world.read(position, max_bytes, log.path)
        self._settled(log)
        start = self._index(log, excerpt.start)
        if excerpt.gap:
            assert self._index(log, position) != index, "it was there still"
            assert start == len(log.written) - len(self.world.whole(log.path))
        else:
            assert start == index
        assert start is not None
        index = start
        assert excerpt.data == log.written[index : index + max_bytes]
        end = index + len(excerpt.data)
        assert self._index(log, excerpt.end) == end
        assert excerpt.final == (log.guest is None)
        return (which, excerpt.end, end)

    @rule(which=logs)
    @precondition(lambda self: any(log.guest for log in self.logs))
    def end(self, which: int) -> None:
        """A guest ends, with bytes in its pipe perhaps."""
        log = self.logs[which]
        if log.guest is None:
            return
        log.guest.end()
        self.world.reactor.run()
        assert not self.world.is_open(log.path)
        log.guest = None
        for log in self.logs:
            self._settled(log)

    # What is always so.

    @invariant()
    def no_byte_is_lost_doubled_or_out_of_order(self) -> None:
        """The files together are the tail of what was written, but for what is in the pipe."""
        for log in getattr(self, "logs", []):
            self._compare(log, len(log.written) - log.in_pipe)

    @invariant()
    def every_byte_is_accounted_for(self) -> None:
        """By what was written here, and what is in the files."""
        for log in getattr(self, "logs", []):
            if log.guest is None:
                continue
            ledger = self.world.handler.ledger(log.path)
            assert isinstance(ledger, Ledger)
            assert ledger.holds
            assert (ledger.intake_gap, ledger.storage_gap) == (0, 0)
            assert ledger.intake == Intake(log.from_guest, Dropped(), log.in_pipe)
            assert ledger.written == Written(log.from_guest - log.in_pipe, log.appended, 0)
            assert ledger.storage is not None
            assert (ledger.storage.found, ledger.storage.outside) == (log.found, Outside())
            assert ledger.storage.kept == len(self.world.whole(log.path))
            assert ledger.storage.removed.truncate == log.truncated

    def _compare(self, log: Log, until: int) -> None:
        files = self.world.files(log.path)
        whole = b"".join(files.values())
        assert log.written[log.begun : until].endswith(whole)
        full = len(files) == self.world.max_backups + 1
        assert len(whole) == until - log.begun or (self.max_size and full)
        if self.max_size:
            assert all(len(data) <= self.max_size for data in files.values())

    def _settled(self, log: Log) -> None:
        """Note that all is written."""
        log.in_pipe = 0

    def _index(self, log: Log, position: Position) -> int | None:
        """Return where in all that was written a position is; None if its file is gone."""
        begin = len(log.written) - log.in_pipe - len(self.world.whole(log.path))
        for suffix, data in self.world.files(log.path).items():
            if place(log.path + suffix, position.offset) == position:
                return begin + position.offset if position.offset <= len(data) else None
            begin += len(data)
        return None


TestLogs = Logs.TestCase
TestLogs.settings = settings(max_examples=examples(30), stateful_step_count=40)
