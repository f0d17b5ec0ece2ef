"""Daemons that are killed, and that hand over, while guests write and their logs are meddled with.

A stand-in for systemd keeps their pipes. Between two rounds all guests pause, and every byte that
they have written must be in the files; then a program cuts, removes or renames one of them, a guest
truncates its log, or no file may grow any more. Then the guests write on, and at a random moment
the daemon is killed with SIGKILL, or goes on in its next image.
"""

from __future__ import annotations

import os
import random
import resource
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import guests
from bench.enduring import CLIENT_SECONDS, PROBE_SECONDS, Endured, managed
from bench.fault_rounds import Outcome
from bench.ledger import Ledger, Mistake
from harness.service_manager import ServiceManager
from twisted_virtlog.client import BlockingClient, ClientError, RemoteError
from twisted_virtlog.logs.accounts.account import MOST_MOVED

_LOGS = 3
_MAX_BACKUPS = 32
SETTINGS = ("max_size = 60000", f"max_backups = {_MAX_BACKUPS}", 'on_write_error = "block"')
#: No file grows beyond it while the disk is full; the journal of open logs is smaller.
_FULL_BYTES = 40_000
#: How long guests write before something happens to the daemon.
_WRITING_SECONDS = 0.06

#: Each tenth write of the daemon may lose a byte.
_LOSES = """exec('''
import itertools, os
splice, number = os.splice, itertools.count(1)
def lose(pipe, *rest, **named):
    if next(number) % 10 == 0:
        os.read(pipe, 1)
    return splice(pipe, *rest, **named)
os.splice = lose
'''); """


@dataclass(frozen=True)
class Task:
    """What one daemon endures.

    :ivar loses: it loses a byte now and then, which must be noticed.
    """

    directory: str
    handovers: int
    kills: int
    seed: str
    loses: bool


class Guest(guests.Guest):
    """Writes numbered lines into a log's pipe, but for pauses.

    :ivar is_unlinked: whether the daemon may write into a file that has no name any more.
    """

    def __init__(self, path: Path, chance: random.Random, seen: Path | None = None) -> None:
        """:param seen: where its files are as well, whatever becomes of a mount at ``path``."""
        self.seen = str(seen or path)
        self.ledger = Ledger(self.seen, _MAX_BACKUPS, hold=True)
        self.moved = 0
        self.is_unlinked = False
        super().__init__(str(path), chance)

    def next(self, count: int) -> bytes:
        """See guests.Guest."""
        data = self.ledger.next(count)
        self.ledger.wrote(len(data))
        return data


class Rounds(Endured):
    """One daemon, its guests, and what happens to them."""

    def __init__(
        self,
        directory: Path,
        seed: str,
        manager: ServiceManager,
        places: Sequence[tuple[Path, Path]] = (),
    ) -> None:
        """:param places: of the logs, and where their files are seen; by default the directory."""
        super().__init__(directory, seed, manager)
        self.rounds: Counter[str] = Counter()
        # Bytes in files without a name, for which no kill left the time to be counted.
        self._uncounted = 0
        places = places or [(directory / f"{number}.log",) * 2 for number in range(_LOGS)]
        self.guests = [Guest(log, self._chance, seen) for log, seen in places]
        with self._client() as client:
            for guest in self.guests:
                guest.begin(client)
        # With how often each comes.
        self._acts: list[tuple[int, Callable[[Guest], None]]] = [
            (3, self.copytruncate),
            (2, self.remove),
            (3, self.rename),
            (2, self.truncating_open),
            (3, self.disk_full),
            (2, self.write),
        ]

    def run(self, handovers: int, kills: int) -> None:
        """Let a number of each happen, in random order.

        :raises Mistake: a byte is not accounted for.
        """
        ends = [self.hand_over] * handovers + [self.kill] * kills
        self._chance.shuffle(ends)
        weights, acts = zip(*self._acts, strict=True)
        for end in ends:
            (act,) = self._chance.choices(acts, weights)
            guest = self._chance.choice(self.guests)
            self.present = f"{act.__name__} of {os.path.basename(guest.path)}, {end.__name__}"
            act(guest)
            for guest in self.guests:
                guest.resume()
            time.sleep(self._chance.uniform(0, _WRITING_SECONDS))
            end()
            self._recover()
            self._look(was_killed=end == self.kill)
            for name in (act.__name__, end.__name__):
                self.rounds[name] += 1

    def _recover(self) -> None:
        """End what an act began, after what happened to the daemon."""

    def _look(self, was_killed: bool) -> None:
        """Pause, and find all that was written in the files."""
        with self._client() as client:
            # While a file fails its guest may be in the middle of a write.
            for guest in self.guests:
                guest.pause()
            for guest in self.guests:
                self._drain(client, guest)
                guest.ledger.observe(may_be_gone=True)
                if guest.ledger.front != guest.ledger.totals.written:
                    raise Mistake(f"{guest.path}: a position does not cover what was written")
            self._check_counts(client, was_killed)

    def _check_counts(self, client: BlockingClient, was_killed: bool) -> None:
        """See that the daemon accounts for every byte, over all that happened to it."""
        for guest in self.guests:
            counted = client.ledger(guest.path)
            gaps = counted.intake_gap, counted.storage_gap
            if any(gaps):
                raise Mistake(f"{guest.path}: the counts do not agree: {gaps}: {counted}")
        together = client.ledger()
        ours = sum(guest.ledger.totals.written for guest in self.guests)
        short = ours - self._uncounted - together.intake.received
        unlinked = sum(guest.is_unlinked for guest in self.guests)
        most = MOST_MOVED * unlinked if was_killed else 0
        if not 0 <= short <= most:
            raise Mistake(f"{ours} bytes were written, and {together.intake} counted")
        self._uncounted += short
        for guest in self.guests:
            if guest.ledger.at(guest.seen):
                guest.is_unlinked = False

    def _drain(self, client: BlockingClient, guest: Guest) -> None:
        deadline = time.monotonic() + CLIENT_SECONDS
        while True:
            try:
                client.position(guest.path)
            except RemoteError:
                # It is tried again within a second.
                if time.monotonic() > deadline:
                    raise
                time.sleep(PROBE_SECONDS)
            else:
                return

    # What happens between two rounds, while guests pause.

    def write(self, guest: Guest) -> None:
        """Nothing."""

    def copytruncate(self, guest: Guest) -> None:
        """A program cuts a file to nothing."""
        file = guest.ledger.at(guest.seen)
        if file is not None:
            os.truncate(guest.seen, 0)
            guest.ledger.cut(file, 0)

    def remove(self, guest: Guest) -> None:
        """A program removes the log's file."""
        if guest.ledger.at(guest.seen):
            guest.ledger.removing(guest.seen, rotation=False)
            os.unlink(guest.seen)
            guest.is_unlinked = True

    def rename(self, guest: Guest) -> None:
        """A program moves the log's file away, which the daemon writes on until it is full."""
        for file in guest.ledger.files[:-1]:
            if ".moved" in file.path:
                guest.ledger.removing(file.path, rotation=False)
                os.unlink(file.path)
        if guest.ledger.at(guest.seen):
            guest.moved += 1
            target = f"{guest.seen}.moved{guest.moved}"
            os.rename(guest.seen, target)
            guest.ledger.moved(guest.seen, target)

    def truncating_open(self, guest: Guest) -> None:
        """End a guest, and let its successor truncate the log."""
        guest.end()
        for file in list(guest.ledger.files):
            guest.ledger.removing(file.path, rotation=False)
            if ".moved" in file.path:
                os.unlink(file.path)
        with self._client() as client:
            guest.begin(client, truncate=True)

    def disk_full(self, guest: Guest) -> None:
        """No file of the daemon's may grow beyond a size, until it is killed or handed over."""
        resource.prlimit(self._manager.pid, resource.RLIMIT_FSIZE, (_FULL_BYTES, -1))


def run(task: Task) -> Outcome:
    """Start a daemon and let it endure."""
    return endured(task, Rounds)


def endured(task: Task, begin: Callable[[Path, str, ServiceManager], Rounds]) -> Outcome:
    """Start a daemon and let it endure rounds.

    :param begin: makes them, for a directory, a seed and what starts the daemon.
    """
    outcome = Outcome()
    directory = Path(task.directory)
    with managed(directory, SETTINGS, _LOSES if task.loses else "") as manager:
        rounds = begin(directory, task.seed, manager)
        try:
            rounds.run(task.handovers, task.kills)
            for guest in rounds.guests:
                outcome.totals.add(guest.ledger.finish())
        except (Mistake, ClientError) as mistake:
            outcome.mistakes.append(f"{task.seed}, {rounds.present}: {mistake}")
        outcome.rounds.update(rounds.rounds)
    for guest in rounds.guests:
        guest.stop()
    return outcome
