"""Daemons as the service manager knows them, and managers that hear only a part."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from twisted.internet.task import Clock

from harness.service_manager import ServiceManager
from tests.fakes.reactor import FakeReactor
from tests.systemd.values import log
from twisted_virtlog.handover.state import Kept, OpenLogState
from twisted_virtlog.logs.pipes.staging import StagedSource
from twisted_virtlog.systemd import activation
from twisted_virtlog.systemd.activation import Activation
from twisted_virtlog.systemd.inherited import Stored
from twisted_virtlog.systemd.names import JOURNALS, pipe_name
from twisted_virtlog.systemd.notify import Notifier
from twisted_virtlog.systemd.store import DescriptorStore


class Full(Notifier):
    """A manager that takes nothing more, until it is told to."""

    full = True

    @property
    def busy(self) -> bool:
        return self.full


class Process:
    """A daemon as the manager knows it: its store and its open logs.

    :ivar opened: the logs, by path.
    :ivar lane: the pipes of all that are in a lane.
    :ivar changes: how often it was told that there are more or fewer.
    """

    def __init__(
        self,
        manager: str | Notifier,
        most: int | None = None,
        former: Stored | Kept | None = None,
        taken_over: Sequence[OpenLogState] = (),
    ) -> None:
        """:param manager: its address, or the way to it.

        :param taken_over: the logs that its former image handed over.
        """
        self.changes = 0
        self.opened: dict[str, OpenLogState] = {}
        self.reactor = FakeReactor()
        self.notifier = (
            Notifier(self.reactor, Clock(), manager) if isinstance(manager, str) else manager
        )
        self.store = DescriptorStore(self.notifier, most, former, self.changed, taken_over)
        self.write_ends: dict[str, int] = {}
        self.lane = StagedSource(self.store)

    def changed(self) -> None:
        self.changes += 1

    def begin(self, logs: Sequence[OpenLogState] = ()) -> Process:
        self.opened = {one.path: one for one in logs}
        self.store.begin(logs)
        return self

    def open(self, path: str, order: int = 0, lane: str | None = None) -> OpenLogState:
        read_end, write_end = os.pipe()
        self.write_ends[path] = write_end
        self.opened[path] = log(path, read_end, order=order, lane=lane)
        self.store.opened(self.opened[path])
        return self.opened[path]

    def close(self, path: str) -> None:
        pipe = self.opened.pop(path).pipe
        self.store.closed(os.fstat(pipe).st_ino)
        os.close(pipe)
        # (a log that another process opened has its write end there)
        if path in self.write_ends:
            os.close(self.write_ends.pop(path))

    def keeps(self, path: str) -> bool:
        return self.store.keeps(os.fstat(self.opened[path].pipe).st_ino)

    def names(self) -> list[str]:
        """The names of the open logs' pipes."""
        return sorted(name_of(one) for one in self.opened.values())

    def die(self) -> None:
        """End as a killed process does: all descriptors are closed, and nothing is said."""
        self.notifier.close()
        self.lane.close()
        self.store.close()
        for one in self.opened.values():
            os.close(one.pipe)
        for write_end in self.write_ends.values():
            os.close(write_end)


def name_of(one: OpenLogState) -> str:
    return pipe_name(os.fstat(one.pipe).st_ino)


def handed_over(manager: ServiceManager) -> Activation:
    """Hand over what is stored, as systemd does at the next start."""
    return named({os.dup(one.descriptor): one.name for one in manager.store})


def named(names: Mapping[int, str]) -> Activation:
    """Sort descriptors by their names."""
    return activation._sorted(names)


def settled(manager: ServiceManager) -> list[str]:
    """Wait until all that was sent has arrived; give the stored names, the journal's left out."""
    manager.settle()
    assert [name for name in manager.names if name in JOURNALS]
    return sorted(name for name in manager.names if name not in JOURNALS)


class Ledger(Notifier):
    """A manager that hears messages only up to one of them.

    :ivar messages: each with its descriptor, and with the journals as they were just then.
    """

    def __init__(self) -> None:
        super().__init__(FakeReactor(), Clock(), "")
        self.messages: list[tuple[tuple[str, ...], int | None, dict[int, bytes]]] = []
        self._journals: dict[int, int] = {}

    def send(self, *lines: str, descriptor: int | None = None, urgent: bool = False) -> None:
        # (a barrier's is closed at once)
        wanted = descriptor is not None and lines[0] == "FDSTORE=1"
        kept = os.dup(descriptor) if descriptor is not None and wanted else None
        if kept is not None and lines[1].removeprefix("FDNAME=") in JOURNALS:
            self._journals[inode_of(kept)] = kept
        self.messages.append((lines, kept, self.journals()))

    def journals(self) -> dict[int, bytes]:
        """Give the journals' contents by inode."""
        return {
            inode: os.pread(descriptor, 1 << 20, 0) for inode, descriptor in self._journals.items()
        }

    def handed_over(self, count: int, late: bool) -> Activation:
        """Give what is stored after so many messages.

        :param late: the process came to the next one, and wrote what it writes before.
        """
        after = [*(message[2] for message in self.messages), self.journals()]
        written = after[count if late else max(0, count - 1)]
        return named(
            {
                file_with(written[inode_of(one)]) if name in JOURNALS else os.dup(one): name
                for one, name in self._stored(count)
            }
        )

    def handed_over_now(self, count: int) -> Activation:
        """Give what is stored if the manager is so far behind, and the process is killed now."""
        return named({os.dup(one): name for one, name in self._stored(count)})

    def _stored(self, count: int) -> Iterator[tuple[int, str]]:
        store: dict[str, list[int]] = {}
        for lines, descriptor, _ in self.messages[:count]:
            if lines[0] == "FDSTOREREMOVE=1":
                store.pop(lines[1].removeprefix("FDNAME="), None)
            elif descriptor is not None:
                store.setdefault(lines[1].removeprefix("FDNAME="), []).append(descriptor)
        for name, descriptors in store.items():
            for descriptor in descriptors:
                yield descriptor, name

    def close(self) -> None:
        for _, descriptor, _ in self.messages:
            if descriptor is not None:
                os.close(descriptor)
        self.messages.clear()
        self._journals.clear()


def inode_of(descriptor: int) -> int:
    return os.fstat(descriptor).st_ino


def file_with(content: bytes) -> int:
    descriptor = os.memfd_create("test")
    os.write(descriptor, content)
    return descriptor
