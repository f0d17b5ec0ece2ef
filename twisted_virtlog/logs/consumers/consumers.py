"""What all consumers have acknowledged of all logs, and what is held for them: one for all threads.

What is told of a log, and what is asked about its held files, comes from the thread in which the
log is. The rest any thread may ask.

Until it is known what was acknowledged before the daemon was started, every log is held for every
consumer: a file that goes is gone.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec
from msgspec import Struct, field

from twisted_virtlog.history.records import Progress
from twisted_virtlog.logs.files.held import HeldFile
from twisted_virtlog.values import ConsumerSums, HeldUse

if TYPE_CHECKING:
    from twisted_virtlog.logs.files.writer import Writer


class HoldSettings(Struct, frozen=True):
    """What the configuration says of consumers.

    :ivar users: who may acknowledge for each consumer, besides root, by its name.
    :ivar max_bytes: that the held files of all logs may take up on disk; 0 for no limit.
    :ivar max_bytes_of_log: likewise those of one.
    """

    users: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    max_bytes: int = 1 << 30
    max_bytes_of_log: int = 64 << 20


NO_HOLDS = HoldSettings()


class Keep(Protocol):
    """Keeps what consumers have acknowledged, over restarts; any thread may call it."""

    def acknowledged(self, path: str, consumer: str, progress: Progress) -> None:
        """Note how far a consumer has come in a log.

        :param path: without symbolic links.
        """

    def forget_consumer(self, consumer: str | None, path: str | None) -> None:
        """Forget a consumer, or all; for one log, or for all."""


class NoKeep:
    """Keeps nothing."""

    def acknowledged(self, path: str, consumer: str, progress: Progress) -> None:
        """Do nothing."""

    def forget_consumer(self, consumer: str | None, path: str | None) -> None:
        """Do nothing."""


class ConsumedLog:
    """What consumers have of a log.

    :ivar path: without symbolic links.
    :ivar progress: by consumer; values are replaced, never changed.
    :ivar held: its held files, oldest first; None before anybody has looked. The thread's own, as
        the others are.
    :ivar writer: who writes it; None while it is not open.
    :ivar home: what holds its files, in its thread; None before anybody has looked.
    """

    __slots__ = ("held", "home", "path", "progress", "writer")

    def __init__(self, path: str) -> None:
        self.path = path
        self.progress: dict[str, Progress] = {}
        self.held: list[HeldFile] | None = None
        self.writer: Writer | None = None
        self.home: object = None


#: When a held file was written last, a number that tells it from others, its log, and its number.
_Aged: TypeAlias = "tuple[int, int, ConsumedLog, int]"

#: So many that are gone may be among them.
_MOST_GONE = 64


def _is_there(aged: _Aged) -> bool:
    _, _, log, number = aged
    return any(file.number == number for file in list(log.held or ()))


class Consumers:
    """What all consumers have of all logs.

    :ivar settings: those of the moment.
    """

    def __init__(self, keep: Keep | None = None) -> None:
        """Know nothing yet; see :meth:`load`."""
        self.settings = NO_HOLDS
        self._keep = keep or NoKeep()
        self._lock = threading.Lock()
        self._loaded = False
        self._logs: dict[str, ConsumedLog] = {}
        self._bytes = 0
        # The held files, with when they were written last: the oldest first. Some are gone.
        self._oldest: list[_Aged] = []
        self._numbers = itertools.count()
        self._files = 0

    def load(self, known: Iterable[tuple[str, str, Progress]]) -> None:
        """Take note of what was acknowledged before the daemon was started.

        :param known: paths, consumers, and what they have.
        """
        with self._lock:
            for path, consumer, progress in known:
                # (what was told meanwhile is newer)
                found = self._made(path).progress.setdefault(consumer, progress)
                if found is not progress:
                    unread = found.unread + progress.unread
                    self._logs[path].progress[consumer] = msgspec.structs.replace(
                        found, unread=unread, position=found.position or progress.position
                    )
            self._loaded = True

    @property
    def is_loaded(self) -> bool:
        """Whether it is known what was acknowledged before; see :meth:`load`."""
        return self._loaded

    @property
    def is_wanted(self) -> bool:
        """Whether anybody may want a file that goes, or has one that is held."""
        return bool(self.settings.users or self._logs)

    def of(self, path: str) -> ConsumedLog | None:
        """Return what is known of a log; None if nothing is.

        :param path: without symbolic links.
        """
        return self._logs.get(path)

    def made(self, path: str) -> ConsumedLog:
        """Return what is known of a log, of which something will be."""
        log = self._logs.get(path)
        if log is None:
            with self._lock:
                log = self._made(path)
        return log

    def _made(self, path: str) -> ConsumedLog:
        return self._logs.setdefault(path, ConsumedLog(path))

    def logs(self) -> Sequence[ConsumedLog]:
        """Return all that anything is known of."""
        with self._lock:
            return list(self._logs.values())

    def use(self) -> HeldUse | None:
        """Return what is held, and what consumers have of all logs; None if there are none."""
        if not self.is_wanted:
            return None
        logs = dict.fromkeys(self.settings.users, 0)
        for log in self.logs():
            for consumer in list(log.progress):
                logs[consumer] = logs.get(consumer, 0) + 1
        unread = self.unread_of_all()
        sums = [ConsumerSums(one, logs[one], unread.get(one, 0)) for one in sorted(logs)]
        return HeldUse(self._bytes, self.settings.max_bytes, sums)

    def unread_of_all(self) -> dict[str, int]:
        """Return what went of all logs before it was acknowledged, by consumer."""
        found: dict[str, int] = {}
        for log in self.logs():
            for consumer, progress in sorted(log.progress.items()):
                found[consumer] = found.get(consumer, 0) + progress.unread
        return dict(sorted(found.items()))

    def holders(self, log: ConsumedLog | None, hold: Sequence[str]) -> Sequence[str]:
        """Return for which consumers a log is held.

        :param log: None if nothing is known of it.
        :param hold: those for which it is from its beginning on, as its policy says.
        """
        users = self.settings.users
        if not self._loaded:
            return list(users)
        progress: Mapping[str, Progress] = {} if log is None else log.progress
        return [
            name
            for name in users
            if name in hold or (name in progress and progress[name].position is not None)
        ]

    # What is told, in the log's thread.

    def note(self, log: ConsumedLog, consumer: str, progress: Progress) -> None:
        """Take note of what a consumer has of a log."""
        log.progress[consumer] = progress
        self._keep.acknowledged(log.path, consumer, progress)

    def add_unread(self, log: ConsumedLog, lost: Mapping[str, int]) -> None:
        """Count bytes that went before they were acknowledged, by consumer."""
        for consumer, count in lost.items():
            if count:
                before = log.progress.get(consumer) or Progress()
                unread = before.unread + count
                self.note(log, consumer, msgspec.structs.replace(before, unread=unread))

    def opened(self, path: str) -> None:
        """Take note that a log is opened: what goes unread is counted from now on."""
        log = self._logs.get(path)
        if log is None:
            return
        for consumer, progress in list(log.progress.items()):
            if progress.unread_since_opening:
                fresh = msgspec.structs.replace(progress, unread_before=progress.unread)
                self.note(log, consumer, fresh)

    def forget(self, log: ConsumedLog, consumer: str | None = None) -> None:
        """Forget what a consumer has of a log, or all of them."""
        if consumer is None:
            log.progress.clear()
        else:
            log.progress.pop(consumer, None)
        self._keep.forget_consumer(consumer, log.path)
        self.drop_empty(log)

    def drop_empty(self, log: ConsumedLog) -> None:
        """Forget a log of which nobody has anything, and no file is held."""
        if not log.progress and not log.held:
            with self._lock:
                if self._logs.get(log.path) is log:
                    del self._logs[log.path]

    # What is held.

    @property
    def held_bytes(self) -> int:
        """What all held files take up on disk, of the logs that were looked at."""
        return self._bytes

    def found(self, log: ConsumedLog, held: list[HeldFile]) -> None:
        """Take note of the held files of a log, which nobody has looked at before."""
        log.held = []
        for file in held:
            self.added(log, file)

    def added(self, log: ConsumedLog, file: HeldFile) -> None:
        """Take note of a file that is held from now on, the newest one of its log."""
        assert log.held is not None
        log.held.append(file)
        with self._lock:
            self._bytes += file.on_disk
            self._files += 1
            entry = (file.modified_ns, next(self._numbers), log, file.number)
            heapq.heappush(self._oldest, entry)
            if len(self._oldest) > 2 * self._files + _MOST_GONE:
                self._oldest = [entry for entry in self._oldest if _is_there(entry)]
                heapq.heapify(self._oldest)

    def gone(self, log: ConsumedLog) -> None:
        """Take note that the oldest held file of a log is not there any more."""
        assert log.held
        file = log.held.pop(0)
        with self._lock:
            self._bytes -= file.on_disk
            self._files -= 1

    def forget_held(self, log: ConsumedLog) -> None:
        """Take note that none of a log's held files is there any more, or another looks at them."""
        while log.held:
            self.gone(log)
        log.held = None

    def over(self) -> bool:
        """Return whether the held files take up more than they may."""
        most = self.settings.max_bytes
        return 0 < most < self._bytes

    def oldest(self, passed_over: Iterable[ConsumedLog]) -> ConsumedLog | None:
        """Return the log with the oldest held file, but for some; None if there is none."""
        others = set(passed_over)
        put_back = []
        found: ConsumedLog | None = None
        with self._lock:
            while self._oldest:
                entry = self._oldest[0]
                if not _is_there(entry):
                    heapq.heappop(self._oldest)
                elif entry[2] not in others:
                    found = entry[2]
                    break
                else:
                    put_back.append(heapq.heappop(self._oldest))
            for entry in put_back:
                heapq.heappush(self._oldest, entry)
        return found
