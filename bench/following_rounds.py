"""Clients follow logs through a daemon, and are sent all that is written, less what they are told.

Each round is one act: guests write, a little or a flood; a log is truncated by its guest or cut by
another program; one of its files is removed; a guest is followed by another; a client reads slowly,
or nothing for a while, shuts down its writing side, connects again, or follows its logs anew. Now
and then the daemon hands over, or is killed and started again, while guests write and clients read.

After each round all who read must have all that was written, or have been told that it is missing;
nothing twice, and nothing may be missing that is still in the files.

    python -m bench.following_rounds          # 10,000 rounds, 500 kills, 500 hand-overs
    python -m bench.following_rounds --lose   # a daemon that forgets to send something: fails
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import random
import select
import socket
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from bench import guests
from bench.enduring import CLIENT_SECONDS, PROBE_SECONDS, Endured, managed
from bench.followed import TELLING_BYTES, Account, Files, Sums, text
from bench.guests import LARGEST_WRITE
from bench.ledger import Mistake
from harness.service_manager import ServiceManager
from twisted_virtlog.client import ClientError, Disconnected, RemoteError
from twisted_virtlog.client.feed import Feed, FeedData, FeedEnd, FeedLog, Notification

_LOGS = 3
#: Rounds with one daemon.
_EPOCH_ROUNDS = 250
_MAX_SIZES = (5_000, 20_000, 100_000)
_BACKUPS = (1, 3, 8)
_FILE_THREADS = ("auto", "auto", "always")

#: How much a guest writes in a round, and how often: most of it is little.
_WRITES = ((60, 200), (30, 5_000), (8, 60_000), (2, 700_000))
#: Who reads slowly takes so many notifications in a round, for so many rounds at most.
_SLOWLY = 2
_MOST_SLOW_ROUNDS = 40
#: For how long guests write, and clients read, before something happens to the daemon.
_WRITING_SECONDS = 0.06
#: Whoever gets nothing for so long is said to lack it; where that is what is wanted, soon.
_PATIENCE_SECONDS = 60.0
_LITTLE_PATIENCE_SECONDS = 2.0
_SHOWN_MISTAKES = 10
_RECENT_ACTS = 10

#: Each hundredth notification is not sent.
_LOSES = """exec('''
import itertools
from twisted_virtlog.jsonrpc.subscriptions import Subscriptions
tell, number = Subscriptions.tell_next, itertools.count(1)
def lose(self):
    send = self._send
    self._send = send if next(number) % 100 else lambda text: None
    try:
        tell(self)
    finally:
        self._send = send
Subscriptions.tell_next = lose
'''); """


@dataclass
class Outcome:
    """What came of many rounds.

    :ivar rounds: by act.
    :ivar written: bytes.
    :ivar mistakes: what went wrong, with the seed.
    """

    rounds: Counter[str] = field(default_factory=Counter)
    written: int = 0
    sums: Sums = field(default_factory=Sums)
    mistakes: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Sum up."""
        self.rounds.update(other.rounds)
        self.written += other.written
        self.sums.add(other.sums)
        self.mistakes += other.mistakes


@dataclass(frozen=True)
class Task:
    """What one daemon and those who follow its logs endure.

    :ivar loses: it forgets to send something now and then, which must be noticed.
    """

    directory: str
    rounds: int
    handovers: int
    kills: int
    seed: str
    loses: bool


class Guest(guests.Guest):
    """Writes numbered lines.

    :ivar written: how many bytes.
    :ivar acts: what happened to the log last, and how much was written then.
    :ivar closes: how many when its log was closed, each time.
    :ivar cut: how many when another program cut the file last.
    :ivar forgotten: how many when a file was cut of which the daemon knows no more.
    """

    def __init__(self, path: Path, files: Files, chance: random.Random) -> None:
        self.files = files
        self.written = 0
        self.acts: deque[str] = deque(maxlen=_RECENT_ACTS)
        self.closes: list[int] = []
        self.cut = self.forgotten = -1
        super().__init__(str(path), chance)

    def end(self) -> None:
        """See guests.Guest."""
        super().end()
        self.closes.append(self.written)
        self.forgotten = self.cut

    def next(self, count: int) -> bytes:
        """See guests.Guest."""
        begin = self.written
        self.written += count
        return text(begin, self.written)

    def write(self, count: int) -> None:
        """Write so much now.

        :raises Mistake: the daemon does not take it.
        """
        room = select.poll()
        room.register(self._pipe, select.POLLOUT)
        while count:
            if not room.poll(CLIENT_SECONDS * 1000):
                raise Mistake(f"{self.path}: its guest is held up")
            # (a pipe that has room takes at least a page)
            some = min(count, LARGEST_WRITE)
            os.write(self._pipe, self.next(some))
            count -= some


class Follower:
    """A client that follows logs over one connection.

    :ivar slow_rounds: for how long it reads slowly, or nothing at all.
    """

    def __init__(
        self,
        address: str,
        followed: Sequence[Guest],
        chance: random.Random,
        until_closed: bool = False,
        watches: bool = False,
    ) -> None:
        """:param until_closed: follow each log until it is closed, and then again."""
        self._address = address
        self._guests = followed
        self._chance = chance
        self._until_closed = until_closed
        self._watches = watches
        self._accounts: dict[str, Account] = {}
        self._numbers: dict[int, Guest] = {}
        # How often a log had been closed when it was followed.
        self._closes: dict[str, int] = {}
        # What happened last to logs that were opened or closed.
        self._last_kinds: dict[str, str] = {}
        self._watch = 0
        self._takes = math.inf
        self._is_half_closed = False
        self.slow_rounds = 0
        self._feed = Feed(address, CLIENT_SECONDS)
        self._begin()

    def _begin(self) -> None:
        self._is_half_closed = False
        if self._watches:
            self._watch = self._feed.watch()
            self._last_kinds.clear()
        for guest in self._guests:
            self._follow(guest)

    def _follow(self, guest: Guest) -> None:
        account = self._accounts.get(guest.path)
        position = None if account is None else account.position
        self._closes[guest.path] = len(guest.closes)
        number = self._feed.follow(guest.path, position, until_closed=self._until_closed)
        self._numbers[number] = guest
        if account is None:
            # (nobody writes meanwhile)
            beginning = self._feed.beginning(number)
            self._accounts[guest.path] = Account(guest.files, guest.written, beginning)
        else:
            account.follow_anew(guest.forgotten)

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._feed.fileno()

    @property
    def is_slow(self) -> bool:
        """Whether it does not read all that comes."""
        return self.slow_rounds > 0

    def sums(self) -> Sums:
        """Return what it was sent."""
        total = Sums()
        for account in self._accounts.values():
            total.add(account.sums)
        return total

    # What it does.

    def reads_slowly(self) -> None:
        """Take little of what comes, or nothing, for some rounds."""
        self.slow_rounds = self._chance.randint(1, _MOST_SLOW_ROUNDS)
        self._takes = self._chance.choice((0, _SLOWLY))

    def reconnect(self) -> None:
        """Leave what has come, and follow its logs from where it is, over another connection."""
        self._feed.close()
        self._numbers.clear()
        self._feed = Feed(self._address, CLIENT_SECONDS)
        self._begin()

    def half_close(self) -> None:
        """Shut down the writing side."""
        with socket.socket(fileno=os.dup(self._feed.fileno())) as its:
            its.shutdown(socket.SHUT_WR)
        self._is_half_closed = True

    def follow_anew(self) -> None:
        """End the subscriptions, and follow from where they ended; the end comes before all else.

        :raises Mistake: something comes after the end.
        """
        if self._is_half_closed:
            return
        try:
            for number, guest in list(self._numbers.items()):
                self._leave(number, guest)
                self._follow(guest)
        except Disconnected:
            # (it has not noticed yet)
            self.reconnect()

    def _leave(self, number: int, guest: Guest) -> None:
        try:
            self._feed.unfollow(number)
        except RemoteError as error:
            if not self._until_closed:
                raise Mistake(f"{guest.path} cannot be left: {error}") from error
            # (it has ended, and has not read that yet)
        while number in self._numbers:
            told = self._feed.next(0)
            if told is None:
                raise Mistake(f"{guest.path}: the answer came before the end")
            self._take(told, "unfollowed")

    def close(self) -> None:
        """Be gone."""
        self._feed.close()

    # What comes.

    def take_some(self) -> bool:
        """Take what has come, as far as it takes it; return whether that was anything.

        :raises Mistake: it is not what should come.
        """
        most = self._takes if self.is_slow else math.inf
        taken = 0
        try:
            while taken < most and (told := self._feed.next(0)) is not None:
                taken += 1
                self._take(told)
        except Disconnected:
            self.reconnect()
            return True
        return taken > 0

    def _take(self, told: Notification, reason: str = "closed") -> None:
        if isinstance(told, FeedLog):
            if told.subscription != self._watch:
                raise Mistake(f"{told} came to one who did not ask")
            if told.kind != "state":
                self._last_kinds[told.log.path] = told.kind
            return
        guest = self._numbers.get(told.subscription)
        if guest is None:
            raise Mistake(f"{told} came after the end")
        account = self._accounts[guest.path]
        try:
            if isinstance(told, FeedData):
                account.take(told, guest.written)
            else:
                self._end(told, guest, account, reason)
        except Mistake as mistake:
            recently = "; ".join(account.recently)
            acts = ", ".join(guest.acts)
            raise Mistake(
                f"{guest.path}: {mistake} (lately: {recently}; acts: {acts})"
            ) from mistake

    def _end(self, told: FeedEnd, guest: Guest, account: Account, reason: str) -> None:
        expected = {reason, "closed"} if self._until_closed else {reason} - {"closed"}
        if told.reason not in expected:
            raise Mistake(f"the end is told: {told}")
        del self._numbers[told.subscription]
        if told.reason == "closed":
            account.ended(guest.closes[self._closes[guest.path]])
            if self._is_half_closed:
                self.reconnect()
            elif reason == "closed":
                self._follow(guest)

    def meddle(self, guest: Guest) -> None:
        """Take note that bytes of a log were removed other than by rotation."""
        if guest.path in self._accounts:
            self._accounts[guest.path].meddle()

    def expect_opening(self, guest: Guest) -> None:
        """Take note that a log was opened, which it is to be told."""
        self._last_kinds[guest.path] = "opened but not told"

    def lacks(self) -> str:
        """Return what has not come yet; "" for nothing."""
        if self._watches and not set(self._last_kinds.values()) <= {"opened"}:
            return f"a log was opened: {self._last_kinds}"
        for guest in self._guests:
            account = self._accounts[guest.path]
            if not account.is_complete(guest.written):
                return f"{account.front} of {guest.written} bytes of {guest.path}"
        return ""


class Rounds(Endured):
    """One daemon, its guests, and those who follow them.

    :ivar rounds: how many by act.
    :ivar patience: how many seconds who reads may get nothing before he has all.
    """

    patience = _PATIENCE_SECONDS

    def __init__(
        self, directory: Path, seed: str, manager: ServiceManager, max_size: int, max_backups: int
    ) -> None:
        super().__init__(directory, seed, manager)
        self.rounds: Counter[str] = Counter()
        self._max_size = max_size
        self._max_backups = max_backups
        self.guests = []
        for number in range(_LOGS):
            path = directory / f"{number}.log"
            self.guests.append(Guest(path, Files(str(path), max_backups), self._chance))
        with self._client() as client:
            for guest in self.guests:
                guest.begin(client)
        first, second, third = self.guests
        self.followers = [
            self._follower(self.guests, watches=True),
            self._follower(self.guests),
            self._follower([first]),
            self._follower([second, third]),
            self._follower(self.guests, until_closed=True),
            self._follower([third], until_closed=True, watches=True),
        ]
        # With how often each comes.
        self._acts: list[tuple[int, Callable[[], None]]] = [
            (50, self.write),
            (4, self.truncating_open),
            (6, self.reopen),
            (6, self.copytruncate),
            (6, self.remove),
            (8, self.reads_slowly),
            (8, self.reconnect),
            (3, self.half_close),
            (6, self.follow_anew),
        ]

    def _follower(
        self, followed: Sequence[Guest], until_closed: bool = False, watches: bool = False
    ) -> Follower:
        return Follower(self._socket, followed, self._chance, until_closed, watches)

    def run(self, rounds: int, handovers: int, kills: int) -> None:
        """Make a number of rounds, some of which end with a hand-over or a kill.

        :raises Mistake: somebody was not sent what he should have been.
        """
        ends: list[Callable[[], None] | None] = [None] * (rounds - handovers - kills)
        ends += [*[self.hand_over] * handovers, *[self.kill] * kills]
        self._chance.shuffle(ends)
        weights, acts = zip(*self._acts, strict=True)
        for end in ends:
            (act,) = self._chance.choices(acts, weights)
            self.present = act.__name__ if end is None else f"{act.__name__}, {end.__name__}"
            act()
            self.rounds[act.__name__] += 1
            if end is not None:
                for guest in self.guests:
                    guest.acts.append(f"{end.__name__} at {guest.written}")
                self.rounds[end.__name__] += 1
                self._write_until(end)
            self._write()
            self._settle()

    def _write(self) -> None:
        weights, most = zip(*_WRITES, strict=True)
        for guest in self.guests:
            (largest,) = self._chance.choices(most, weights)
            guest.write(self._chance.randint(TELLING_BYTES, largest))

    def _write_until(self, end: Callable[[], None]) -> None:
        """Let guests write, and then something happen to the daemon."""
        for guest in self.guests:
            guest.resume()
        until = time.monotonic() + self._chance.uniform(0, _WRITING_SECONDS)
        while time.monotonic() < until:
            self._meanwhile()
        end()
        for guest in self.guests:
            guest.pause()

    def _settle(self) -> None:
        """Let all read, and those who read all have it."""
        for one in self.followers:
            one.slow_rounds = max(one.slow_rounds - 1, 0)
            if one.is_slow:
                one.take_some()
        deadline = time.monotonic() + self.patience
        while lacking := [(one, lacks) for one in self._reading() if (lacks := one.lacks())]:
            if not self._let_read(deadline - time.monotonic()):
                number = self.followers.index(lacking[0][0])
                raise Mistake(f"{number} does not get more: {lacking[0][1]}")

    def _reading(self) -> list[Follower]:
        return [one for one in self.followers if not one.is_slow]

    def _meanwhile(self) -> None:
        self._let_read(PROBE_SECONDS)

    def _let_read(self, seconds: float) -> bool:
        """Let those read who read all; return whether anything came within some seconds."""
        reading = self._reading()
        if sum(one.take_some() for one in reading):
            return True
        return bool(select.select(reading, [], [], max(seconds, 0))[0])

    # What guests, programs and clients do. Nobody writes meanwhile.

    def write(self) -> None:
        """Nothing but what all rounds have."""

    def truncating_open(self) -> None:
        """End a guest, and let its successor truncate the log."""
        self._open_again(truncate=True)

    def reopen(self) -> None:
        """Let a guest be followed by another."""
        self._open_again(truncate=False)

    def _open_again(self, truncate: bool) -> None:
        guest = self._drained()
        guest.end()
        with self._client() as client:
            guest.begin(client, truncate)
        for one in self.followers:
            one.expect_opening(guest)
            if truncate:
                one.meddle(guest)

    def copytruncate(self) -> None:
        """Let a program cut a file to nothing, and the daemon notice."""
        guest = self._drained()
        with contextlib.suppress(FileNotFoundError):
            os.truncate(guest.path, 0)
        guest.cut = guest.written
        for one in self.followers:
            one.meddle(guest)
        guest.write(TELLING_BYTES)
        with self._client() as client:
            client.position(guest.path)

    def remove(self) -> None:
        """Let a program remove one of a log's files."""
        guest = self._drained()
        names = [guest.path, guest.path, guest.path, f"{guest.path}.0", f"{guest.path}.1"]
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._chance.choice(names))
        for one in self.followers:
            one.meddle(guest)

    def _drained(self) -> Guest:
        """Choose a guest all of whose output is in files."""
        guest = self._chance.choice(self.guests)
        guest.acts.append(f"{self.present} at {guest.written}")
        with self._client() as client:
            client.position(guest.path)
        return guest

    def reads_slowly(self) -> None:
        """Let a client read little or nothing for some rounds."""
        self._chance.choice(self.followers).reads_slowly()

    def reconnect(self) -> None:
        """Let a client break its connection, whatever is under way, and make another."""
        self._chance.choice(self.followers).reconnect()

    def half_close(self) -> None:
        """Let a client shut down its writing side."""
        self._chance.choice(self.followers).half_close()

    def follow_anew(self) -> None:
        """Let a client end its subscriptions, and make others."""
        self._chance.choice(self.followers).follow_anew()


def run(task: Task) -> Outcome:
    """Start a daemon, and let it and those who follow its logs endure."""
    outcome = Outcome()
    chance = random.Random(f"{task.seed}, settings")
    max_size, max_backups = chance.choice(_MAX_SIZES), chance.choice(_BACKUPS)
    settings = [
        f"max_size = {max_size}",
        f"max_backups = {max_backups}",
        f'file_threads = "{chance.choice(_FILE_THREADS)}"',
        'on_write_error = "block"',
    ]
    directory = Path(task.directory)
    with managed(directory, settings, _LOSES if task.loses else "") as manager:
        rounds = Rounds(directory, task.seed, manager, max_size, max_backups)
        if task.loses:
            rounds.patience = _LITTLE_PATIENCE_SECONDS
        try:
            rounds.run(task.rounds, task.handovers, task.kills)
        except (Mistake, ClientError) as mistake:
            outcome.mistakes.append(f"{task.seed}, {rounds.present}: {mistake}")
        outcome.rounds.update(rounds.rounds)
    for one in rounds.followers:
        outcome.sums.add(one.sums())
        one.close()
    for guest in rounds.guests:
        guest.stop()
        outcome.written += guest.written
    return outcome


def _tasks(options: argparse.Namespace, place: str) -> Sequence[Task]:
    count = max(1, round(options.rounds / _EPOCH_ROUNDS))
    shares = zip(
        _shares(options.rounds, count),
        _shares(options.handovers, count),
        _shares(options.kills, count),
        strict=True,
    )
    return [
        Task(f"{place}/{number}", *share, f"{options.seed}-{number}", options.lose)
        for number, share in enumerate(shares)
    ]


def _shares(total: int, parts: int) -> Sequence[int]:
    return [total * (number + 1) // parts - total * number // parts for number in range(parts)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all rounds; the exit status tells whether all were sent what they should have been."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.following_rounds",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--handovers", type=int, default=500, help="of these rounds")
    parser.add_argument("--kills", type=int, default=500, help="of these rounds")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--directory", help="where the logs are written (default: temporary)")
    parser.add_argument("--lose", action="store_true", help="forget to send something")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    total = Outcome()
    with (
        tempfile.TemporaryDirectory(dir=options.directory) as place,
        ProcessPoolExecutor(options.processes) as pool,
    ):
        for outcome in pool.map(run, _tasks(options, place)):
            total.add(outcome)
    rounds = ", ".join(f"{name} {count}" for name, count in total.rounds.most_common())
    sums = total.sums
    print(
        f"{rounds};\n  {total.written} bytes written; {sums.received} sent, and {sums.missed} told"
        f" missing in {sums.gaps} gaps ({sums.unknown} of unknown size);"
        f" {len(total.mistakes)} mistakes, {time.monotonic() - began:.1f} s",
        flush=True,
    )
    for mistake in total.mistakes[:_SHOWN_MISTAKES]:
        print(f"  {mistake}", flush=True)
    return int(bool(total.mistakes))


if __name__ == "__main__":
    sys.exit(main())
