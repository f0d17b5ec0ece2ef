"""Accounts for every byte that a guest wrote: kept, removed, cut, or reported as lost.

The guest's output is numbered, so that each byte says what its neighbours are. The files are looked
at after each act, and what is new in them must go on where the output was seen last. What stands in
a file is known from then on, and must not change.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from dataclasses import dataclass, field
from functools import cache

from twisted_virtlog.logs.files.names import oldest_first

#: "%015d" and what ends a line.
LINE_BYTES = 16

_LINES = 1 << 17

_NOTICE = re.compile(rb"\n?\[virtlogd: (\d+) bytes lost from [^\[\]]*\]\n")
_LONGEST_NOTICE = 300


class Mistake(Exception):
    """A byte is lost, doubled, changed or out of order."""


@cache
def _all_text(end: bytes) -> bytes:
    return b"".join(b"%015d" % number + end for number in range(_LINES))


def text(begin: int, until: int, line_end: bytes = b"\n") -> bytes:
    """Return a part of the output, as offsets say; it is of numbered lines."""
    whole = _all_text(line_end)
    begin, length = begin % len(whole), until - begin
    part = whole[begin : begin + length]
    while len(part) < length:
        part += whole[: length - len(part)]
    return part


@dataclass
class File:
    """One of the log's files.

    :ivar path: where it stands.
    :ivar inode: its number.
    :ivar content: what was seen in it.
    :ivar notices: the offsets in it of what the daemon itself wrote.
    :ivar held: a descriptor, so that no other file gets the number; -1 for none.
    """

    path: str
    inode: int
    content: bytearray = field(default_factory=bytearray)
    notices: set[int] = field(default_factory=set)
    held: int = -1

    @property
    def guests(self) -> int:
        """How many bytes in it are the guest's."""
        return len(self.content) - len(self.notices)


@dataclass
class Totals:
    """Where a guest's bytes went; all but the first sum up to that one.

    :ivar removed: by rotation.
    :ivar cut: by another program, or by a truncating open.
    :ivar lost: and reported as such.
    """

    written: int = 0
    kept: int = 0
    removed: int = 0
    cut: int = 0
    lost: int = 0

    def add(self, other: Totals) -> None:
        """Sum up."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    @property
    def missing(self) -> int:
        """How many bytes are not accounted for."""
        return self.written - self.kept - self.removed - self.cut - self.lost


class Ledger:
    """The account of one log.

    :ivar totals: ``kept`` is known at the end, see :meth:`finish`.
    :ivar files: known ones, oldest first.
    :ivar front: how much of the output was seen in files, or reported lost.
    :ivar names: the paths that its files may have, oldest first.
    """

    def __init__(
        self, path: str, max_backups: int, line_end: bytes = b"\n", hold: bool = False
    ) -> None:
        """:param hold: keep all files open, so that no number is given to another."""
        self.path = path
        self.totals = Totals()
        self.files: list[File] = []
        self.front = 0
        self.names = oldest_first(path, max_backups)
        self._line_end = line_end
        self._hold = hold
        self._begun = b""

    @property
    def oldest(self) -> str:
        """The path of the file that rotation is to remove next."""
        return self.names[0]

    @property
    def oldest_backup(self) -> str | None:
        """The path of the oldest known backup; None if there is none."""
        known = {file.path for file in self.files}
        return next((path for path in self.names[:-1] if path in known), None)

    # What the guest does.

    def next(self, count: int) -> bytes:
        """Return what the guest writes next; what it has written is to be told to :meth:`wrote`."""
        return text(self.totals.written, self.totals.written + count, self._line_end)

    def wrote(self, count: int) -> None:
        """Note how many bytes the guest has written."""
        self.totals.written += count

    # What is seen.

    def observe(self, may_be_gone: bool = False) -> None:
        """Look at all files.

        :param may_be_gone: whether rotation may have removed known ones meanwhile.
        :raises Mistake: a byte is not where it should be.
        """
        present = self._present()
        known = {file.inode: file for file in self.files}
        gone = [file for file in self.files if file.inode not in present]
        rotated = [file for file in self.files if file.path in self.names]
        if gone and not (may_be_gone and gone == rotated[: len(gone)]):
            raise Mistake(f"{self.path}: {gone[0].path} is gone with {gone[0].guests} bytes")
        for file in gone:
            self._drop(file)
            self.totals.removed += file.guests
        order = [present[file.inode][0] for file in self.files]
        named = [path for path in order if path in self.names]
        if named != sorted(named, key=self.names.index):
            raise Mistake(f"{self.path}: its files are not in order: {named}")
        for inode, (path, size) in present.items():
            file = known.get(inode) or self._meet(path, inode)
            file.path = path
            if size != len(file.content):
                self._see_growth(file, size)

    def _present(self) -> dict[int, tuple[str, int]]:
        """Return paths and sizes of files by number, oldest first; those moved away come first."""
        found = {}
        moved = [file.path for file in self.files if file.path not in self.names]
        for path in (*moved, *self.names):
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(path)
                if stat.S_ISREG(status.st_mode):
                    found[status.st_ino] = (path, status.st_size)
        # (one that was moved away may be newer than those that kept their names)
        age = {file.inode: number for number, file in enumerate(self.files)}
        return dict(sorted(found.items(), key=lambda item: age.get(item[0], len(age))))

    def _meet(self, path: str, inode: int) -> File:
        held = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if self._hold else -1
        file = File(path, inode, held=held)
        self.files.append(file)
        return file

    def _see_growth(self, file: File, size: int) -> None:
        known = len(file.content)
        if size < known:
            raise Mistake(f"{file.path}: {known - size} of its {known} bytes are gone")
        if file is not self.files[-1] and any(one.content for one in self._after(file)):
            raise Mistake(f"{file.path} was written, but is not the newest")
        with open(file.path, "rb") as opened:
            opened.seek(known)
            new = opened.read(size - known)
        self._accept(file, new)

    def _after(self, file: File) -> list[File]:
        return self.files[self.files.index(file) + 1 :]

    def _accept(self, file: File, new: bytes) -> None:
        """See what the file has more than it had."""
        while new:
            same = 0
            if not self._begun:
                expected = text(self.front, self.front + len(new), self._line_end)
                same = len(new) if new == expected else _common(new, expected)
            self.front += same
            file.content += new[:same]
            if self.front > self.totals.written:
                raise Mistake(f"{file.path} has more than was written")
            new = new[same:]
            if new:
                new = self._accept_notice(file, new)

    def _accept_notice(self, file: File, new: bytes) -> bytes:
        """See a line about lost bytes, perhaps a part of it; return what follows."""
        whole = self._begun + new
        found = _NOTICE.match(whole)
        begins = b"\n[virtlogd: " if whole[:1] == b"\n" else b"[virtlogd: "
        again = whole.find(b"[", len(begins))
        if found is not None:
            length = found.end() - len(self._begun)
            lost = int(found[1])
            self.totals.lost += lost
            self.front += lost
            self._begun = b""
        elif again >= 0 and whole.startswith(begins[:again]):
            # That one was not finished, as the disk was full; it is said once more.
            if whole[again - 1 : again] == b"\n":
                again -= 1
            length = max(again - len(self._begun), 0)
            self._begun = b""
        elif begins.startswith(whole[: len(begins)]) or (
            whole.startswith(begins) and b"]" not in whole and len(whole) < _LONGEST_NOTICE
        ):
            length = len(new)
            self._begun = whole
        elif self._begun:
            # Nor was this one.
            self._begun = b""
            return new
        else:
            at = len(file.content)
            raise Mistake(
                f"{file.path}: {new[:80]!r} at {at}, not"
                f" {text(self.front, self.front + 40, self._line_end)!r} at {self.front}"
                f" of {self.totals.written}; before it is {bytes(file.content[-80:])!r}"
            )
        begin = len(file.content)
        file.content += new[:length]
        file.notices.update(range(begin, begin + length))
        return new[length:]

    # What becomes of files.

    def at(self, path: str) -> File | None:
        """Return the known file that stands there."""
        return next((file for file in self.files if file.path == path), None)

    def removing(self, path: str, rotation: bool) -> None:
        """Note that a file is about to be removed.

        :param rotation: by the daemon itself, not for another.
        """
        file = self.at(path)
        if file is None:
            return
        self._check(file)
        if rotation:
            self.totals.removed += file.guests
        else:
            self.totals.cut += file.guests
        self._drop(file)

    def moved(self, path: str, target: str) -> None:
        """Note that another program moved a file away."""
        file = self.at(path)
        if file is not None:
            file.path = target

    def cut(self, file: File, size: int) -> None:
        """Note that a file was cut by another program; it was looked at right before."""
        if file is self.files[-1]:
            # (what was begun at its end is not finished by what comes there now)
            left = len(self._begun) - (len(file.content) - size)
            self._begun = self._begun[: max(left, 0)]
        self._forget_behind(file, size)

    def _forget_behind(self, file: File, size: int) -> None:
        before = file.guests
        del file.content[size:]
        file.notices = {at for at in file.notices if at < size}
        self.totals.cut += before - file.guests

    def skip_cut(self, count: int) -> None:
        """Note how many bytes were truncated before they came into a file."""
        self.front += count
        self.totals.cut += count
        self._begun = b""

    def skip_lost(self, count: int) -> None:
        """Note how many bytes were reported lost elsewhere than in the file."""
        self.front += count
        self.totals.lost += count

    def _drop(self, file: File) -> None:
        self.files.remove(file)
        if file.held >= 0:
            os.close(file.held)

    def _check(self, file: File) -> None:
        with open(file.path, "rb") as opened:
            if opened.read() != file.content:
                raise Mistake(f"{file.path} is not what it was")

    def finish(self) -> Totals:
        """Read all files once more, and sum up.

        :raises Mistake: a file has changed, or not all that was written is accounted for.
        """
        for file in list(self.files):
            self._check(file)
            self.totals.kept += file.guests
            self._drop(file)
        if self.front != self.totals.written or self.totals.missing:
            raise Mistake(
                f"{self.path}: {self.totals.written - self.front} bytes are in no file, and"
                f" {self.totals.missing} are not accounted for: {self.totals}"
            )
        return self.totals


def _common(one: bytes, other: bytes) -> int:
    """Return how many bytes at the beginning are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
