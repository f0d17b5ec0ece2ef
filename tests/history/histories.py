"""Random lives of a log: a clock that steps, reboots, kills, and what is known of it afterwards.

Everything is in milliseconds. A byte's time is what the wall clock showed when it came.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from twisted_virtlog.history.marks import FileMarks
from twisted_virtlog.history.moments import NO_BOOT, moment, wall_time
from twisted_virtlog.history.wall_times import HOUR_MS, UNWATCHED_MS, WallTimes, Watch, watch
from twisted_virtlog.values import KeptFile

BEGIN = 1_800_000_000_000

#: File systems take the time from the last tick of a timer.
_TICK_MS = 4


@dataclass(frozen=True)
class Piece:
    """Bytes that came at once."""

    file: int
    start: int
    end: int
    wall: int


@dataclass
class OneFile:
    """A file: what the file system and the index know of it."""

    inode: int
    size: int = 0
    modified: int = 0
    marks: FileMarks = field(default_factory=FileMarks)


class History:
    """A log's life, lived at random.

    :ivar files: the oldest first.
    :ivar pieces: what is in them.
    :ivar walls: what the index knows of the wall clock.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.files: list[OneFile] = []
        self.pieces: list[Piece] = []
        self.walls = WallTimes()
        self.time = BEGIN
        self.ahead = 0
        self.boot = 1
        self.booted = self.time - self.random.randrange(100_000)
        # Of a process that keeps the index: what it has not committed, and since when it watches.
        self.is_watched = False
        self._noted: list[tuple[OneFile, int, int, int]] = []
        self._since = 0
        self._verified = 0
        self._unseen_step = 0
        self._inode = 0
        self._new_file()
        for _ in range(self.random.randrange(5, 60)):
            self._live()
        if self.random.random() < 0.3:
            self._commit()

    # What is known in the end.

    @property
    def boot_clock(self) -> int:
        return self.time - self.booted

    @property
    def wall(self) -> int:
        return self.time + self.ahead

    @property
    def now(self) -> int:
        return moment(self.boot, self.boot_clock)

    def kept(self) -> list[KeptFile]:
        return [
            KeptFile(file.inode, f"h.{file.inode}", file.size, wall_time(file.modified), "fs")
            for file in self.files
        ]

    def marks(self) -> list[FileMarks]:
        """What is committed, and what the process that lives has noted since."""
        found = {file.inode: FileMarks(file.marks.kept()) for file in self.files}
        for file, *mark in self._noted:
            found[file.inode].add(*mark)
        return list(found.values())

    def known_walls(self) -> WallTimes:
        walls = self.walls.copy()
        if self.is_watched:
            walls.add(self.boot, self._watch(self.boot_clock))
        else:
            # (whoever asks watches from now on)
            walls.add(self.boot, watch(self.boot_clock, self.boot_clock, self._seen_ahead()))
        return walls

    # Its life.

    def _live(self) -> None:
        choice = self.random.random()
        if choice < 0.55:
            self._write()
        elif choice < 0.65:
            self._new_file()
        elif choice < 0.73:
            self._step()
        elif choice < 0.83:
            self._commit()
        elif choice < 0.88:
            self._pass(self.random.choice((UNWATCHED_MS, HOUR_MS, 30 * HOUR_MS)))
        elif choice < 0.93:
            self._restart(self.random.random() < 0.5)
        elif choice < 0.97:
            self._reboot()
        elif self.random.random() < 0.5:
            self._thin()
        else:
            self._forget_some()

    def _pass(self, most: int) -> None:
        self.time += self.random.randrange(most)

    def _write(self) -> None:
        file = self.files[-1]
        self._pass(self.random.choice((1, 50, 2000, 20_000)) + 1)
        before = self.boot_clock
        noted = self.random.random()
        if self.is_watched and noted < 0.4:
            self._note(file, before, before)
        if self.is_watched:
            self._verified = before
        for _ in range(self.random.choice((1, 1, 1, 4))):
            self._pass(20)
            start = file.size
            file.size += self.random.choice((1, 10, 5000))
            file.modified = self.wall - self.wall % _TICK_MS
            self.pieces.append(Piece(file.inode, start, file.size, self.wall))
        if self.is_watched and noted < 0.8:
            self._pass(self.random.choice((1, 20, 1000)))
            self._note(file, self.boot_clock, self.boot_clock)
            self._verified = self.boot_clock

    def _new_file(self) -> None:
        if self.is_watched and self.random.random() < 0.8:
            self._note(self.files[-1], self.boot_clock, self.boot_clock)
        self._inode += 1
        self.files.append(OneFile(self._inode, modified=self.wall))
        if self.is_watched and self.random.random() < 0.8:
            self._note(self.files[-1], self.boot_clock, self.boot_clock)

    def _note(self, file: OneFile, since: int, until: int) -> None:
        mark = (file, file.size, moment(self.boot, since), moment(self.boot, until))
        self._noted.append(mark)

    def _step(self) -> None:
        """Let the wall clock step; whoever watches sees it soon, and commits it at once."""
        step = self.random.choice((-HOUR_MS, HOUR_MS))
        if not self.is_watched:
            # (there, and back again, but not in a short time)
            if self._unseen_step:
                self.time += UNWATCHED_MS + 1
            self._unseen_step = -self._unseen_step or step
            self.ahead += self._unseen_step
            return
        if self.random.random() < 0.3:
            self._verified = self.boot_clock
        else:
            # (a process that rests is told by the kernel, but not at once)
            self._verified = max(self._verified, self.boot_clock - UNWATCHED_MS)
        self._pass(5)
        self.walls.add(self.boot, self._watch(self._verified))
        self.ahead += step
        if self.random.random() < 0.5:
            file = self.files[-1]
            self._pass(50)
            file.size += 7
            file.modified = self.wall - self.wall % _TICK_MS
            self.pieces.append(Piece(file.inode, file.size - 7, file.size, self.wall))
        self._pass(50)
        self._begin_watch()

    def _watch(self, until: int) -> Watch:
        return watch(self._since, until, self._watched_ahead)

    def _seen_ahead(self) -> int:
        """Read both clocks, not quite at once."""
        return self.wall - self.boot_clock + self.random.randrange(2)

    def _begin_watch(self) -> None:
        self.is_watched = True
        self._since = self._verified = self.boot_clock
        self._watched_ahead = self._seen_ahead()
        # (that a clock has stepped is committed at once)
        self.walls.add(self.boot, self._watch(self._since))

    def _commit(self) -> None:
        if self.is_watched:
            self.walls.add(self.boot, self._watch(self.boot_clock))
            self._verified = self.boot_clock
        for file, *mark in self._noted:
            file.marks.add(*mark)
        self._noted.clear()

    def _end(self, is_killed: bool) -> None:
        if self.is_watched and not is_killed:
            self._note(self.files[-1], self.boot_clock, self.boot_clock)
            self._commit()
        self._noted.clear()
        if self.is_watched:
            self.is_watched, self._unseen_step = False, 0

    def _begin(self) -> None:
        """Let a process begin, which may not keep the index."""
        if self.random.random() < 0.3:
            return
        self._begin_watch()
        file = self.files[-1]
        now = moment(self.boot, self.boot_clock)
        since = moment(NO_BOOT, file.modified) if file.size else now
        self._noted.append((file, file.size, since, now))

    def _restart(self, is_killed: bool) -> None:
        self._end(is_killed)
        self._pass(self.random.choice((2000, 2000, 2000, UNWATCHED_MS, 30 * HOUR_MS)))
        if self.random.random() < 0.2:
            self._step()
        self._begin()

    def _reboot(self) -> None:
        self._end(self.random.random() < 0.7)
        self._pass(self.random.choice((2000, 30 * HOUR_MS)))
        self.boot += 1
        self.booted = self.time
        if self.random.random() < 0.3:
            self._step()
        self._pass(20_000)
        self._begin()

    def _thin(self) -> None:
        for file in self.files:
            file.marks.thin(self.random.choice((2, 4, 8)))

    def _forget_some(self) -> None:
        """Let notes get lost, as while a disk is full."""
        if self._noted:
            del self._noted[: self.random.randrange(len(self._noted))]
        if len(self.files) > 3:
            gone = {file.inode for file in self.files[:2]}
            del self.files[:2]
            self._noted = [note for note in self._noted if note[0].inode not in gone]
            self.pieces = [piece for piece in self.pieces if piece.file not in gone]
