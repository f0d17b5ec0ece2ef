"""Hands the daemon over to its next image in the same process (SIGUSR1): all or nothing.

The next image is tried first, in a child that loads the state as it would. What then goes over to
it are the descriptors themselves, so nobody at their other ends notices; the state that says what
they are is in a memfd, or, if virtlogd is to take over, in the file where that looks for it.
"""

from __future__ import annotations

import enum
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twisted_virtlog.clock import Clock
from twisted_virtlog.errors import HandOverFailed
from twisted_virtlog.logs.handler import InThread
from twisted_virtlog.state import OF_VIRTLOGD, DaemonState, StateError, decode, encode

#: Tells the next image the number of the descriptor that it reads the state from.
VARIABLE = "TWISTED_VIRTLOG_HANDOVER"

#: These wait, so that none ends the next image before it handles them.
SIGNALS = {signal.SIGUSR1, signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}

#: The next image has so long to load the state when it is tried.
_TRIAL_SECONDS = 30.0

#: Requests in progress have so long to be answered.
_IDLE_SECONDS = 5.0
_POLL_SECONDS = 0.002

_LIBVIRTS = "(libvirt)"


class Kind(enum.Enum):
    """Whose image takes over: ours, libvirt's virtlogd, or whichever of them is there now."""

    OURS = "twisted-virtlog"
    VIRTLOGD = "virtlogd"
    EITHER = "either"


@dataclass(frozen=True, slots=True)
class Image:
    """A program that can take over, and how it is started.

    :ivar program: the path of its executable.
    :ivar arguments: with its name first.
    :ivar trial: the same for a try, in which it must leave pid files alone and not daemonise.
    :ivar directory: where to start it.
    :ivar pid_file: removed before, as it would keep the next image from starting.
    :ivar kind: whose it is.
    """

    program: str
    arguments: tuple[str, ...]
    trial: tuple[str, ...]
    directory: str
    pid_file: str | None = None
    kind: Kind = Kind.OURS


@dataclass(frozen=True, slots=True)
class Successor:
    """What can take over from this process.

    :ivar image: what takes over unless somebody says otherwise, as it is at this moment.
    :ivar virtlogd_options: for libvirt's virtlogd, if that is to take over.
    :ivar directory: where to start that.
    :ivar state_file: where that looks for the state.
    """

    image: Callable[[], Image]
    virtlogd_options: tuple[str, ...]
    directory: str
    state_file: str

    def virtlogd(self, path: str) -> Image:
        """Give the image of libvirt's virtlogd at a path."""
        return Image(path, (path, *self.virtlogd_options), (), self.directory, None, Kind.VIRTLOGD)


class Suspendable(Protocol):
    """What a hand-over needs of the service; see VirtlogService."""

    def hold(self) -> None:
        """Take no more requests."""

    def release(self) -> None:
        """Go on."""

    def waiting(self) -> int:
        """Tell how many requests are in progress."""

    def suspended(self) -> DaemonState:
        """Tell what the next image needs."""

    def prepare_for_virtlogd(self) -> None:
        """See that nobody expects of libvirt's virtlogd what it does not do."""

    def stay(self) -> None:
        """Go on after that."""


class HandOver:
    """Carries out hand-overs, one at a time."""

    _logger = Logger()

    def __init__(
        self, service: Suspendable, clock: Clock, in_thread: InThread, state_file: str
    ) -> None:
        """:param state_file: see Successor."""
        self._service = service
        self._clock = clock
        self._in_thread = in_thread
        self._state_file = state_file
        self._under_way = False

    def begin(self, image: Image, for_client: bool) -> Deferred[None]:
        """Hand over, unless something speaks against it, and then go on as before.

        :param for_client: a client's request waits for this, and is answered just before.
        :returns: fires just before this image ends.
        :raises HandOverFailed: through the Deferred.
        """
        answer: Deferred[None] = Deferred()
        # What fails after the answer is in the daemon's log.
        Deferred.fromCoroutine(self._hand_over(image, int(for_client), answer)).addErrback(
            lambda failure: None if answer.called else answer.errback(failure)
        )
        return answer

    async def _hand_over(self, image: Image, asking: int, answer: Deferred[None]) -> None:
        if self._under_way:
            raise HandOverFailed("a hand-over is under way already")
        self._under_way = True
        try:
            self._logger.info("handing over to {program}", program=image.program)
            state = self._service.suspended()
            to_virtlogd = await self._in_thread(lambda: try_image(image, state))
            await self._stand_still(asking, to_virtlogd)
            try:
                answer.callback(None)
                self._execute(image, to_virtlogd)
            finally:
                self._service.release()
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

    async def _stand_still(self, asking: int, to_virtlogd: bool) -> None:
        """Hold the service when no request is in progress but those that ask for a hand-over."""
        deadline = self._clock.seconds() + _IDLE_SECONDS
        while True:
            self._service.hold()
            if self._service.waiting() <= asking and not (
                to_virtlogd and _is_unfinished(self._service.suspended())
            ):
                return
            if to_virtlogd or self._clock.seconds() > deadline:
                # What virtlogd cannot take over, a half-received request, may be complete soon.
                self._service.release()
            if self._clock.seconds() > deadline:
                raise HandOverFailed("clients' requests are still in progress")
            pause: Deferred[None] = Deferred()
            self._clock.callLater(_POLL_SECONDS, pause.callback, None)
            await pause

    def _execute(self, image: Image, to_virtlogd: bool) -> None:
        """Become the next image.

        :raises OSError: the system refuses; all is as it was.
        """
        state = self._service.suspended()
        if to_virtlogd:
            state = state.for_virtlogd()
        text = encode(state)
        with ExitStack() as undo:
            environment = dict(os.environ)
            if to_virtlogd:
                undo.callback(self._service.stay)
                self._service.prepare_for_virtlogd()
                undo.callback(_remove, self._state_file)
                _write(self._state_file, text)
            else:
                document = undo.enter_context(_document(text))
                environment[VARIABLE] = str(document)
                # virtlogd would never unblock them.
                before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
                undo.callback(signal.pthread_sigmask, signal.SIG_SETMASK, before)
            undo.enter_context(_inherited(state.descriptors()))
            if image.pid_file is not None:
                undo.enter_context(_without(image.pid_file))
            undo.enter_context(_working_in(image))
            os.execve(image.program, image.arguments, environment)


def try_image(image: Image, state: DaemonState) -> bool:
    """Find out whether an image can take over, without starting it; may block.

    :returns: whether it is virtlogd, which cannot be tried, and gets the state in a file.
    :raises HandOverFailed: it cannot.
    """
    if not os.access(image.program, os.X_OK):
        raise HandOverFailed(f"{image.program} is no program that can be executed")
    if image.kind is not Kind.OURS and _is_virtlogd(image):
        _check_for_virtlogd(state)
        return True
    if image.kind is Kind.VIRTLOGD:
        raise HandOverFailed(f"{image.program} is not libvirt's virtlogd; {image.program} -V tells")
    with _document(encode(state)) as document:
        environment = {**os.environ, VARIABLE: str(document)}
        tried = _run(image, image.trial, environment, (document,))
    if tried.returncode:
        last = tried.stdout.strip().splitlines()[-1:] or ["it says nothing"]
        raise HandOverFailed(
            f"{image.program} ended with status {tried.returncode} when it was tried: {last[0]}"
        )
    return False


def _is_virtlogd(image: Image) -> bool:
    """Tell whether a program is libvirt's, by its version."""
    return _LIBVIRTS in _run(image, (image.arguments[0], "-V"), os.environ, ()).stdout


def handed_over(environment: MutableMapping[str, str]) -> DaemonState | None:
    """Take what the former image handed over, and its name out of the environment.

    Its descriptors are this process's when the state has this process's number; otherwise this is
    a try, and the process is to end with status 0 where it would start to serve.

    :returns: None if there was no former image.
    :raises StateError: the state cannot be used.
    """
    text = environment.pop(VARIABLE, None)
    if text is None:
        return None
    try:
        with open(int(text), "rb") as file:
            file.seek(0)
            document = file.read()
    except (OSError, ValueError) as error:
        raise StateError(f"{VARIABLE}={text}: {error}") from error
    return decode(document)


def from_virtlogd(state_file: str, pid: int) -> DaemonState | None:
    """Take what a virtlogd handed over that this process was before, and remove its file.

    :returns: None if there is none; as in virtlogd, the file of another process is only removed.
    :raises StateError: the state cannot be used.
    """
    try:
        with open(state_file, "rb") as file:
            document = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"{state_file}: {error.strerror}") from error
    _remove(state_file)
    state = decode(document)
    if state.pid != pid:
        _logger.warn("{file}: removed, as it is of process {pid}", file=state_file, pid=state.pid)
        return None
    return state


def own(state: DaemonState) -> None:
    """Close the state's descriptors in programs that this process executes."""
    for descriptor in state.descriptors():
        with suppress(OSError):
            os.set_inheritable(descriptor, False)


_logger = Logger()


def _is_unfinished(state: DaemonState) -> bool:
    """Tell whether there is what virtlogd could not go on with."""
    for name, server in state.servers.items():
        for client in server.clients:
            connection = client.connection
            if connection is not None and (
                connection.queued or (connection.conversation.received and name in OF_VIRTLOGD)
            ):
                return True
    return False


def _check_for_virtlogd(state: DaemonState) -> None:
    if "virtlogd" not in state.servers:
        raise HandOverFailed("virtlogd needs a socket for libvirt's drivers, and there is none")
    for log in state.logs:
        try:
            log.path.encode()
        except UnicodeEncodeError:
            raise HandOverFailed(
                f"virtlogd cannot take over {log.path!r}, whose name is no UTF-8"
            ) from None


def _run(
    image: Image,
    arguments: Sequence[str],
    environment: MutableMapping[str, str],
    descriptors: tuple[int, ...],
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            arguments,
            executable=image.program,
            cwd=_directory(image),
            env=environment,
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_TRIAL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HandOverFailed(f"{image.program} cannot be tried: {error}") from error


def _directory(image: Image) -> str:
    """Tell where to start an image, also when the directory was removed since."""
    return image.directory if os.path.isdir(image.directory) else "/"


@contextmanager
def _working_in(image: Image) -> Iterator[None]:
    """Be in an image's directory until the exec, or until it has failed."""
    before = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(_directory(image))
        try:
            yield
        finally:
            os.fchdir(before)
    finally:
        os.close(before)


@contextmanager
def _document(text: bytes) -> Iterator[int]:
    """Give a descriptor that the state can be read from, and that stays open across an exec."""
    document = os.memfd_create("hand-over", 0)
    try:
        left = memoryview(text)
        while left:
            left = left[os.write(document, left) :]
        yield document
    finally:
        os.close(document)


@contextmanager
def _inherited(descriptors: Sequence[int]) -> Iterator[None]:
    """Let descriptors stay open across an exec."""
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
