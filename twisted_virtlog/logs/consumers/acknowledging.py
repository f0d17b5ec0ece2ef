"""Takes what consumers acknowledge to where the logs are, and tells what they have: the edge."""

from __future__ import annotations

import pwd
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from typing import Protocol

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.errors import LogError, NoSuchConsumer, NotAllowed
from twisted_virtlog.history.records import Progress
from twisted_virtlog.interfaces import Answer, IConsumers, InSlices
from twisted_virtlog.logs.consumers.consumers import Consumers
from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.loop.threads import InThread
from twisted_virtlog.values import ConsumerStatus, Position

#: So many logs are dealt with before others are served.
_LOGS_AT_ONCE = 32

#: What could not be found out is asked again after so long: users, and what was read before.
_AGAIN_SECONDS = 30.0


class Logs(Protocol):
    """All logs; see AllLogs."""

    def is_known(self, path: str) -> Answer[bool]:
        """Return whether a path is that of a log that the daemon knows."""

    def acknowledge(
        self, path: str, consumer: str, position: Position, at: datetime
    ) -> Answer[None]:
        """Take note that a consumer has read a log up to a position."""

    def forget_consumer(self, path: str, consumer: str) -> Answer[None]:
        """Forget what a consumer has of a log."""

    def consumed(self, path: str, now: datetime) -> Answer[Sequence[ConsumerStatus]]:
        """Return what each consumer has of a log."""

    def settle(self, path: str) -> Answer[None]:
        """Remove the held files of a log that nobody has yet to read."""

    def settle_all(self) -> None:
        """Do the same for all open logs."""


class Kept(Protocol):
    """Where it is kept what consumers have; see Index."""

    def consumers(self) -> Deferred[list[tuple[str, str, Progress]] | None]:
        """Return what consumers have of logs; None if nobody can tell now."""

    def written(self) -> Deferred[None]:
        """Return what fires when all is written that was noted before."""


@implementer(IConsumers)
class Acknowledging:
    """The consumers of all logs."""

    _logger = Logger()

    def __init__(
        self,
        consumers: Consumers,
        logs: Logs,
        kept: Kept,
        in_thread: InThread,
        clock: Clock,
        in_slices: InSlices,
    ) -> None:
        """Ask nothing yet; see :meth:`begin`.

        :param kept: what consumers had before the daemon was started, and what is noted now.
        """
        self._consumers = consumers
        self._logs = logs
        self._kept = kept
        self._in_thread = in_thread
        self._clock = clock
        self._in_slices = in_slices
        # By the names of users, as long as the settings are those of the moment; None for one that
        # is not there.
        self._uids: dict[str, int | None] = {}
        self._users: Mapping[str, str] = {}
        self._asked: Deferred[None] | None = None
        self._again: IDelayedCall | None = None
        # Logs of which held files may go when what was acknowledged is written.
        self._unsettled: set[str] = set()
        self._settling = False
        self._stopped = False

    def begin(self) -> None:
        """Find out what was acknowledged before, and who the users are."""
        self._users = self._consumers.settings.users
        self._ask()

    def _ask(self) -> None:
        """Ask for what is not known."""
        if not self._consumers.is_loaded:
            self._kept.consumers().addCallback(self._loaded).addErrback(self._failed)
        self._ask_users()

    def reload(self) -> None:
        """Let the consumers of other settings acknowledge."""
        users = self._consumers.settings.users
        if users != self._users:
            self._users = users
            self._uids.clear()
            self._ask_users()

    def stop(self) -> None:
        """Ask nothing more."""
        self._stopped = True
        if self._again is not None and self._again.active():
            self._again.cancel()

    def _failed(self, failure: Failure) -> None:
        self._logger.failure("what consumers have read of logs cannot be dealt with", failure)

    def _try_again(self) -> None:
        if not self._stopped and (self._again is None or not self._again.active()):
            self._again = self._clock.callLater(_AGAIN_SECONDS, self._ask)

    # What was before.

    def _loaded(self, known: Sequence[tuple[str, str, Progress]] | None) -> None:
        if self._stopped or self._consumers.is_loaded:
            return
        if known is None:
            # (until then all is held)
            self._try_again()
            return
        self._consumers.load(known)
        if self._consumers.is_wanted:
            self._logs.settle_all()

    # Who they are.

    def _ask_users(self) -> None:
        """Look up the users that are not known, in a thread."""
        names = sorted({user for user in self._users.values() if self._uids.get(user) is None})
        if not names:
            return

        def told(found: Mapping[str, int | None]) -> None:
            for name, uid in found.items():
                if uid is None and name not in self._uids:
                    self._logger.warn(
                        "consumers: there is no user {user}; nobody but root can acknowledge for"
                        " a consumer of that user until there is",
                        user=name,
                    )
                self._uids[name] = uid
            if None in self._uids.values():
                self._try_again()

        asked = self._in_thread(lambda: {name: _uid_of(name) for name in names})
        self._asked = asked.addCallback(told).addErrback(self._failed)

    async def _check(self, consumer: str, uid: int) -> None:
        user = self._consumers.settings.users.get(consumer)
        if user is None:
            names = ", ".join(sorted(self._consumers.settings.users)) or "none"
            raise NoSuchConsumer(
                f"the configuration names no consumer {consumer!r}",
                f"name one that it does ({names}), or write it into consumers",
            )
        if uid == 0:
            return
        if user not in self._uids and self._asked is not None:
            await _after(self._asked)
        if self._uids.get(user) != uid:
            raise NotAllowed(f"{consumer}: only the user {user} and root acknowledge for it")

    # IConsumers.

    def acknowledge(
        self, consumer: str, uid: int, acks: Sequence[tuple[str, Position]]
    ) -> Deferred[None]:
        return Deferred.fromCoroutine(self._acknowledge(consumer, uid, acks))

    async def _acknowledge(
        self, consumer: str, uid: int, acks: Sequence[tuple[str, Position]]
    ) -> None:
        await self._check(consumer, uid)
        now = datetime.now(timezone.utc)

        def note(path: str, position: Position) -> Answer[None]:
            return self._logs.acknowledge(path, consumer, position, now)

        def note_if_known(path: str, position: Position) -> Answer[None]:
            # (of one that the daemon does not know there is nothing to hold)
            known = self._logs.is_known(path)
            if isinstance(known, Deferred):
                return known.addCallback(lambda known: note(path, position) if known else None)
            return note(path, position) if known else None

        await self._each(partial(note_if_known, path, at) for path, at in acks)
        self._settle_later(path for path, _ in acks)

    async def _each(self, calls: Iterable[Callable[[], Answer[object]]]) -> None:
        """Make calls in slices, and wait for all answers.

        :raises LogError: one of them has failed; the others are done.
        """
        later: list[Deferred[object]] = []
        errors: list[BaseException] = []

        def work() -> Generator[None, None, None]:
            for number, call in enumerate(calls, 1):
                try:
                    answer = call()
                except (LogError, OSError) as error:
                    errors.append(error)
                else:
                    if isinstance(answer, Deferred):
                        later.append(answer)
                if not number % _LOGS_AT_ONCE:
                    yield

        begun = self._in_slices(work())
        if isinstance(begun, Deferred):
            await begun
        for done, result in await DeferredList(later, consumeErrors=True):
            if not done and isinstance(result, Failure) and result.value is not None:
                result.trap(LogError, OSError)
                errors.append(result.value)
        if errors:
            raise errors[0]

    def consumers(self) -> Deferred[Sequence[ConsumerStatus]]:
        return Deferred.fromCoroutine(self._list())

    async def _list(self) -> Sequence[ConsumerStatus]:
        found: list[ConsumerStatus] = []
        await self._look_at_all(found.extend)
        return sorted(found, key=lambda one: (one.consumer, one.path))

    async def _look_at_all(self, take: Callable[[Iterable[ConsumerStatus]], None]) -> None:
        """Have it taken what each consumer has of each log."""
        now = datetime.now(timezone.utc)

        def look(path: str) -> Answer[None]:
            try:
                answer = self._logs.consumed(path, now)
            except (LogError, OSError):
                take(self._known_of(path))
                return None
            if not isinstance(answer, Deferred):
                take(answer)
                return None

            def failed(failure: Failure) -> None:
                failure.trap(LogError, OSError)
                take(self._known_of(path))

            return answer.addCallbacks(take, failed)

        logs = self._consumers.logs()
        await self._each(partial(look, log.path) for log in logs)

    def _known_of(self, path: str) -> list[ConsumerStatus]:
        """Return what is known of a log whose files cannot be looked at."""
        log = self._consumers.of(path)
        if log is None:
            return []
        held = sum(file.size for file in list(log.held or ()))
        return [
            ConsumerStatus(consumer, path, one.position, None, None, held, one.unread)
            for consumer, one in sorted(log.progress.items())
        ]

    def forget(self, consumer: str, path: str | None) -> Deferred[None]:
        return Deferred.fromCoroutine(self._forget(consumer, path))

    async def _forget(self, consumer: str, path: str | None) -> None:
        logs = [log for log in self._consumers.logs() if consumer in log.progress]
        if path is None and not logs and consumer not in self._consumers.settings.users:
            known = {name for log in self._consumers.logs() for name in log.progress}
            names = ", ".join(sorted(known | self._consumers.settings.users.keys())) or "none"
            raise NoSuchConsumer(
                f"no consumer {consumer!r} has read anything", f"name one that has ({names})"
            )
        paths = [log.path for log in logs] if path is None else [path]
        await self._each(partial(self._logs.forget_consumer, path, consumer) for path in paths)

    # For those who watch over it.

    def lags(self) -> Deferred[Mapping[str, int]]:
        """Return how many bytes consumers have yet to read, of all logs that can be looked at."""
        return Deferred.fromCoroutine(self._add_up())

    async def _add_up(self) -> Mapping[str, int]:
        sums: dict[str, int] = {}

        def add(found: Iterable[ConsumerStatus]) -> None:
            for one in found:
                sums[one.consumer] = sums.get(one.consumer, 0) + (one.lag_bytes or 0)

        await self._look_at_all(add)
        return sums

    # What need not be held any more.

    def _settle_later(self, paths: Iterable[str]) -> None:
        """Remove held files of logs once it is written that they were read."""
        for path in paths:
            log = self._consumers.of(path)
            # (of one whose path is spelled otherwise, it is found out there)
            if log is None or log.held is None or log.held:
                self._unsettled.add(path)
        if self._unsettled and not self._settling:
            self._settling = True
            self._kept.written().addCallback(self._settle).addErrback(self._failed)

    def _settle(self, _: object) -> Deferred[None]:
        paths, self._unsettled = self._unsettled, set()
        return Deferred.fromCoroutine(self._settle_each(paths))

    async def _settle_each(self, paths: Iterable[str]) -> None:
        try:
            await self._each(partial(self._logs.settle, path) for path in sorted(paths))
        except (LogError, OSError) as error:
            # (the next acknowledgement tries again)
            self._logger.debug("held files stay for now: {error}", error=error)
        finally:
            self._settling = False
        self._settle_later(())


def _uid_of(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


async def _after(deferred: Deferred[None]) -> None:
    """Wait for something that others wait for, too."""
    waiter: Deferred[None] = Deferred()

    def tell(result: None) -> None:
        waiter.callback(None)
        return result

    deferred.addCallback(tell)
    await waiter
