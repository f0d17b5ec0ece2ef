"""The counts of one open log: what its bytes became, told by whoever does something with them.

Two equations hold after each method (values.Ledger says them). What the daemon does itself it
counts. What other programs do to the files is seen when a file is looked at, as it is not as it
was left: it is counted then.

The log's files are known by their sizes: the current one by what the row says, the backups by
``names``. That list is not in the slot; whoever goes on with a log after a kill looks at the files,
and what they have more or less in all is what others did.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from functools import cache
from typing import NamedTuple

from twisted_virtlog.logs.accounts.layout import (
    ADDED,
    AWAY,
    BACK,
    BACK_KIND,
    CUT,
    DROP_REASONS,
    DROPPED,
    ELSEWHERE,
    END,
    FOUND,
    GUEST,
    HELD,
    INODE,
    KEY,
    KIND,
    KINDS,
    REASON,
    REGULAR,
    REMOVAL_REASONS,
    REMOVED,
    REMOVED_INODE,
    REMOVING,
    SINCE,
    START,
    TAKEN,
    WRITTEN,
)
from twisted_virtlog.logs.accounts.slots import Slot, active_row
from twisted_virtlog.logs.files.names import CURRENT
from twisted_virtlog.values import (
    Dropped,
    DropReason,
    Intake,
    Ledger,
    Outside,
    RemovalReason,
    RemovedBytes,
    Storage,
    Written,
)

#: The most bytes that one move writes. A file that is longer by no more than this when its log is
#: taken over after a kill was written by the daemon, which had no time to count that.
MOST_MOVED = 256 * 1024

_DROP_REASONS = tuple(DropReason)
_REMOVAL_REASONS = tuple(RemovalReason)
_ROTATION = _REMOVAL_REASONS.index(RemovalReason.ROTATION)
#: The reasons for which another thread than the log's drops, in the order of their words.
ELSEWHERE_REASONS = (DropReason.WRITE_ERROR, DropReason.STOPPED)
_DROPPED_ELSEWHERE = tuple(DROPPED + _DROP_REASONS.index(reason) for reason in ELSEWHERE_REASONS)

_MICROSECONDS = 1_000_000

#: In place of the size of a file that is not there.
MISSING = -1


class SeenFile(NamedTuple):
    """A file of a log, as it was looked at."""

    inode: int
    size: int


_NOTHING = SeenFile(0, 0)


def _none() -> int:
    return 0


#: The files by their names, the current one first, then the backups from the newest on; None for
#: one that is not there.
Looks = Sequence["SeenFile | None"]


class Account(Slot):
    """The counts of a log.

    A writer that has moved bytes stores the end of the file in ``words`` where ``at`` says, which
    is all that it takes to count them.
    """

    __slots__ = ("_names",)

    def __init__(self, words: memoryview, slot: int) -> None:
        """Go on with what a slot says; see Slot."""
        super().__init__(words, slot)
        # The sizes of the files as they were seen last: of what stands in the current one's place
        # and is another, then of the backups. None if that is not known.
        self._names: tuple[int, ...] | None = None

    @property
    def number(self) -> int:
        """The number of the guest's pipe; see layout.KEY."""
        number: int = self.words[self.slot + KEY]
        return number

    @number.setter
    def number(self, number: int) -> None:
        self.words[self.slot + KEY] = number

    @property
    def has_begun(self) -> bool:
        """Whether anything is counted."""
        return bool(self.words[self.slot + SINCE])

    @property
    def is_taken_over(self) -> bool:
        """Whether the files are to be looked at, by :meth:`found_again`, before anything else."""
        return self._names is None and self.has_begun

    @property
    def inode(self) -> int:
        """The number of the current file, whatever name it has by now; 0 if there is none."""
        number: int = self.words[self.at + INODE]
        return number

    @property
    def backups(self) -> int:
        """For how many backups there are sizes."""
        return len(self._names) - 1 if self._names else 0

    # What a writer tells.

    def begin(self, looks: Looks, held: int = 0) -> None:
        """Count what is in the files before anything is done with them.

        :param held: bytes in the held files.
        """
        row = self._folded()
        current, *backups = map(_size, looks)
        self._names = _shared(max(current, 0), *backups)
        row[FOUND] = sum(max(size, 0) for size in self._names) + held
        row[HELD] = held
        row[REGULAR] = 1
        self.hold(row)
        self.words[self.slot + SINCE] = now_us()

    def use(
        self,
        current: SeenFile,
        backups: Looks | None,
        regular: bool = True,
        held: Callable[[], int] = _none,
    ) -> None:
        """Go on with a file, which is the one of the log's path.

        :param backups: None if they were not looked at.
        :param regular: whether it is a regular file.
        :param held: returns how many bytes are in the held files; asked the first time.
        """
        has_begun = self.has_begun
        row = self._folded() if has_begun else self.row()
        if not has_begun or not regular:
            names = [0]
            if regular:
                row[REGULAR] = 1
                row[HELD] = held()
                row[FOUND] = current.size + row[HELD]
            else:
                row[REGULAR] = row[HELD] = row[FOUND] = 0
            for look in backups or ():
                names.append(MISSING if look is None else look.size)
                if regular and look is not None:
                    row[FOUND] += look.size
            row[INODE], row[END], row[START] = current.inode, current.size, current.size
            self._names = _shared(*names)
            self.hold(row)
            if not has_begun:
                self.words[self.slot + SINCE] = now_us()
            return
        self._see_current(row, current)
        row[INODE], row[END], row[START], row[AWAY] = current.inode, current.size, current.size, 0
        self._set(CURRENT, 0)
        if backups is not None:
            self._see_backups(row, backups)
        self.hold(row)

    def resized(self, inode: int, size: int) -> None:
        """Count what another program did to a file, if it is the current one."""
        words, at = self.words, self.at
        if words[at + END] != size and words[at + INODE] == inode:
            row = self._folded()
            _resize(row, size)
            self.hold(row)

    def reckon(self, size: int, back: int) -> None:
        """Count what was taken out of the current file, or put back, while others cut it.

        :param size: of the file now.
        :param back: how many bytes are to be written again.
        """
        row = self._folded()
        _take_back(row, back)
        _resize(row, size)
        self.hold(row)

    def undone(self) -> None:
        """Forget what was to be written again: it is not wanted any more."""
        self.words[self.at + BACK] = 0

    def taken_back(self, size: int) -> None:
        """Count no more what was taken out of the current file for good.

        :param size: of the file now.
        """
        row = self._folded()
        row[WRITTEN + row[KIND]] += size - row[END]
        row[END] = row[START] = size
        self.hold(row)

    def turn(self, kind: int) -> None:
        """Say of what kind the bytes are that come next; see layout.KIND."""
        if self.words[self.at + KIND] != kind:
            row = self._folded()
            row[KIND] = kind
            self.hold(row)

    def renamed(self, source: int, target: int, look: SeenFile) -> None:
        """Count what is seen of a file that got another name.

        :param source: which name it had: a backup's number, or CURRENT.
        """
        row = self._folded()
        self._see_leaving(row, source, look)
        names = self._names
        if names is not None and target + 1 < len(names):
            # (a file that could not be removed, and was replaced)
            row[REMOVED + _ROTATION] += max(names[target + 1], 0)
        self._set(target, look.size)
        self.hold(row)

    def missing(self, name: int) -> None:
        """Count a file that another program took, as it is not there when it was to be renamed.

        :param name: a backup's number; CURRENT is seen by :meth:`use`.
        """
        names = self._names
        if name != CURRENT and names is not None and name + 1 < len(names) and names[name + 1] > 0:
            row = self._folded()
            _differ(row, -names[name + 1], TAKEN)
            self._set(name, MISSING)
            self.hold(row)

    def removing(self, look: SeenFile, reason: RemovalReason) -> None:
        """Note that a file is about to be removed; what is done is counted by :meth:`removed`."""
        self.words[self.slot + REASON] = _REMOVAL_REASONS.index(reason)
        self.words[self.slot + REMOVED_INODE] = look.inode
        self.words[self.slot + REMOVING] = look.size + 1

    def removed(self, name: int, look: SeenFile, reason: RemovalReason) -> None:
        """Count a file that was removed.

        :param name: a backup's number, or CURRENT.
        """
        row = self._folded()
        self._see_leaving(row, name, look)
        row[REMOVED + _REMOVAL_REASONS.index(reason)] += look.size
        self.hold(row)
        self.not_removed()

    def held(self, name: int, look: SeenFile) -> None:
        """Count a file that is held, in place of being removed.

        :param name: which name it had: a backup's number, or CURRENT.
        """
        row = self._folded()
        self._see_leaving(row, name, look)
        row[HELD] += look.size
        self.hold(row)

    def held_went(self, size: int, look: SeenFile | None, reason: RemovalReason) -> None:
        """Count a held file that was removed.

        :param size: that it had when it was held.
        :param look: at the file before that; None if another program has taken it.
        """
        row = self._folded()
        row[HELD] -= size
        if look is None:
            _differ(row, -size, TAKEN)
        else:
            _differ(row, look.size - size)
            row[REMOVED + _REMOVAL_REASONS.index(reason)] += look.size
        self.hold(row)
        self.not_removed()

    def not_removed(self) -> None:
        """Take back what :meth:`removing` noted."""
        self.words[self.slot + REMOVING] = 0

    def look(self, looks: Looks, held: int = 0) -> None:
        """Count what other programs did to the files since they were looked at.

        :param held: bytes in the held files.
        """
        row = self._folded()
        _differ(row, held - row[HELD], TAKEN)
        row[HELD] = held
        first, *backups = looks
        self._see_current(row, first or _NOTHING)
        self._see_backups(row, backups)
        self.hold(row)

    def found_again(
        self, looks: Looks, back: int, stray: SeenFile | None = None, held: int = 0
    ) -> None:
        """Go on after a kill, or a hand-over: find out what happened and was not counted.

        :param back: how many bytes are to be written again, as was noted before they were taken.
        :param stray: the current file, if another program has given it a name that is none of the
            log's.
        :param held: bytes in the held files.
        """
        row, slot, words = self.row(), self.slot, self.words
        inode = row[INODE]
        _take_back(row, back)
        sizes = [max(_size(look), 0) for look in looks]
        there = sum(sizes) + held
        row[HELD] = held
        place = next((at for at, look in enumerate(looks) if look and look.inode == inode), None)
        gone = words[slot + REMOVING] - 1
        was_current = gone > 0 and words[slot + REMOVED_INODE] == inode
        if was_current and place is not None and sizes[place] < gone:
            # (another file has got its number)
            place = None
        size = row[END]
        if place is not None:
            size = sizes[place]
        elif stray is not None:
            size = stray.size
        grown = size - row[END] if inode else 0
        if gone > 0 and _expected(row) + grown - there >= gone:
            row[REMOVED + words[slot + REASON]] += gone
        if not back:
            # (the beginning of what is written again is counted with its end)
            row[END] += min(max(grown, 0), MOST_MOVED)
        _fold(row)
        row[KIND] = GUEST
        if place is not None and inode:
            row[ADDED] += row[AWAY]
            row[AWAY] = 0
            _resize(row, sizes[place])
        if place != 0:
            # (what it has is under another name, or nowhere)
            row[INODE] = row[END] = row[START] = row[AWAY] = 0
        _, *backups = map(_size, looks)
        self._names = _shared(0 if place == 0 else sizes[0], *backups)
        _differ(row, there - _expected(row), TAKEN)
        self.hold(row)
        self.not_removed()

    # What whoever has the log tells.

    def drop(self, count: int, reason: DropReason) -> None:
        """Count bytes of the guest that are lost."""
        row = self._folded()
        row[DROPPED + _DROP_REASONS.index(reason)] += count
        self.hold(row)

    def drop_elsewhere(self, count: int, reason: DropReason) -> None:
        """Count bytes that another thread has dropped, in that thread.

        :param reason: WRITE_ERROR or STOPPED.
        """
        self.words[self.slot + ELSEWHERE + ELSEWHERE_REASONS.index(reason)] += count

    # What it says.

    @property
    def strands_guest(self) -> bool:
        """Whether bytes that were taken back, and are not written again, are the guest's."""
        return bool(self.words[self.at + BACK_KIND] == GUEST)

    def ledger(self, pending: int, kept: int | None) -> Ledger:
        """Return what became of the log's bytes.

        :param pending: bytes that wait.
        :param kept: bytes in the files that were looked at last; None if that is not known.
        """
        return ledger_of(self.content(), pending, kept)

    def _folded(self) -> array[int]:
        """Return the counts, to be changed, in which all bytes are counted for their kind."""
        row = self.row()
        _fold(row)
        return row

    # What is seen.

    def _see_current(self, row: array[int], look: SeenFile) -> None:
        """Count what is seen of the current file, and of another that has its name.

        :param look: at what has its name; its ``inode`` is 0 if there is nothing.
        """
        names = self._names
        stood = names[0] if names else 0
        if row[INODE] and row[INODE] == look.inode:
            row[ADDED] += row[AWAY]
            row[AWAY] = 0
            _resize(row, look.size)
            row[TAKEN] += stood
            stands = 0
        else:
            row[TAKEN] += row[END] - row[AWAY]
            row[AWAY] = row[END]
            _differ(row, look.size - stood, TAKEN)
            stands = look.size
        if names and names[0] != stands:
            self._names = _shared(stands, *names[1:])

    def _see_backups(self, row: array[int], looks: Looks) -> None:
        names = self._names
        if names is None:
            return
        for number, look in enumerate(looks):
            size = _size(look)
            before = names[number + 1] if number + 1 < len(names) else MISSING
            if size != before:
                _differ(row, max(size, 0) - max(before, 0), TAKEN if size < 0 else CUT)
                self._set(number, size)

    def _see_leaving(self, row: array[int], name: int, look: SeenFile) -> None:
        """Count what is seen of a file that loses its name."""
        names = self._names
        if name == CURRENT:
            self._see_current(row, look)
            row[INODE] = row[END] = row[START] = row[AWAY] = 0
        elif names is not None and name + 1 < len(names):
            _differ(row, look.size - max(names[name + 1], 0))
        else:
            row[ADDED] += look.size
        self._set(name, 0 if name == CURRENT else MISSING)

    def _set(self, name: int, size: int) -> None:
        names = self._names
        if names is not None:
            sizes = [*names, *[MISSING] * (name + 2 - len(names))]
            sizes[name + 1] = size
            self._names = _shared(*sizes)


@cache
def _alone(backups: int) -> tuple[int, ...]:
    """Return the sizes where there is no file beside the current one."""
    return (0, *[MISSING] * backups)


def _shared(*sizes: int) -> tuple[int, ...]:
    """Return sizes; one object for all logs that were never rotated, as there may be thousands."""
    alone = _alone(len(sizes) - 1)
    return alone if sizes == alone else sizes


def counted_row(words: array[int]) -> array[int]:
    """Return the row that holds, in which all bytes are counted for their kind and reason.

    :param words: of the slot.
    """
    row = active_row(words)
    _fold(row)
    for at, count in zip(_DROPPED_ELSEWHERE, words[ELSEWHERE:], strict=False):
        row[at] += count
    return row


def sums_of(slot: Slot) -> list[int]:
    """Return what is counted in a row from WRITTEN on, and from DROPPED on, which follows.

    As by :func:`counted_row`, without a copy of all the rest.
    """
    words, at = slot.words, slot.at
    found: list[int] = words[at + WRITTEN : at + DROPPED + DROP_REASONS].tolist()
    found[words[at + KIND]] += words[at + END] - words[at + START]
    for place, number in enumerate(_DROPPED_ELSEWHERE, slot.slot + ELSEWHERE):
        found[number - WRITTEN] += words[place]
    return found


def ledger_of(words: array[int], pending: int = 0, kept: int | None = None) -> Ledger:
    """Return what a slot says.

    :param words: of the slot.
    :param pending: bytes that wait.
    :param kept: see :meth:`Account.ledger`.
    """
    row = counted_row(words)
    expected = _expected(row)
    dropped = Dropped(*row[DROPPED : DROPPED + DROP_REASONS])
    written = Written(*row[WRITTEN : WRITTEN + KINDS])
    storage = Storage(
        row[FOUND],
        expected - row[HELD] if kept is None else kept,
        row[HELD],
        RemovedBytes(*row[REMOVED : REMOVED + REMOVAL_REASONS]),
        Outside(row[CUT], row[TAKEN], row[ADDED]),
    )
    regular = bool(row[REGULAR])
    return Ledger(
        time_of(words[SINCE]),
        Intake(written.guest + dropped.total + pending, dropped, pending),
        written,
        storage if regular else None,
        {},
        expected == kept + row[HELD] if regular and kept is not None else None,
    )


def time_of(microseconds: int) -> datetime:
    """Return a time as it is counted in a slot."""
    return datetime.fromtimestamp(microseconds / _MICROSECONDS, timezone.utc)


def now_us() -> int:
    """Return the present time as it is counted in a slot."""
    return round(datetime.now(timezone.utc).timestamp() * _MICROSECONDS)


def _size(look: SeenFile | None) -> int:
    return MISSING if look is None else look.size


def _fold(row: array[int]) -> None:
    """Count what is in the current file for its kind, and go on from its end."""
    row[WRITTEN + row[KIND]] += row[END] - row[START]
    row[START] = row[END]


def _take_back(row: array[int], back: int) -> None:
    """Count what was taken out of the current file to be written again, or is written again."""
    own = row[BACK] - back
    if own < 0:
        row[BACK_KIND] = row[KIND]
    row[WRITTEN + row[BACK_KIND]] += own
    row[END] += own
    row[START] += own
    row[BACK] = back


def _resize(row: array[int], size: int) -> None:
    """Count what another program did to the current file."""
    more = size - row[END]
    if more < 0:
        # (of a file that is not under its name, that much is taken already)
        away = min(row[AWAY], -more)
        row[AWAY] -= away
        _differ(row, more + away)
    else:
        _differ(row, more)
    row[END] = row[START] = size


def _differ(row: array[int], more: int, fewer: int = CUT) -> None:
    """Count bytes that came to be in the files, or were there, by nothing that the daemon did.

    :param fewer: what counts those that were there.
    """
    if row[REGULAR]:
        row[ADDED if more > 0 else fewer] += abs(more)


def _expected(row: array[int]) -> int:
    """Return how many bytes the files have, held ones too, by all that is counted."""
    written = sum(row[WRITTEN : WRITTEN + KINDS]) + row[END] - row[START]
    removed = sum(row[REMOVED : REMOVED + REMOVAL_REASONS])
    return row[FOUND] + written + row[ADDED] - removed - row[CUT] - row[TAKEN]
