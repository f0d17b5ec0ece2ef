"""What can take over from this process: how it is started, and whether it would start."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from msgspec import Struct

from twisted_virtlog.errors import HandOverFailed
from twisted_virtlog.handover import trial
from twisted_virtlog.handover.state import (
    DaemonState,
    StateError,
    beyond,
    check_version,
    encoded,
)

#: Names the descriptor from which the next image reads the state, by its number.
VARIABLE = "TWISTED_VIRTLOG_HANDOVER"

#: How long the next image may take to load the state when it is tried.
TRIAL_SECONDS = 30.0

_LIBVIRTS = "(libvirt)"


class Kind(enum.Enum):
    """Whose image takes over: ours, libvirt's virtlogd, or whichever of them is there now."""

    OURS = "twisted-virtlog"
    VIRTLOGD = "virtlogd"
    EITHER = "either"


class Image(Struct, frozen=True):
    """A program that can take over, and how it is started.

    :ivar program: the path of its executable.
    :ivar arguments: with its name first.
    :ivar trial: the same for a trial, in which it must leave pid files alone and not daemonise.
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


class Successor(Struct, frozen=True):
    """What can take over from this process.

    :ivar image: returns what takes over unless another image is asked for, as it is now.
    :ivar virtlogd_options: for libvirt's virtlogd, if that is to take over.
    :ivar directory: where to start virtlogd.
    :ivar state_file: where virtlogd looks for the state.
    """

    image: Callable[[], Image]
    virtlogd_options: tuple[str, ...]
    directory: str
    state_file: str

    def virtlogd(self, path: str) -> Image:
        """Return the image of libvirt's virtlogd at a path."""
        return Image(path, (path, *self.virtlogd_options), (), self.directory, None, Kind.VIRTLOGD)


class Tried(Struct, frozen=True):
    """What is known of an image that can take over.

    :ivar is_virtlogd: whether it is libvirt's, which cannot be tried, and gets the state in a file.
    :ivar version: the version of the state's document that it can read.
    """

    is_virtlogd: bool
    version: int


def try_image(image: Image, state: DaemonState, version: int | None = None) -> Tried:
    """Find out whether an image can take over, without starting it.

    This may take :data:`TRIAL_SECONDS`, and for ever where a file system does not answer.

    :param version: that of the state's document; None for the lowest that says all.
    :raises HandOverFailed: it cannot.
    """
    if not os.access(image.program, os.X_OK):
        raise HandOverFailed(f"{image.program} is not a program that can be executed")
    if image.kind is not Kind.OURS and _is_virtlogd(image):
        check_for_virtlogd(state)
        return Tried(True, 1)
    if image.kind is Kind.VIRTLOGD:
        raise HandOverFailed(f"{image.program} is not libvirt's virtlogd; see {image.program} -V")
    version = version_of(state, version)
    with document_of(encoded(state, version)) as document:
        environment = {**os.environ, VARIABLE: str(document)}
        tried = _run(image, image.trial, environment)
    if tried.status:
        last = tried.output.strip().splitlines()[-1:] or ["it said nothing"]
        raise HandOverFailed(
            f"{image.program} ended with status {tried.status} when it was tried: {last[0]}"
        )
    return Tried(False, version)


def version_of(state: DaemonState, version: int | None) -> int:
    """Choose the version of a state's document.

    :raises HandOverFailed: it cannot have the version that was asked for.
    """
    try:
        return check_version(state, version)
    except StateError as error:
        raise HandOverFailed(f"{error}; a newer release can take over now") from error


def _is_virtlogd(image: Image) -> bool:
    """Return whether a program is libvirt's, going by its version."""
    return _LIBVIRTS in _run(image, (image.arguments[0], "-V"), os.environ).output


def directory_of(image: Image) -> str:
    """Return where to start an image, even if its directory has been removed since."""
    return image.directory if os.path.isdir(image.directory) else "/"


@contextmanager
def document_of(pieces: Iterable[bytes]) -> Iterator[int]:
    """Yield a descriptor from which the state can be read, and which stays open across an exec.

    :param pieces: of the state's document.
    """
    document = os.memfd_create("hand-over", 0)
    try:
        for piece in pieces:
            left = memoryview(piece)
            while left:
                left = left[os.write(document, left) :]
        yield document
    finally:
        os.close(document)


def check_for_virtlogd(state: DaemonState) -> None:
    """Check that libvirt's virtlogd would lose nothing of a state.

    :raises HandOverFailed: it would.
    """
    if "virtlogd" not in state.servers:
        raise HandOverFailed("virtlogd needs a socket for libvirt's drivers, and there is none")
    if (more := beyond(state, 1)) is not None:
        raise HandOverFailed(f"virtlogd knows one pipe of a log, but {more}")
    for log in state.logs:
        try:
            log.path.encode()
        except UnicodeEncodeError:
            raise HandOverFailed(
                f"virtlogd cannot take over {log.path!r}, whose name is not UTF-8"
            ) from None


def _run(image: Image, arguments: Sequence[str], environment: Mapping[str, str]) -> trial.Result:
    try:
        return trial.run(image.program, arguments, directory_of(image), environment, TRIAL_SECONDS)
    except OSError as error:
        raise HandOverFailed(f"{image.program} cannot be tried: {error}") from error
