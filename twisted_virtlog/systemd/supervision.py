"""The daemon under a service manager: what that is told, and what it keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from twisted.internet.interfaces import IReactorFDSet

from twisted_virtlog.handover.keeper import NO_KEEPER, Keeper
from twisted_virtlog.handover.state import DaemonState, Kept, OpenLogState
from twisted_virtlog.loop.clock import MonotonicClock
from twisted_virtlog.systemd.activation import Activation
from twisted_virtlog.systemd.inherited import Stored, stored
from twisted_virtlog.systemd.notify import Notifier, parse_address
from twisted_virtlog.systemd.probe import keeps_descriptors
from twisted_virtlog.systemd.status import StatusLine
from twisted_virtlog.systemd.store import DescriptorStore
from twisted_virtlog.systemd.watchdog import Watchdog, watchdog_interval

_MICROSECONDS = 1_000_000


class Supervisor(Protocol):
    """What a daemon says to its service manager, if it has one, and the keeper of its logs.

    :ivar keeper: keeps logs for the next process.
    :ivar keeps_anything: whether it can.
    """

    keeper: Keeper
    keeps_anything: bool

    def look_after(self, look: Callable[[], None]) -> None:
        """Call something at each ping of the watchdog, if there is one."""

    def ready(self) -> None:
        """Say that the daemon serves, at its start or after it read its configuration again."""

    def note(self, text: str) -> None:
        """Add something to the status, until the next note.

        :param text: empty for nothing.
        """

    def keep_configuration(self, text: bytes) -> None:
        """Keep the text of the configuration that holds, for a start at which the file is wrong."""

    def keep_counts(self, file: int, is_stored: bool) -> None:
        """Keep what is counted of logs for the next process.

        :param is_stored: it was kept by a former process.
        """

    def reloading(self) -> None:
        """Say that the daemon reads its configuration again."""

    def stopping(self) -> None:
        """Say that the daemon ends, and store what is still to be stored."""

    def hand_over_to_virtlogd(self) -> None:
        """Keep the manager from ending libvirt's virtlogd, which does not know its watchdog."""

    def go_on(self) -> None:
        """Go on after :meth:`hand_over_to_virtlogd`."""

    def suspended(self) -> Kept | None:
        """Return what the next image needs to know of what the manager keeps."""

    def close(self) -> None:
        """Say the last that there is to say."""


class Supervision(Supervisor):
    """A service manager that listens."""

    def __init__(
        self,
        reactor: IReactorFDSet,
        environment: Mapping[str, str],
        pid: int,
        address: str,
        former: Stored | Kept | None,
        handed_over: Sequence[OpenLogState] = (),
    ) -> None:
        """Open the way to the manager, and ping its watchdog as the daemon starts.

        :param address: see :func:`notify.parse_address`.
        :param former: see :class:`DescriptorStore`.
        :param handed_over: likewise.
        """
        self._clock = MonotonicClock(reactor)
        self._notifier = Notifier(reactor, self._clock, address)
        self._status = StatusLine(
            self._clock, self._notifier, lambda: len(self._store), lambda: self._store.left
        )
        self._store = DescriptorStore(
            self._notifier,
            _store_size(environment, address, former),
            former,
            self._status.changed,
            handed_over,
        )
        self.keeper = self._store
        self.keeps_anything = self._store.keeps_anything
        interval = watchdog_interval(environment, pid)
        self._watchdog = Watchdog(self._clock, self._notifier, interval) if interval else None
        if self._watchdog is not None and former is None:
            # libvirt's virtlogd may have been here, which sends no pings.
            self._watchdog.watch()

    def look_after(self, look: Callable[[], None]) -> None:
        if self._watchdog is not None:
            self._watchdog.look = look

    def ready(self) -> None:
        self._notifier.send("READY=1", self._status.text())

    def note(self, text: str) -> None:
        self._status.note = text
        self._status.changed()

    def keep_configuration(self, text: bytes) -> None:
        self._store.keep_configuration(text)

    def keep_counts(self, file: int, is_stored: bool) -> None:
        self._store.keep_counts(file, is_stored)

    def reloading(self) -> None:
        now = round(self._clock.seconds() * _MICROSECONDS)
        self._notifier.send("RELOADING=1", f"MONOTONIC_USEC={now}")

    def stopping(self) -> None:
        self._store.stopping()
        self._notifier.send("STOPPING=1", self._status.text())

    def hand_over_to_virtlogd(self) -> None:
        if self._watchdog is not None:
            self._watchdog.look_away()

    def go_on(self) -> None:
        if self._watchdog is not None:
            self._watchdog.watch()

    def suspended(self) -> Kept | None:
        return self._store.suspended()

    def close(self) -> None:
        self._status.stop()
        if self._watchdog is not None:
            self._watchdog.stop()
        self._store.close()
        self._notifier.close()
        self._clock.close()


class Unsupervised(Supervisor):
    """Nobody supervises, so nothing is said or kept."""

    keeper: Keeper = NO_KEEPER
    keeps_anything = False

    def look_after(self, look: Callable[[], None]) -> None:
        pass

    def ready(self) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def keep_configuration(self, text: bytes) -> None:
        pass

    def keep_counts(self, file: int, is_stored: bool) -> None:
        pass

    def reloading(self) -> None:
        pass

    def stopping(self) -> None:
        pass

    def hand_over_to_virtlogd(self) -> None:
        pass

    def go_on(self) -> None:
        pass

    def suspended(self) -> Kept | None:
        return None

    def close(self) -> None:
        pass


def supervision(
    reactor: IReactorFDSet,
    environment: Mapping[str, str],
    pid: int,
    activation: Activation,
    state: DaemonState | None,
) -> Supervisor:
    """Find out who supervises this process.

    :param environment: as the process got it.
    :param activation: what was handed over, according to it.
    :param state: that of the daemon's former image, if there was one.
    """
    address = parse_address(environment.get("NOTIFY_SOCKET"))
    if address is None:
        # Where nothing can be said, nothing could be taken out of the store again.
        return Unsupervised()
    former: Stored | Kept | None
    if state is not None:
        former = state.details.kept if state.details is not None else None
    else:
        former = stored(activation)
    handed_over = () if state is None else state.logs
    return Supervision(reactor, environment, pid, address, former, handed_over)


def _store_size(
    environment: Mapping[str, str], address: str, former: Stored | Kept | None
) -> int | None:
    """Return how many descriptors the manager keeps; None if it does not say how many.

    systemd says it in $FDSTORE from version 254 on, and the daemon's own unit before.
    """
    text = environment.get("FDSTORE", "")
    if text.isascii() and text.isdigit():
        return int(text)
    if isinstance(former, Stored) and (former.logs or former.journal):
        return None
    return None if keeps_descriptors(address) else 0
