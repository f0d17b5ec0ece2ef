"""Looks what the files of all logs take up: at the start, now and then, and when one may not grow.

Of logs that are not open nobody tells that by itself, and files may have been removed by others.
The closed ones are those that the daemon knows, from the index of what was opened before. They are
looked at where that keeps nobody waiting; those that are open, in the threads in which they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_virtlog.errors import LogError
from twisted_virtlog.history.records import KnownLog
from twisted_virtlog.logs.bounds.on_disk import files_on_disk
from twisted_virtlog.logs.bounds.usage import FilesOfLog, Usage, guest_of
from twisted_virtlog.logs.files.held import HELD_FILES
from twisted_virtlog.logs.files.log_directory import LogDirectory
from twisted_virtlog.logs.files.places import Where
from twisted_virtlog.logs.policy import Policy, PolicyOf
from twisted_virtlog.loop.clock import Clock

#: From one look to the next.
EVERY_SECONDS = 600.0

#: The same while logs may not grow.
REFUSED_SECONDS = 30.0

#: So many logs of a directory are looked at before others that need its thread.
_AT_ONCE = 64


class Survey:
    """Looks at the files of logs, while it is to be known what they take up."""

    _logger = Logger()

    def __init__(
        self,
        clock: Clock,
        where: Where,
        usage: Usage,
        known_logs: Callable[[], Deferred[Sequence[KnownLog]]],
        look_at_open: Callable[[], None],
        directory_of: Callable[[str], LogDirectory],
        has_consumers: Callable[[str], bool],
    ) -> None:
        """Do nothing before :meth:`set`.

        :param where: finds the place of a directory.
        :param usage: is told.
        :param known_logs: returns the logs that the daemon knows, open ones too.
        :param look_at_open: has the open ones looked at.
        :param directory_of: returns what reaches the files of a log that is not open, by its path.
        :param has_consumers: whether files of a log may be held, by its path; any thread asks.
        """
        self._has_consumers = has_consumers
        self._look_at_open = look_at_open
        self._directory_of = directory_of
        self._clock = clock
        self._where = where
        self._usage = usage
        self._known_logs = known_logs
        self._policy_of: PolicyOf | None = None
        self._call: IDelayedCall | None = None
        self._at_work = False
        self._is_awaited = False
        self._ended_at = -REFUSED_SECONDS

    def set(self, policy_of: PolicyOf | None) -> None:
        """Look soon, and now and then.

        :param policy_of: resolves the policies that hold from now on; None to look no more.
        """
        self.stop()
        self._policy_of = policy_of
        if policy_of is not None:
            self._look()

    def stop(self) -> None:
        """Look no more; what waits for a thread ends when the thread is done."""
        self._policy_of = None
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def refused(self) -> None:
        """Look soon, as somebody is refused who may have room by now."""
        if self._policy_of is None or self._is_awaited:
            return
        self._is_awaited = True
        wait = self._ended_at + REFUSED_SECONDS - self._clock.seconds()
        self._look_in(max(0.0, wait))

    def _look_in(self, seconds: float) -> None:
        if self._call is not None:
            self._call.cancel()
        self._call = self._clock.callLater(seconds, self._look)

    def _look(self) -> None:
        self._call = None
        self._is_awaited = False
        self._look_in(EVERY_SECONDS)
        if self._at_work:
            return
        self._at_work = True
        self._look_at_open()
        run = Deferred.fromCoroutine(self._look_at_all())
        run.addErrback(self._failed).addBoth(self._ended)

    def _failed(self, failure: Failure) -> None:
        self._logger.failure("looking what the files of logs take up failed", failure)

    def _ended(self, _: object) -> None:
        self._at_work = False
        self._ended_at = self._clock.seconds()

    async def _look_at_all(self) -> None:
        known = {log.path: log for log in await self._known_logs()}
        with self._usage.lock:
            paths = {log.path for log in self._usage.closed()} | known.keys()
        directories: dict[str, list[str]] = {}
        for path in sorted(paths):
            directories.setdefault(os.path.dirname(path), []).append(path)
        for directory, logs in directories.items():
            try:
                await self._look_into(directory, logs, known, paths)
            except (OSError, LogError):
                # (what was known of them last holds, until it can be looked at)
                continue

    async def _look_into(
        self,
        directory: str,
        paths: Sequence[str],
        known: Mapping[str, KnownLog],
        logs: Container[str],
    ) -> None:
        """Look at the logs of one directory.

        :param logs: the paths of all logs.
        :raises LogError: its file system does not answer.
        :raises OSError: it cannot be resolved.
        """
        place = await self._where(directory)
        for start in range(0, len(paths), _AT_ONCE):
            policy_of = self._policy_of
            if policy_of is None:
                return
            with self._usage.lock:
                some = [
                    path
                    for path in paths[start : start + _AT_ONCE]
                    if not self._usage.is_open(path)
                ]
            policies = {path: _policy(policy_of, path, known.get(path)) for path in some}
            found = await place.look(partial(self._look_at, policies, logs))
            for path, files in found.items():
                self._found(path, policies[path], known.get(path), files)

    def _look_at(
        self, policies: Mapping[str, Policy], logs: Container[str]
    ) -> Mapping[str, FilesOfLog]:
        """Look at the files of logs, in a thread."""
        found = {}
        for path, policy in policies.items():
            directory, most = self._directory_of(path), policy.limits.max_backups
            with directory:
                held = HELD_FILES.find(directory, path) if self._has_consumers(path) else ()
                found[path] = files_on_disk(directory, path, most, logs.__contains__, held)
        return found

    def _found(self, path: str, policy: Policy, log: KnownLog | None, files: FilesOfLog) -> None:
        usage = self._usage
        with usage.lock:
            before = usage.of(path)
            if log is not None:
                usage.found(path, guest_of(log.domain, path), policy.quota, files)
            elif before is not None:
                usage.found(path, before.guest.name, policy.quota, files)


def _policy(policy_of: PolicyOf, path: str, log: KnownLog | None) -> Policy:
    return policy_of(path, None, None) if log is None else policy_of(path, log.driver, log.domain)
