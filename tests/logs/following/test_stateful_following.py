"""Logs followed at random: what comes is what was written, less what is said to be missing."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.effort import examples
from tests.logs.fakes import KIB, Guest, copied
from tests.logs.following.room import Client, Room
from twisted_virtlog.handover.state import by_log
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.handler import LogSettings
from twisted_virtlog.logs.policy import Policy, one_for_all
from twisted_virtlog.values import EndReason, Followed, FollowEnd, FollowerState, Position

PIPE = 64 * KIB

#: How often in a row one may be told to read when there is nothing.
MOST_VAIN = 10

#: Nobody misses anything who reads at once, if so many files are kept.
MANY_FILES = 256

#: Text of which any eight bytes stand at one place only.
TEXT = b"".join(b"%07x%c" % (number, b"\n;"[number % 3 > 0]) for number in range(1 << 16))


class Follower:
    """A client, and where in all that was written he may be.

    :ivar at: the indexes; more than one after a gap of unknown size.
    :ivar is_keen: he reads all that there is after each step.
    :ivar closes_at: the index at which he ends, once that is known.
    """

    def __init__(self, client: Client, at: set[int], *, is_keen: bool, ends: bool) -> None:
        self.client = client
        self.at = at
        self.is_keen = is_keen
        self.ends = ends
        self.was_open = False
        self.closes_at: int | None = None
        self.may_miss = False
        self.left: bytes = b""

    def check(self, found: Followed | FollowEnd, text: bytes) -> None:
        """See that what came continues what came before."""
        if isinstance(found, FollowEnd):
            assert found.reason is EndReason.CLOSED, found
            assert self.closes_at in self.at, (self.closes_at, self.at)
            return
        data = b"".join(found.pieces)
        at = self.at
        if found.gap:
            assert self.may_miss or not self.is_keen, (len(data), found.missed, at, len(text))
            if found.missed is None:
                first = min(at)
                at = set(range(first, len(text) + 1))
            else:
                assert found.missed > 0
                at = {index + found.missed for index in at}
        else:
            assert found.missed is None
        self.at = {index for index in at if text[index : index + len(data)] == data}
        assert self.at, (found.gap, found.missed, data[:64], sorted(at)[:3], len(text))
        self.at = {index + len(data) for index in self.at}
        assert min(self.at) <= len(text)


class FollowingMachine(RuleBasedStateMachine):
    """One log, and some who follow it."""

    @initialize(
        max_size=st.sampled_from([0, 0, 100, 300, 1000, 5000]),
        max_backups=st.integers(0, 3),
        most_files=st.sampled_from([MANY_FILES, MANY_FILES, 2]),
        keeps=st.booleans(),
    )
    def start(self, max_size: int, max_backups: int, most_files: int, keeps: bool) -> None:
        """Start a daemon."""
        self.directory = tempfile.TemporaryDirectory()
        self.settings = (max_size, max_backups, most_files)
        self.keeps = keeps
        self.guest: Guest | None = None
        self.ends: list[Guest] = []
        self.text = b""
        self.followers: list[Follower] = []
        self.gone: list[tuple[Position, set[int]]] = []
        self.is_forgotten = False
        self.is_settled = self.is_parted = False
        self.room = self.make()

    def make(self) -> Room:
        """Make a daemon."""
        max_size, max_backups, most_files = self.settings
        room = Room(Path(self.directory.name), max_size, max_backups, most_files=most_files)
        limits = Limits(max_size, max_backups)
        policy = Policy(limits, keep_on_truncate=self.keeps)
        room.handler.reload(LogSettings(one_for_all(policy)), PIPE)
        return room

    def teardown(self) -> None:
        """Let all read what there is, and end."""
        if not hasattr(self, "room"):
            return
        try:
            self.finish()
        finally:
            for guest in self.ends:
                guest.end()
            self.room.close()
            self.directory.cleanup()

    def finish(self) -> None:
        """Let all read what there is."""
        # (what is missing is told with what comes after it)
        self.append(1)
        for one in self.followers:
            self.take_all(one)
            if one.client.end is None:
                assert len(self.text) in one.at, (len(self.text), one.at)
        for one in self.followers:
            assert one.client.follower is not None
            one.client.follower.stop()
        assert self.room.following.kept_files == 0
        assert self.room.following.followed_logs == 0

    # The steps.

    def step(self) -> None:
        """Let the daemon do what there is to do, and the keen read."""
        self.room.run()
        for one in self.followers:
            if one.is_keen:
                self.take_all(one)
        self.is_settled = True

    def next(self, count: int) -> bytes:
        """Return what is written next."""
        at = len(self.text)
        self.text += TEXT[at : at + count]
        return self.text[at:]

    def take(self, one: Follower, max_bytes: int) -> Followed | FollowEnd | None:
        """Let one read."""
        if one.client.end is not None or not one.client.is_ready:
            return None
        found = one.client.take(max_bytes)
        if found is not None:
            one.check(found, self.text)
        return found

    def take_all(self, one: Follower) -> None:
        """Let one read all that there is."""
        vain = 0
        while one.client.end is None and one.client.is_ready:
            vain = vain + 1 if self.take(one, 1 << 16) is None else 0
            assert vain < MOST_VAIN, "he is told to read again and again"
            self.room.turns.run()

    def closed(self) -> None:
        """Take note that the log was closed."""
        for one in self.followers:
            if one.ends and one.was_open and one.closes_at is None:
                one.closes_at = len(self.text)

    def opened(self) -> None:
        """Take note that the log was opened."""
        for one in self.followers:
            one.was_open = True

    # What guests and others do.

    @rule(truncate=st.sampled_from([False, False, True]))
    def open(self, truncate: bool) -> None:
        """A guest opens the log; perhaps the same one once more."""
        if self.guest is not None:
            self.closed()
            self.is_forgotten = truncate and self.is_elsewhere()
        self.begin_anew()
        self.guest = self.room.open(truncate=truncate)
        self.ends.append(self.guest)
        self.opened()
        self.step()

    @rule(count=st.one_of(st.integers(1, 300), st.integers(1, 20_000)), turn=st.booleans())
    def write(self, count: int, turn: bool) -> None:
        """A guest writes."""
        if self.guest is None:
            return
        self.is_settled = False
        self.guest.write(self.next(count))
        if turn or count > PIPE // 4:
            self.step()
        else:
            self.room.position()

    @rule(count=st.integers(1, 3000))
    def append(self, count: int) -> None:
        """A message is appended."""
        self.step()
        if self.guest is None:
            self.begin_anew()
        self.room.append(self.next(count))
        self.step()

    @rule(forced=st.booleans())
    def end(self, forced: bool) -> None:
        """The guest ends, or the log is closed."""
        if self.guest is None:
            return
        self.step()
        self.is_forgotten = self.is_elsewhere()
        if forced:
            self.room.handler.close_log(self.room.path)
        else:
            self.guest.end()
        self.closed()
        self.guest = None
        self.step()

    def begin_anew(self) -> None:
        """Take note that the log is written again, perhaps to another file than before."""
        if self.is_forgotten:
            for one in self.followers:
                one.may_miss = True
            # (to the daemon, what is there are the files of one text)
            self.gone.clear()
            self.is_parted = True
        self.is_forgotten = False

    def is_elsewhere(self) -> bool:
        """Return whether somebody has moved away the file that is written."""
        log = self.room.handler.log_of(self.room.path)
        assert log is not None
        file = os.fstat(log.writer.file)
        try:
            return file.st_nlink > 0 and os.stat(self.room.path).st_ino != file.st_ino
        except FileNotFoundError:
            return file.st_nlink > 0

    @rule(which=st.integers(0, 3), moved=st.booleans())
    def remove(self, which: int, moved: bool) -> None:
        """Somebody removes or moves away a file of the log."""
        self.step()
        path = self.room.path if not which else f"{self.room.path}.{which - 1}"
        if os.path.exists(path):
            if moved:
                os.rename(path, f"{self.directory.name}/moved")
            else:
                os.unlink(path)
            if self.guest is None and not which:
                self.is_forgotten = True

    @rule()
    def remove_all(self) -> None:
        """All files of the log are removed, as somebody asks for that."""
        self.step()
        if self.guest is None and self.room.handler.is_known(self.room.path):
            self.room.handler.remove(self.room.path)
            assert not os.path.exists(self.room.path)
            self.step()

    @rule(part=st.floats(0, 1))
    def cut(self, part: float) -> None:
        """Somebody cuts the file that is written."""
        self.step()
        if self.guest is not None and os.path.exists(self.room.path):
            size = os.stat(self.room.path).st_size
            # (a position from before a part was cut leads to what is left of it)
            left = 0 if self.gone else int(size * part)
            os.truncate(self.room.path, left)
            self.is_parted |= left > 0
            self.room.position()

    # Who follows.

    @rule(keen=st.booleans(), ends=st.booleans())
    def follow(self, keen: bool, ends: bool) -> None:
        """Somebody follows the log from now on."""
        if len(self.followers) < 5:
            client = self.room.follow(until_closed=ends)
            one = Follower(client, {len(self.text)}, is_keen=keen, ends=ends)
            one.may_miss = self.settings[2] < MANY_FILES
            one.was_open = self.guest is not None
            self.followers.append(one)
            if keen:
                self.step()

    @rule(which=st.integers(0, 4))
    def leave(self, which: int) -> None:
        """Somebody leaves, and may come back."""
        if which < len(self.followers):
            one = self.followers.pop(which)
            assert one.client.follower is not None
            position = one.client.follower.position
            one.client.follower.stop()
            if one.client.end is None and not self.is_parted:
                self.gone.append((position, one.at))

    @rule(keen=st.booleans())
    @precondition(lambda self: getattr(self, "gone", None))
    def come_back(self, keen: bool) -> None:
        """Somebody goes on from where he was."""
        position, _at = self.gone.pop()
        client = self.room.follow(position)
        # (he may be sent once more what was left of a file that was cut)
        one = Follower(client, {0}, is_keen=keen, ends=False)
        one.may_miss = True
        one.at = set(range(len(self.text) + 1))
        self.followers.append(one)
        self.step()

    @rule(which=st.integers(0, 4), max_bytes=st.integers(1, 3000), times=st.integers(1, 5))
    def read(self, which: int, max_bytes: int, times: int) -> None:
        """Somebody reads a little."""
        if which < len(self.followers):
            for _ in range(times):
                self.take(self.followers[which], max_bytes)

    @rule()
    def time_passes(self) -> None:
        """So long that files are closed that nobody reads."""
        self.step()
        self.room.clock.advance(6)
        self.room.clock.advance(6)

    @rule()
    def hand_over(self) -> None:
        """The daemon's next image goes on."""
        self.step()
        self.followers = [one for one in self.followers if one.client.end is None]
        states = []
        copies: dict[int, int] = {}
        for one in self.followers:
            assert one.client.follower is not None
            state: FollowerState = one.client.follower.suspended()
            copies.update((file, os.dup(file)) for file in state.files if file not in copies)
            parts = tuple(
                msgspec.structs.replace(part, file=copies.get(part.file, -1))
                for part in state.parts
            )
            states.append(msgspec.structs.replace(state, parts=parts))
        logs = [copied(state) for state in self.room.handler.suspended()]
        self.room.following.end_all()
        for guest in self.room._guests:
            if guest is not self.guest:
                guest.end()
        self.room.handler.abandon_all()
        self.room = self.make()
        for pipes in by_log(logs):
            self.room.handler.adopt(pipes[-1], pipes[:-1])
        for one, state in zip(self.followers, states, strict=True):
            client = self.room.resume(state)
            client.got = one.client.got
            one.client = client
        self.step()

    @invariant()
    def the_keen_have_read_all(self) -> None:
        """Whoever reads whenever there is something has all."""
        for one in getattr(self, "followers", []):
            is_asked = one.is_keen and not one.may_miss and one.client.end is None
            if is_asked and self.is_settled:
                assert len(self.text) in one.at, one.at


TestFollowing = pytest.mark.lengthy(FollowingMachine.TestCase)
TestFollowing.settings = settings(max_examples=examples(100), stateful_step_count=40)
