"""Hands the daemon over to its next image in the same process (SIGUSR1): all or nothing.

The next image is tried first, in a child process that loads the state. The descriptors themselves
then go over to it, so nobody at their other ends notices. The state that says what they are is in a
memfd, or, for libvirt's virtlogd, in the file where virtlogd looks for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from twisted_virtlog.errors import HandOverFailed
from twisted_virtlog.handover.state import OF_VIRTLOGD, SUBSCRIPTIONS_VERSION, DaemonState, encoded
from twisted_virtlog.handover.successor import (
    TRIAL_SECONDS,
    VARIABLE,
    Image,
    Tried,
    check_for_virtlogd,
    directory_of,
    document_of,
    try_image,
    version_of,
)
from twisted_virtlog.loop import signals
from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.loop.threads import InThread

#: How long requests in progress have to be answered.
_IDLE_SECONDS = 5.0
#: How long those who followed logs have to read that they do so no more.
_READING_SECONDS = 0.5
_POLL_SECONDS = 0.002

#: How long threads have to do what they are at; what nothing holds up takes no time.
_THREADS_SECONDS = 1.0


class Suspendable(Protocol):
    """The daemon, as far as a hand-over needs it; see Suspension."""

    def hold(self) -> None:
        """Take no more requests."""

    def release(self) -> None:
        """Go on."""

    def waiting(self) -> int:
        """Return how many requests are in progress."""

    def hung(self) -> Sequence[str]:
        """Return why threads do not end, in words."""

    def pause(self) -> Deferred[None]:
        """Have the threads of slow file systems close their files; fires when that is so."""

    def go_on(self) -> None:
        """Let them go on after that, or instead."""

    def end_subscriptions(self) -> None:
        """End what clients follow, as the next image does not know of such."""

    def suspended(self, conversations: bool = True) -> DaemonState:
        """Return what the next image needs.

        :param conversations: with what clients sent and have not read.
        """


class Process(Protocol):
    """The process of the daemon, as far as a hand-over needs it.

    :ivar stopping: the daemon ends, so that nothing is handed over any more.
    """

    stopping: bool

    def let_go(self) -> None:
        """Close what could hold up a child's start or the exec; may block for a second.

        :raises HandOverFailed: something does not answer.
        """

    def prepare_for_virtlogd(self) -> None:
        """Keep others from expecting of libvirt's virtlogd what it does not do."""

    def stay(self) -> None:
        """Go on after that."""


class HandOver:
    """Carries out hand-overs, one at a time."""

    _logger = Logger()

    def __init__(
        self,
        daemon: Suspendable,
        process: Process,
        clock: Clock,
        in_thread: InThread,
        call_soon: Callable[[Callable[[], None]], object],
        state_file: str,
    ) -> None:
        """:param in_thread: runs each call in a thread that nobody waits for.

        :param call_soon: the reactor's callFromThread, by which signals are obeyed too.
        :param state_file: see Successor.
        """
        self._daemon = daemon
        self._process = process
        self._clock = clock
        self._in_thread = in_thread
        self._call_soon = call_soon
        self._state_file = state_file
        self._under_way = False
        # Those that have not come back; all but the present one are given up.
        self._trials = 0

    def begin(
        self, image: Image, for_client: bool, state_version: int | None = None
    ) -> Deferred[None]:
        """Hand over; if that is not possible, go on as before.

        :param for_client: whether a client's request waits for this; it is answered just before.
        :param state_version: the version of the document that the image is to read; None for the
            lowest that says all.
        :returns: fires just before this image ends.
        :raises HandOverFailed: through the Deferred.
        """
        answer: Deferred[None] = Deferred()
        # (what fails after the answer is in the daemon's log)
        Deferred.fromCoroutine(
            self._hand_over(image, int(for_client), state_version, answer)
        ).addErrback(lambda failure: None if answer.called else answer.errback(failure))
        return answer

    async def _hand_over(
        self, image: Image, asking: int, state_version: int | None, answer: Deferred[None]
    ) -> None:
        if self._under_way:
            raise HandOverFailed("a hand-over is under way already")
        self._under_way = True
        try:
            self._logger.info("handing over to {program}", program=image.program)
            await self._wait_for_threads()
            try:
                # A child has all descriptors until its exec, and one of a file system that does
                # not answer would keep it from that.
                await self._pause_lanes()
                await self._in_thread(self._process.let_go)
                state = self._daemon.suspended(conversations=False)
                tried = await self._tried(image, state, state_version)
                # (who waits for a lane is in progress)
                self._daemon.go_on()
                await self._stand_still_and_execute(image, tried, asking, answer)
            finally:
                self._daemon.go_on()
        except (HandOverFailed, OSError) as error:
            self._logger.error(
                "no hand-over to {program}: {error}", program=image.program, error=error
            )
            raise
        except Exception:
            self._logger.failure("no hand-over to {program}", program=image.program)
            raise
        finally:
            self._under_way = False

    async def _stand_still_and_execute(
        self, image: Image, tried: Tried, asking: int, answer: Deferred[None]
    ) -> None:
        try:
            await self._stand_still(asking, tried.is_virtlogd)
            await self._pause_lanes()
            with signals.blocked():
                await self._wait_for_threads()
                await self._obey_signals()
                if tried.version < SUBSCRIPTIONS_VERSION:
                    self._daemon.end_subscriptions()
                # The state may have changed, to one that the image cannot read.
                _check(self._daemon.suspended(conversations=False), tried)
                # (what was logged since has opened it again)
                self._process.let_go()
                self._check_threads()
                answer.callback(None)
                self._execute(image, tried)
        finally:
            self._daemon.release()

    async def _tried(self, image: Image, state: DaemonState, version: int | None) -> Tried:
        """Try an image in a thread, which may never come back.

        :raises HandOverFailed: the image cannot take over, or nobody knows in time.
        """
        if self._trials:
            raise HandOverFailed("a former trial waits for a file system that does not answer")
        later = self._in_thread(lambda: self._try(image, state, version))
        limit = self._clock.callLater(TRIAL_SECONDS + _THREADS_SECONDS, later.cancel)
        try:
            return await later
        except CancelledError:
            raise HandOverFailed(
                f"{image.program} cannot be tried: it does not even start, as if a file system did"
                " not answer"
            ) from None
        finally:
            if limit.active():
                limit.cancel()

    def _try(self, image: Image, state: DaemonState, version: int | None) -> Tried:
        """Try an image; in a thread, for which an exec might wait."""
        self._trials += 1
        try:
            return try_image(image, state, version)
        finally:
            self._trials -= 1

    async def _wait_for_threads(self) -> None:
        """Wait until no thread hangs: execve(2) waits for all of them, whatever they do."""
        deadline = self._clock.seconds() + _THREADS_SECONDS
        while self._daemon.hung() and self._clock.seconds() <= deadline:
            await self._pause()
        self._check_threads()

    async def _pause_lanes(self) -> None:
        """Have all files of slow file systems closed.

        :raises HandOverFailed: one does not answer.
        """
        paused = self._daemon.pause()
        deadline = self._clock.seconds() + _THREADS_SECONDS
        while not paused.called and self._clock.seconds() <= deadline:
            await self._pause()
        if not paused.called:
            self._check_threads()
            raise HandOverFailed("a file system is too slow for its files to be closed now")

    def _check_threads(self) -> None:
        hung = self._daemon.hung()
        if hung:
            raise HandOverFailed("; ".join(hung))

    async def _pause(self) -> None:
        pause: Deferred[None] = Deferred()
        self._clock.callLater(_POLL_SECONDS, pause.callback, None)
        await pause

    async def _stand_still(self, asking: int, to_virtlogd: bool) -> None:
        """Hold the daemon once only requests for a hand-over are in progress.

        What clients follow ends before virtlogd, which knows of no such thing, takes over: whoever
        reads learns of it, and nobody waits for one who does not.
        """
        begun = self._clock.seconds()
        deadline = begun + _IDLE_SECONDS
        followers: set[tuple[str, int]] = set()
        while True:
            self._go_on()
            self._daemon.hold()
            if self._daemon.waiting() <= asking:
                if not to_virtlogd:
                    return
                state = self._daemon.suspended()
                following, known = _followers(state), bool(followers)
                followers |= following
                if following and not known:
                    self._daemon.end_subscriptions()
                elif not _is_unfinished(
                    state, followers if self._clock.seconds() > begun + _READING_SECONDS else ()
                ):
                    return
            if self._clock.seconds() > deadline:
                raise HandOverFailed("clients' requests are still in progress")
            if to_virtlogd:
                # virtlogd cannot take over a request that is half received; it may soon be whole.
                self._daemon.release()
            await self._pause()

    async def _obey_signals(self) -> None:
        """Do what signals asked for before they were blocked; it would be forgotten."""
        done: Deferred[None] = Deferred()
        self._call_soon(lambda: done.callback(None))
        await done
        self._go_on()

    def _go_on(self) -> None:
        if self._process.stopping:
            raise HandOverFailed("the daemon is stopping")

    def _execute(self, image: Image, tried: Tried) -> None:
        """Become the next image.

        :raises HandOverFailed: a signal came that virtlogd would not get; nothing has changed.
        :raises OSError: the system refuses; nothing has changed.
        """
        state = self._daemon.suspended()
        to_virtlogd = tried.is_virtlogd
        if to_virtlogd:
            state = state.for_virtlogd()
        document_text = encoded(state, tried.version)
        with ExitStack() as undo:
            environment = dict(os.environ)
            if to_virtlogd:
                undo.callback(self._process.stay)
                self._process.prepare_for_virtlogd()
                undo.callback(_remove, self._state_file)
                _write(self._state_file, b"".join(document_text))
            else:
                document = undo.enter_context(document_of(document_text))
                environment[VARIABLE] = str(document)
            undo.enter_context(_inherited(state.descriptors()))
            if image.pid_file is not None:
                undo.enter_context(_without(image.pid_file))
            undo.enter_context(_working_in(image))
            if to_virtlogd:
                if signals.is_pending():
                    raise HandOverFailed("a signal came, which is obeyed first")
                # (virtlogd would never unblock them)
                signals.unblock()
            os.execve(image.program, image.arguments, environment)


def _check(state: DaemonState, tried: Tried) -> None:
    """Check that an image that was tried can still take over.

    :raises HandOverFailed: it cannot.
    """
    if tried.is_virtlogd:
        check_for_virtlogd(state)
    version_of(state, tried.version)


def _followers(state: DaemonState) -> set[tuple[str, int]]:
    """Return the clients that follow logs, each by its server's name and its number."""
    return {
        (name, client.id)
        for name, server in state.servers.items()
        for client in server.clients
        if client.follows
    }


def _is_unfinished(state: DaemonState, but: Collection[tuple[str, int]] = ()) -> bool:
    """Return whether a client has something that virtlogd could not go on with.

    :param but: clients that are not waited for.
    """
    for name, server in state.servers.items():
        for client in server.clients:
            connection = client.connection
            if connection is None or (name, client.id) in but:
                continue
            if connection.queued or (connection.conversation.received and name in OF_VIRTLOGD):
                return True
    return False


@contextmanager
def _working_in(image: Image) -> Iterator[None]:
    """Work in an image's directory until the exec, or until it has failed."""
    before = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(directory_of(image))
        try:
            yield
        finally:
            os.fchdir(before)
    finally:
        os.close(before)


@contextmanager
def _inherited(descriptors: Sequence[int]) -> Iterator[None]:
    """Keep descriptors open across an exec."""
    try:
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)
        yield
    finally:
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)


@contextmanager
def _without(path: str) -> Iterator[None]:
    """Remove a file, and put it back if the exec fails."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        yield
        return
    _remove(path)
    try:
        yield
    finally:
        _write(path, content)


def _write(path: str, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "wb") as file:
        file.write(content)


def _remove(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)
