"""Whoever writes, rotates and packs is killed at any moment, again and again: nothing is lost."""

from __future__ import annotations

import os
import random
import select
import signal
import struct
from pathlib import Path

import pytest

from tests.effort import examples
from tests.logs.conftest import MakeWorld
from tests.logs.fakes import World
from tests.logs.packing import by_hand
from twisted_virtlog.logs.packing import steps

SIZE = 4096
LINE = 16
_acknowledged = struct.Struct("<I")


def lines(begin: int, end: int) -> bytes:
    return b"".join(b"%015d\n" % number for number in range(begin, end))


def write_and_pack(directory: Path, begin: int, tell: int) -> None:
    """Append lines and pack backups, until killed."""
    world = World(directory, SIZE, 3, pack_from=0)
    while True:
        end = begin + 100
        world.append(lines(begin, end))
        os.write(tell, _acknowledged.pack(end))
        begin = end
        by_hand.pack_one(world)


def killed(directory: Path, begin: int, milliseconds: float) -> int:
    """Let somebody write from a line on, and kill him; return up to where he said that he has."""
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            write_and_pack(directory, begin, tell)
        finally:
            os._exit(1)
    os.close(tell)
    try:
        # (he has begun)
        first = os.read(told, _acknowledged.size)
        ended = os.pidfd_open(pid)
        select.select([ended], [], [], milliseconds / 1000)
        os.close(ended)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        said = first
        while part := os.read(told, 4096):
            said += part
    finally:
        os.close(told)
    assert len(said) >= _acknowledged.size, "he has ended by himself"
    end: int = _acknowledged.unpack(said[-_acknowledged.size :])[0]
    return end


def read_all(world: World) -> bytes:
    """Read on, also where a roll-over was interrupted, and something might be missing."""
    excerpt = world.read()
    data = excerpt.data
    while excerpt.data:
        excerpt = world.read(excerpt.end)
        data += excerpt.data
    return data


def test_nothing_is_lost_or_there_twice(
    make_world: MakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "_SMALL_BYTES", -1)
    chance = random.Random(1)
    end = 0
    for _ in range(examples(40)):
        begin = end
        acknowledged = killed(tmp_path, begin, chance.uniform(0, 6))
        world = make_world(SIZE, 3, pack_from=0)
        data = world.whole()
        # (what stands beyond a name that a roll-over has left out is not read)
        assert data.endswith(read_all(world))
        world.close()
        # (a message may be written in part)
        last = data[: len(data) // LINE * LINE]
        end = int(last[-LINE:]) + 1
        assert end >= acknowledged
        assert last == lines(end - len(last) // LINE, end)
        assert len(data) >= min(end * LINE, 2 * SIZE)
        if len(data) % LINE:
            os.truncate(world.path, os.path.getsize(world.path) - len(data) % LINE)
