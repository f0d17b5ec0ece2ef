"""A scene of random acts, the same for both daemons as long as they come to the same."""

from __future__ import annotations

import random

from tests.stack.rpc_client import (
    APPEND,
    CALL_WITH_FDS,
    OPEN,
    POSITION,
    append_arguments,
    frame,
    open_arguments,
    position_arguments,
    uint,
)
from tests.stack.sides import Scene

_LOGS = ("a.log", "b.log", "c.log", "missing/d.log")
_HEADER_WORDS = {
    "program": 4,
    "version": 8,
    "procedure": 12,
    "type": 16,
    "serial": 20,
    "status": 24,
}
_WORDS = (0, 1, 2, 3, 5, 6, 0x6B656570, 0x06900690, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


class RandomActs:
    """Acts chosen by a seed.

    Not chosen is what doc/differences.md lists: reads from where no file is, other spellings,
    files changed from outside, descriptors that are missing.
    """

    def __init__(self, seed: int, number: int, max_backups: int) -> None:
        self._seed = seed
        self._number = number
        self._max_backups = max_backups

    def __call__(self, scene: Scene) -> None:
        """Play."""
        acts = _Acts(scene, random.Random(self._seed), self._max_backups)
        for number in range(self._number):
            acts.one()
            if number % 20 == 0:
                scene.look()


class _Acts:
    def __init__(self, scene: Scene, choice: random.Random, max_backups: int) -> None:
        self._scene = scene
        self._choice = choice
        self._max_backups = max_backups
        self._opened = 0
        self._acts = {
            self._open: 10,
            self._write: 25,
            self._append: 15,
            self._position: 8,
            self._read: 20,
            self._end: 5,
            self._damage: 12,
            self._cut: 6,
            self._pass_descriptors: 3,
        }

    def one(self) -> None:
        acts, weights = zip(*self._acts.items(), strict=True)
        self._choice.choices(acts, weights)[0]()

    # Each takes the same from the random numbers whatever the daemon did before.

    def _log(self) -> str:
        return self._choice.choice(_LOGS)

    def _flags(self) -> int:
        return self._choice.choice((0, 0, 0, 0, 0, 1, 2, 0x80000000))

    def _bytes(self, most: int) -> bytes:
        """Make text with lines of many lengths, which now and then is none."""
        choice = self._choice
        size = choice.choice((0, 1, 20, 80, 99, 100, 101, 1023, 1024, 1025, choice.randrange(most)))
        text = bytearray(choice.choices(b"abcdefghij\xc3\xa4\xff", k=min(size, most)))
        for _ in range(choice.choice((0, 0, 1, 2, size // 60, size // 10))):
            if text:
                text[choice.randrange(len(text))] = choice.choices(b"\n\0", (30, 1))[0]
        return bytes(text)

    def _open(self) -> None:
        log, flags = self._log(), self._choice.choice((0, 0, 0, 1, 2, 3, 0xFFFFFFFE))
        if self._scene.has_open(log):
            path = self._scene.bytes_of(log)
            self._scene.call(f"open {log} again", OPEN, open_arguments(path, flags))
        else:
            self._scene.open(log, flags)

    def _write(self) -> None:
        log = self._log()
        pieces = [self._bytes(9000) for _ in range(self._choice.randrange(1, 4))]
        if self._scene.has_open(log):
            self._scene.write(log, *pieces)

    def _append(self) -> None:
        self._scene.append(self._log(), self._bytes(5000), self._flags())

    def _position(self) -> None:
        self._scene.position(self._log(), self._flags())

    def _read(self) -> None:
        log = self._log()
        name = self._choice.choice([log, *(f"{log}.{n}" for n in range(self._max_backups))])
        part, flags = self._choice.random(), self._flags()
        most = self._choice.choice((0, 1, 50, 1000, 100_000, 4 << 20, (4 << 20) + 1))
        file = self._scene.outside(name)
        if file.exists():
            self._scene.read(log, name, int(part * (file.stat().st_size + 1)), most, flags)

    def _end(self) -> None:
        log, last = self._log(), self._bytes(3000)
        if self._scene.has_open(log):
            self._scene.end(log, last)

    def _frame(self) -> bytes:
        """Make a good call. What it opens nobody else opens, as it is closed at no known time."""
        self._opened += 1
        path = self._scene.bytes_of(self._log())
        calls = (
            frame(OPEN, open_arguments(self._scene.bytes_of(f"only{self._opened}.log"))),
            frame(POSITION, position_arguments(path)),
            frame(APPEND, append_arguments(path, self._bytes(300))),
        )
        return self._choice.choice(calls)

    def _damage(self) -> None:
        data = bytearray(self._frame())
        word = self._choice.choice([*_HEADER_WORDS, "payload", "payload"])
        if word == "payload":
            at = self._choice.randrange(28, len(data))
            data[at] = self._choice.choice((0, 1, 2, 0x2E, 0x7F, 0x80, 0xFF, data[at] ^ 1))
        else:
            at = _HEADER_WORDS[word]
            number = self._choice.choice(_WORDS)
            if (word, number) == ("procedure", OPEN):
                # Any other call made this one would open a log that the other acts use.
                return
            data[at : at + 4] = uint(number)
        self._scene.send(f"{bytes(data)!r}", bytes(data))

    def _cut(self) -> None:
        data = self._frame()
        size = self._choice.randrange(1, len(data))
        if size >= 4 and self._choice.random() < 0.5:
            self._scene.send(f"all of a frame of {size}", uint(size) + data[4:size])
        else:
            self._scene.send(f"{size} bytes of {data!r}", data[:size], last=True)

    def _pass_descriptors(self) -> None:
        count = self._choice.choice((0, 1, 3, 32))
        path = self._scene.bytes_of(self._log())
        call = frame(POSITION, uint(count) + position_arguments(path), kind=CALL_WITH_FDS)
        self._scene.send(f"{count} descriptors", call, count)
