"""Rotation on real files, as virtlogd does it, by messages and by pipes."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.effort import examples
from tests.logs.conftest import MakeWorld
from tests.logs.fakes import KIB, World
from tests.logs.model import Model
from twisted_virtlog.errors import SystemFailure, UnsupportedBackups
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.files.writer import Writer

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "rotation.json").read_text())

Sizes = Mapping[str, int]


def bytes_of(text: str) -> bytes:
    """Return the bytes that a vector means."""
    return text.encode("latin-1")


@pytest.mark.parametrize("case", [pytest.param(c, id=c["name"]) for c in VECTORS["cases"]])
def test_messages_land_where_the_real_virtlogd_puts_them(
    case: dict[str, Any], tmp_path: Path
) -> None:
    """The files after each recorded case of libvirt 9.0.0 are the same, to the byte."""
    path = str(tmp_path / "guest.log")
    for suffix, text in case["files_before"].items():
        Path(path + suffix).write_bytes(bytes_of(text))
    limits = Limits(case["max_size"], case["max_backups"])
    writer = Writer(path, limits, case["truncate"])
    for text in case["appends"]:
        writer.append(bytes_of(text))
    offset = writer.position().offset
    writer.close()
    found = {str(file)[len(path) :]: file.read_bytes() for file in tmp_path.iterdir()}
    assert found == {suffix: bytes_of(text) for suffix, text in case["files_after"].items()}
    assert offset == case["offset_after"]


# Before, max_size, max_backups, chunks; then the current file and its backups.
WORKED = {
    "fills it in two": ({}, 100, 2, [b"a" * 60, b"b" * 40], [b"a" * 60 + b"b" * 40]),
    "one more byte": (
        {},
        100,
        2,
        [b"a" * 60, b"b" * 40, b"c"],
        [b"c", b"a" * 60 + b"b" * 40],
    ),
    "fills it at once": ({}, 100, 2, [b"a" * 100], [b"a" * 100]),
    "one too many": ({}, 100, 2, [b"a" * 101], [b"a", b"a" * 100]),
    "no newline": (
        {},
        100,
        2,
        [b"a" * 60, b"b" * 60],
        [b"b" * 20, b"a" * 60 + b"b" * 40],
    ),
    "a newline": (
        {},
        100,
        2,
        [b"a" * 60, b"b" * 29 + b"\n" + b"c" * 30],
        [b"c" * 30, b"a" * 60 + b"b" * 29 + b"\n"],
    ),
    "ends with a newline": ({}, 100, 2, [b"a" * 99 + b"\n"], [b"a" * 99 + b"\n"]),
    "a newline fills it": ({}, 100, 2, [b"a" * 99 + b"\ndd"], [b"dd", b"a" * 99 + b"\n"]),
    "the 80th from the end": (
        {},
        100,
        2,
        [b"a" * 20 + b"\n" + b"b" * 99],
        [b"b" * 99, b"a" * 20 + b"\n"],
    ),
    "the 81st from the end": (
        {},
        100,
        2,
        [b"a" * 19 + b"\n" + b"b" * 100],
        [b"b" * 20, b"a" * 19 + b"\n" + b"b" * 80],
    ),
    "two newlines": (
        {},
        100,
        2,
        [b"a" * 50 + b"\n" + b"b" * 20 + b"\n" + b"c" * 60],
        [b"c" * 60, b"a" * 50 + b"\n" + b"b" * 20 + b"\n"],
    ),
    "a newline in the chunk before": (
        {},
        100,
        2,
        [b"a" * 50 + b"\n" + b"b" * 30, b"c" * 40],
        [b"c" * 21, b"a" * 50 + b"\n" + b"b" * 30 + b"c" * 19],
    ),
    "three files": ({}, 100, 2, [b"x" * 250], [b"x" * 50, b"x" * 100, b"x" * 100]),
    "was too large": ({"": 150}, 100, 2, [b"b" * 10], [b"b" * 10, b"z" * 150]),
    "was full": ({"": 100}, 100, 2, [b"b" * 10], [b"b" * 10, b"z" * 100]),
    "was nearly full": ({"": 90}, 100, 2, [b"b" * 10], [b"z" * 90 + b"b" * 10]),
    "backups move up": (
        {"": 50, ".0": 5, ".1": 6, ".2": 7},
        100,
        2,
        [b"b" * 110],
        [b"b" * 60, b"z" * 50 + b"b" * 50, b"z" * 5, b"z" * 7],
    ),
    "a gap in the backups": (
        {"": 50, ".1": 6},
        100,
        2,
        [b"b" * 110],
        [b"b" * 60, b"z" * 50 + b"b" * 50, b"z" * 6],
    ),
    "no backups": ({}, 100, 0, [b"x" * 250], [b"x" * 50]),
    "no backups, was too large": ({"": 150}, 100, 0, [b"b" * 10], [b"b" * 10]),
    "one backup": (
        {},
        100,
        1,
        [b"a" * 100 + b"b" * 100 + b"c" * 100 + b"d" * 50],
        [b"d" * 50, b"c" * 100],
    ),
    "no limit": ({}, 0, 2, [b"x" * 5000], [b"x" * 5000]),
    "single bytes": ({}, 1, 2, [b"abc"], [b"c", b"b", b"a"]),
}


def check_files(path: Path, wanted: list[bytes]) -> None:
    """Compare a log's file and its backups, and see that there are no more."""
    names = [path, *(Path(f"{path}.{number}") for number in range(len(wanted) - 1))]
    assert {name.name: name.read_bytes() for name in path.parent.iterdir()} == {
        name.name: data for name, data in zip(names, wanted, strict=True)
    }


@pytest.mark.parametrize("way", ["append", "pipe"])
@pytest.mark.parametrize("name", WORKED)
def test_worked_example(name: str, way: str, make_world: MakeWorld) -> None:
    """Each worked example ends the same way by append and by pipe."""
    before, max_size, max_backups, chunks, wanted = WORKED[name]
    world = make_world(max_size, max_backups)
    for suffix, size in before.items():
        Path(world.path + suffix).write_bytes(b"z" * size)
    guest = world.open()
    for chunk in chunks:
        if way == "pipe":
            guest.write(chunk)
            # What one read takes is a chunk; the whole fits into one but for the last example.
            world.position()
        else:
            world.append(chunk)
    if name == "no limit" and way == "pipe":
        assert world.status().rollovers == 0
    check_files(Path(world.path), wanted)


@pytest.mark.parametrize(
    ("way", "max_size", "data", "wanted"),
    [
        ("pipe", 1000, b"x" * 2500, [b"x" * 500, b"x" * 1000, b"x" * 1000]),
        (
            "pipe",
            1100,
            b"a" * 1023 + b"\n" + b"b" * 200,
            [b"b" * 124, b"a" * 1023 + b"\n" + b"b" * 76],
        ),
        ("append", 1100, b"a" * 1023 + b"\n" + b"b" * 200, [b"b" * 200, b"a" * 1023 + b"\n"]),
    ],
)
def test_look_back_stays_within_a_chunk_of_the_pipe(
    way: str, max_size: int, data: bytes, wanted: list[bytes], make_world: MakeWorld
) -> None:
    """A pipe is split as if read by 1024 bytes; a message is one chunk."""
    world = make_world(max_size, 2)
    guest = world.open()
    if way == "pipe":
        guest.write(data)
        world.reactor.turn()
    else:
        world.append(data)
    check_files(Path(world.path), wanted)


lines = st.lists(
    st.tuples(st.integers(0, 200), st.sampled_from([b"\n", b"", b"\n\n"])), max_size=40
).map(lambda parts: b"".join(b"x" * count + end for count, end in parts))
long_output = st.tuples(lines | st.binary(max_size=200), st.integers(1, 30)).map(
    lambda part: (part[0] * part[1])[: 64 * KIB]
)


def numbered(data: bytes) -> bytes:
    """Make each byte tell its place, but for newlines, so that no two can be exchanged."""
    return bytes(10 if byte == 10 else 11 + index % 241 for index, byte in enumerate(data))


@settings(max_examples=examples(75))
@given(
    data=long_output,
    max_size=st.integers(0, 3000) | st.sampled_from([1024, 2048, 1025, 1023, 80, 81]),
    max_backups=st.integers(0, 4),
    before=st.integers(0, 3000),
)
def test_a_pipe_is_written_as_virtlogd_would(
    data: bytes, max_size: int, max_backups: int, before: int
) -> None:
    """One write of up to 64 KiB makes the same files as reading the pipe by 1024 bytes."""
    max_size = max_size and max(max_size, len(data) // 200)
    model = Model(max_size, max_backups, {"": b"z" * before})
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory), max_size, max_backups)
        Path(world.path).write_bytes(b"z" * before)
        guest = world.open()
        data = numbered(data)
        guest.write(data)
        world.reactor.turn()
        model.pipe(data)
        found = world.files()
        world.close()
    assert found == model.files


@settings(max_examples=examples(60))
@given(
    writes=st.lists(
        st.tuples(
            st.sampled_from(["append", "pipe", "pipe, then turn"]),
            st.binary(max_size=50) | lines.map(lambda data: data[:2000]),
        ),
        max_size=20,
    ),
    max_size=st.integers(0, 2000).map(lambda size: size and size + 20),
    max_backups=st.integers(0, 3),
)
def test_files_together_are_the_tail_of_what_was_written(
    writes: list[tuple[str, bytes]], max_size: int, max_backups: int
) -> None:
    """However output is split, by whatever way it comes, no byte is lost, doubled or out of order.

    And no file is larger than the limit.
    """
    everything = b""
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory), max_size, max_backups)
        guest = world.open()
        for way, data in writes:
            marked = numbered(data)
            everything += marked
            if way == "append":
                world.append(marked)
                continue
            guest.write(marked)
            if way == "pipe, then turn":
                world.reactor.turn()
        world.position()
        files = world.files()
        rollovers = world.status().rollovers
        world.close()
    whole = b"".join(files.values())
    assert everything.endswith(whole)
    assert len(whole) == len(everything) or rollovers > max_backups
    assert max_size == 0 or all(len(data) <= max_size for data in files.values())


def test_a_new_file_is_private_to_its_owner(make_world: MakeWorld) -> None:
    """Files are readable and writable by their owner alone, after a rollover too."""
    world = make_world(10, 1)
    world.open()
    world.append(b"0123456789abc")
    assert {os.stat(world.path + suffix).st_mode & 0o777 for suffix in ("", ".0")} == {0o600}


def test_truncation_makes_a_new_file_and_removes_backups(make_world: MakeWorld) -> None:
    """Backups beyond the limit stay, and the file is another one, not the old one emptied."""
    world = make_world(100, 2)
    for suffix in ("", ".0", ".1", ".2"):
        Path(world.path + suffix).write_bytes(b"old")
    with open(world.path, "rb") as old:
        world.open(truncate=True)
        assert old.read() == b"old"
    assert world.files() == {"": b""}
    assert Path(world.path + ".2").read_bytes() == b"old"


def test_too_many_backups_are_refused(tmp_path: Path) -> None:
    """More than 32 backups are refused in virtlogd's words, and nothing is created."""
    with pytest.raises(UnsupportedBackups, match="Max backup 33 must be less than or equal to 32"):
        Writer(str(tmp_path / "a.log"), Limits(0, 33))
    assert not list(tmp_path.iterdir())


def test_a_fifo_is_no_log(tmp_path: Path) -> None:
    """A FIFO that nobody reads is refused at once, and so is one that somebody reads."""
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    with pytest.raises(SystemFailure, match=r"Unable to open file: .*: No such device"):
        Writer(path, Limits(0, 0))
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(SystemFailure, match="Unable to determine current file offset"):
            Writer(path, Limits(0, 0))
    finally:
        os.close(reader)


def test_a_device_is_written_without_rotation() -> None:
    """/dev/null takes everything, and is never renamed."""
    writer = Writer("/dev/null", Limits(10, 2))
    writer.append(b"x" * 100)
    assert writer.written == 100
    assert writer.rollovers == 0
    writer.close()


def test_no_file_gets_the_inode_of_one_that_was_removed_lately(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A position in a removed file does not come to mean one in a new file (ext4 reuses inodes)."""
    monkeypatch.setattr("twisted_virtlog.logs.files.reuse._CALM_SECONDS", 0)
    writer = Writer(str(tmp_path / "guest.log"), Limits(10, 1))
    inodes = [writer.position().inode]
    for _ in range(12):
        writer.append(b"0123456789")
        inodes.append(writer.position().inode)
    writer.close()
    assert len(set(inodes)) == writer.rollovers + 1
    assert len(list(tmp_path.iterdir())) == 2


def test_a_roll_over_looks_for_nothing_where_a_file_was_moved_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the names that files get, the oldest alone may have another one."""
    path = tmp_path / "guest.log"
    writer = Writer(str(path), Limits(4, 3))
    for text in (b"one\n", b"two\n", b"3rd\n", b"4th\n"):
        writer.append(text)
    removed: list[str] = []
    unlink = os.unlink
    # (it stops after a share of time, and then looks at all names again)
    monkeypatch.setattr(Writer, "seconds", lambda: 0.0)

    def noted(name: str) -> None:
        removed.append(name)
        unlink(name)

    monkeypatch.setattr(os, "unlink", noted)
    writer.append(b"5th\n")
    writer.append(b"6th\n")
    writer.close()
    assert set(removed) == {f"{path}.2"}
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {
        "guest.log": b"6th\n",
        "guest.log.0": b"5th\n",
        "guest.log.1": b"4th\n",
        "guest.log.2": b"3rd\n",
    }
