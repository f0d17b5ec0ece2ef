"""Scenes that virtlogd and this daemon must play alike: all answers and files, to the byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.plays import compare
from tests.stack.random_acts import RandomActs
from tests.stack.rpc_client import (
    APPEND,
    CALL_WITH_FDS,
    KEEPALIVE_PROGRAM,
    LOG_PROGRAM,
    MESSAGE,
    OPEN,
    PING,
    POSITION,
    READ,
    REPLY,
    REPLY_WITH_FDS,
    STREAM,
    append_arguments,
    frame,
    open_arguments,
    position_arguments,
    read_arguments,
    uint,
)
from tests.stack.sides import Pair, Scene, both

pytestmark = pytest.mark.libvirt

_MAX_FRAME = 32 * 1024 * 1024 + 4
_MAX_STRING = 4 * 1024 * 1024
#: An inode that no file has: those of files in memory count from 1.
_NOBODYS = 1 << 40


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both daemons, with files of 100 bytes and two backups."""
    with both(tmp_path_factory.mktemp("pair"), "max_size = 100", "max_backups = 2") as started:
        yield started


def _life(scene: Scene) -> None:
    scene.open("a.log")
    scene.write("a.log", b"hello\n")
    scene.read("a.log", "a.log", 0, 100)
    scene.append("a.log", b"shut down\n")
    scene.write("a.log", b"more\n", b"and more")
    scene.read("a.log", "a.log", 3, 10)
    scene.end("a.log", b", the last\n")
    scene.position("a.log")
    scene.append("a.log", b"shut down\n")
    scene.open("a.log")
    scene.position("a.log")
    scene.end("a.log")
    scene.open("a.log", 1)
    scene.write("a.log", b"x" * 250)
    scene.read("a.log", "a.log.1", 10, 1000)
    scene.append("new.log", b"a message\n")


def test_the_life_of_a_log_is_the_same(pair: Pair) -> None:
    """Opened, written, asked, read, appended to, closed, opened again, begun anew, rolled over."""
    told = compare(pair, _life)
    # That there is something to compare.
    assert [file.data for file in told[-1][1]] == [
        b"x" * 50,
        b"x" * 100,
        b"x" * 100,
        b"a message\n",
    ]


#: Sizes of the file and its backups before, then what is written, piece by piece.
_ROTATIONS: list[tuple[list[int | None], list[bytes]]] = [
    ([None], [b"a" * 60, b"b" * 40]),
    ([None], [b"a" * 60, b"b" * 40, b"c"]),
    ([None], [b"a" * 100]),
    ([None], [b"a" * 101]),
    ([None], [b"a" * 60, b"b" * 60]),
    ([None], [b"a" * 60, b"b" * 29 + b"\n" + b"c" * 30]),
    ([None], [b"a" * 99 + b"\n", b"dd"]),
    ([None], [b"a" * 99 + b"\ndd"]),
    ([None], [b"a" * 20 + b"\n" + b"b" * 99]),
    ([None], [b"a" * 19 + b"\n" + b"b" * 100]),
    ([None], [b"a" * 50 + b"\n" + b"b" * 20 + b"\n" + b"c" * 60]),
    ([None], [b"a" * 50 + b"\n" + b"b" * 30, b"c" * 40]),
    ([None], [b"a" * 250]),
    # A line ends where a piece read by virtlogd ends, or just before or after it.
    ([None], [b"a" * 1022 + b"\n" + b"b" * 200]),
    ([None], [b"a" * 1023 + b"\n" + b"b" * 200]),
    ([None], [b"a" * 1024 + b"\n" + b"b" * 200]),
    ([150], [b"a" * 10]),
    ([100], [b"a" * 10]),
    ([90], [b"a" * 10]),
    ([50, 5, 6, 7], [b"a" * 110]),
    ([50, None, 6], [b"a" * 110]),
    ([None, 5, 6], [b"a" * 110]),
    ([30, 5, 6, 7, 8], [b"\n" * 3000]),
    ([100], [b""]),
]


def _prepare(scene: Scene, log: str, sizes: list[int | None]) -> None:
    names = [log, *(f"{log}.{number}" for number in range(len(sizes)))]
    for name, size in zip(names, sizes, strict=False):
        if size is not None:
            scene.outside(name).write_bytes(b"-" * size)
            # As the daemons make files; one that was changed is kept by ours alone.
            scene.outside(name).chmod(0o600)


@pytest.mark.lengthy
@pytest.mark.parametrize("flags", [0, 1], ids=["kept", "truncated"])
def test_files_are_split_at_the_same_bytes(pair: Pair, flags: int) -> None:
    """A guest's output, in one piece or many, and messages of these bytes fill the same files."""

    def rotations(scene: Scene) -> None:
        for number, (sizes, pieces) in enumerate(_ROTATIONS):
            together, apart, message = (f"{kind}{number}.log" for kind in ("one", "few", "call"))
            for log in (together, apart, message):
                _prepare(scene, log, sizes)
                scene.open(log, flags)
            scene.write(together, *pieces)
            for piece in pieces:
                scene.write(apart, piece)
                scene.append(message, piece)
            for log in (together, apart, message):
                scene.end(log)
            scene.look()

    compare(pair, rotations)


def _reads(scene: Scene) -> None:
    for log, sizes in {
        "three": (100, 90, 80),
        "gap": (10, None, 30),
        "one": (40, None, None),
    }.items():
        _prepare(scene, log, list(sizes))
        for start in [log, f"{log}.0", f"{log}.1"]:
            if not scene.outside(start).exists():
                continue
            size = scene.outside(start).stat().st_size
            for offset in (0, 1, size // 2, size):
                for most in (0, 1, 7, 100, _MAX_STRING):
                    scene.read(log, start, offset, most)
    scene.outside("nul").write_bytes(b"one\0two\0\0three")
    for offset in (0, 3, 4, 8, 9):
        scene.read("nul", "nul", offset, 20)
    scene.outside("odd").write_bytes(bytes(range(1, 256)))
    scene.read("odd", "odd", 0, 1000)
    scene.outside("empty").write_bytes(b"")
    scene.read("empty", "empty", 0, 10)
    # The oldest there can be is there, so that this is where one that is gone was.
    scene.call("read of another", READ, read_arguments(scene.bytes_of("three"), _NOBODYS, 0))
    for inode, offset in ((_NOBODYS, 7), (0, 0), (2**64 - 1, 2**63 - 1)):
        scene.call("read of none", READ, read_arguments(scene.bytes_of("none"), inode, offset))
    scene.outside("loop").symlink_to("loop")
    scene.call("read of a loop", READ, read_arguments(scene.bytes_of("loop"), _NOBODYS, 0))
    scene.read("three", "three", 0, _MAX_STRING + 1)
    scene.read("three", "three", 0, 2**64 - 1, flags=1)
    scene.read("three", "three", 0, 10, flags=1)
    scene.read("three", "three", 2**63, 10)
    scene.read("three", "three", 2**64 - 1, 10)
    scene.read("/var/log/libvirt", "/var/log/libvirt", 0, 10)
    scene.call("read of nothing", READ, read_arguments(b"", _NOBODYS, 0))


def test_reads_are_the_same(pair: Pair) -> None:
    """From each file and many offsets on, of several lengths, with NULs, and what is refused."""
    compare(pair, _reads)


def _refused(scene: Scene) -> None:
    scene.open("a.log")
    scene.open("a.log")
    scene.open("a.log", 1)
    scene.position("a.log", 1)
    scene.position("none.log")
    scene.position("none.log", 0x80000000)
    for flags in (1, 4, 0xFFFFFFFF):
        scene.append("a.log", b"x", flags)
    for path in ("missing/b.log", "/var/log/libvirt", "/proc/1", "a.log/x", "n" * 300):
        for flags in (0, 1):
            scene.open(path, flags)
        scene.append(path, b"x")
    scene.append("missing/b.log", b"x", 1)
    scene.append("/dev/full", b"x")
    scene.append("/dev/null", b"x")
    scene.append("/etc/passwd", b"")
    scene.open("/etc/nothing")
    scene.open("/proc/self/mem")
    scene.open("/proc/sysrq-trigger-that-is-none")
    scene.outside("d.log").mkdir()
    scene.outside("d.log.0").mkdir()
    scene.outside("r.log.1").mkdir()
    _prepare(scene, "r.log", [100, 100])
    scene.open("d.log")
    scene.open("d.log", 1)
    scene.append("r.log", b"x")
    scene.open("r.log", 1)
    scene.open("a.log", 0xFFFFFFFE)
    scene.open("all.log", 0xFFFFFFFF)
    scene.end("all.log")
    scene.open("unknown.log", 0xFFFFFFFE)


def test_what_is_refused_is_told_in_the_same_words(pair: Pair) -> None:
    """Each error of opening, asking and appending has virtlogd's text, code, domain and errno."""
    compare(pair, _refused)


def _spellings(scene: Scene) -> None:
    path = scene.bytes_of("a.log")
    scene.open("a.log")
    scene.call("a NUL ends a path", OPEN, open_arguments(path + b"\0junk"))
    scene.call("and another", POSITION, position_arguments(path + b"\0\0"))
    scene.call("relative", APPEND, append_arguments(b"relative.log", b"x"))
    scene.call("the same", OPEN, open_arguments(b"./relative.log", 1))
    scene.call("no path", OPEN, open_arguments(b""))
    scene.call("no path", POSITION, position_arguments(b""))
    scene.call("no path", APPEND, append_arguments(b"", b"x"))
    scene.call("only a NUL", OPEN, open_arguments(b"\0" + path))
    scene.call("not UTF-8", OPEN, open_arguments(scene.bytes_of("caf") + b"\xe9\xff.log"))
    scene.call("not UTF-8", POSITION, position_arguments(b"/\xff\xfe"))
    scene.call("not UTF-8", APPEND, append_arguments(b"/n\xc3\xb6/\xed\xa0\x80", b"x"))
    scene.call("controls", POSITION, position_arguments(b"/\x01\n\x7f%s%d"))
    scene.call("PATH_MAX", OPEN, open_arguments(b"/" + b"a/" * 4000))
    scene.call("PATH_MAX", APPEND, append_arguments(b"/" + b"a/" * 4000, b"x"))
    scene.call("PATH_MAX", READ, read_arguments(b"/" + b"a/" * 4000, 1, 2))
    for part in (b"a", b"/", b"/a", b"a/", b"./", b"../"):
        long = position_arguments(part * (1_000_000 // len(part)))
        scene.call(f"1 MB of {part!r}", POSITION, long)
    scene.call("NUL in a message", APPEND, append_arguments(path, b"until here\0not this"))
    scene.call("bytes", APPEND, append_arguments(path, bytes(range(255, 0, -1))))
    scene.call(
        "other names", OPEN, open_arguments(scene.bytes_of("b"), 0, b"\xff" * 9, b"U" * 16, b"\n")
    )
    scene.call("no names", OPEN, open_arguments(scene.bytes_of("c"), 0, b"", bytes(16), b""))
    dirty = uint(len(path)) + path + b"dirt"[: -len(path) % 4] + uint(0)
    scene.call("padding", POSITION, dirty)
    for surplus in (b"\0", b"surplus", bytes(40)):
        scene.call("surplus", POSITION, position_arguments(path) + surplus)


def test_odd_paths_and_texts_are_taken_alike(pair: Pair) -> None:
    """Strings end at a NUL, need no encoding, and what pads or follows them does not matter."""
    compare(pair, _spellings)


def _forms(scene: Scene) -> None:
    scene.open("a.log")
    position = position_arguments(scene.bytes_of("a.log"))
    for serial in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF):
        scene.send(f"serial {serial}", frame(POSITION, position, serial=serial))
    for program in (0, 1, 0x06900690, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, KEEPALIVE_PROGRAM):
        scene.send(f"program {program:#x}", frame(POSITION, position, program=program))
    for version in (0, 2, 0x80000000, 0xFFFFFFFF):
        scene.send(f"version {version}", frame(POSITION, position, version=version))
    for procedure in (0, 5, 100, 0x7FFFFFFF, -1, -(2**31)):
        scene.send(f"procedure {procedure}", frame(procedure, position))
    for status in (1, 2, 3, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        scene.send(f"status {status}", frame(POSITION, position, status=status))
        scene.send("and of no procedure", frame(0, status=status))
    for kind in (REPLY, MESSAGE, STREAM, REPLY_WITH_FDS, 6, 0x7FFFFFFF, 0xFFFFFFFF):
        for program in (LOG_PROGRAM, 7, KEEPALIVE_PROGRAM):
            act = f"type {kind} of program {program}"
            scene.send(act, frame(POSITION, position, kind=kind, program=program, status=kind % 3))
    for procedure in (0, 1, 2, 3, -1):
        for kind in (0, MESSAGE, 4):
            message = frame(procedure, uint(0), program=KEEPALIVE_PROGRAM, kind=kind, serial=7)
            scene.send(f"keepalive {procedure} of type {kind}", message)
    scene.send("keepalive of another version", PING[:8] + uint(2) + PING[12:])
    scene.send("two PINGs", PING + PING)


def test_headers_are_judged_alike(pair: Pair) -> None:
    """Programs, versions, procedures, types, statuses, serials, known and unknown; keepalive."""
    compare(pair, _forms)


def _arguments(scene: Scene) -> None:
    path = scene.bytes_of("a.log")
    calls = {
        OPEN: open_arguments(path),
        POSITION: position_arguments(path),
        READ: read_arguments(path, 1, 2),
        APPEND: append_arguments(path, b"x"),
    }
    for procedure, whole in calls.items():
        for size in range(len(whole)):
            scene.send(f"{size} bytes for {procedure}", frame(procedure, whole[:size]))
    for length in (_MAX_STRING + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        for procedure in calls:
            scene.send(f"a string of {length}", frame(procedure, uint(length) + bytes(100)))
    long = bytes(_MAX_STRING + 1)
    scene.send("a long path", frame(POSITION, position_arguments(long)))
    scene.send("a long message", frame(APPEND, append_arguments(path, long)))
    allowed = append_arguments(b"/var/log/libvirt", b"x" * _MAX_STRING)
    scene.send("a message as long as can be", frame(APPEND, allowed))
    largest = position_arguments(path).ljust(_MAX_FRAME - 28, b"-")
    scene.send("as long as can be", frame(POSITION, largest))


def test_arguments_are_decoded_alike(pair: Pair) -> None:
    """Cut at each byte, with strings too long, and in the longest frame there can be."""
    compare(pair, _arguments)


def _broken(scene: Scene) -> None:
    for length in range(28):
        whole = frame(POSITION, length=length)
        scene.send(f"length {length}", whole[: max(length, 4)])
    scene.send("no payload", frame(POSITION))
    for length in (_MAX_FRAME + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        scene.send(f"length {length}", uint(length))
    position = frame(POSITION, position_arguments(b"/none"))
    for size in range(len(position)):
        scene.send(f"{size} bytes and no more", position[:size], last=True)
    scene.send("a call and no more", position, last=True)
    scene.send("announced only", frame(POSITION, length=_MAX_FRAME), last=True)
    scene.send("after all that", position)
    for broken in (uint(0), frame(POSITION, length=20), uint(0xFFFFFFFF)):
        scene.send("two calls and what is broken", position * 2 + broken)
    scene.send(
        "calls, a PING, half a call and no more", position * 2 + PING + position[:9], last=True
    )


def test_broken_frames_cost_the_connection_alike(pair: Pair) -> None:
    """Each length that cannot be, each beginning of a message: answered or closed alike."""
    compare(pair, _broken)


def _sent_along(scene: Scene) -> None:
    position = position_arguments(scene.bytes_of("a.log"))
    scene.open("a.log")
    for count in (0, 1, 2, 32):
        call = frame(POSITION, uint(count) + position, kind=CALL_WITH_FDS)
        scene.send(f"{count} descriptors", call, count)
        flags = position_arguments(scene.bytes_of("a.log"), 1)
        refused = frame(POSITION, uint(count) + flags, kind=CALL_WITH_FDS)
        scene.send(f"{count} descriptors for what is refused", refused, count)
    unknown = frame(POSITION, uint(0) + position, kind=CALL_WITH_FDS, program=9)
    scene.send("no descriptors for nobody", unknown)
    scene.send("no descriptors and no arguments", frame(READ, uint(0), kind=CALL_WITH_FDS))
    scene.send("no descriptors for nothing", frame(9, uint(0), kind=CALL_WITH_FDS, status=3))
    none = frame(OPEN, uint(0) + open_arguments(scene.bytes_of("b.log")), kind=CALL_WITH_FDS)
    scene.send("an open with no descriptor", none)
    for count in (33, 0x7FFFFFFF, 0xFFFFFFFF):
        call = frame(POSITION, uint(count) + position, kind=CALL_WITH_FDS)
        scene.send(f"{count} descriptors", call)
    scene.send("no number", frame(POSITION, kind=CALL_WITH_FDS))
    call = frame(POSITION, uint(2) + position, kind=CALL_WITH_FDS)
    scene.send("one of two descriptors and no more", call, 1, last=True)


def test_descriptors_of_clients_are_taken_alike(pair: Pair) -> None:
    """As many as allowed, too many, fewer than announced, and where nobody wants them."""
    compare(pair, _sent_along)


def _segments(scene: Scene) -> None:
    scene.open("a.log")
    path = scene.bytes_of("a.log")
    calls = [
        frame(POSITION, position_arguments(path), serial=1),
        frame(APPEND, append_arguments(path, b"one\n"), serial=2),
        frame(POSITION, position_arguments(path), serial=3),
        PING,
        frame(9, serial=4),
        frame(READ, read_arguments(scene.bytes_of("none"), _NOBODYS, 0), serial=5),
        frame(OPEN, open_arguments(scene.bytes_of("b.log")), serial=6),
        frame(APPEND, append_arguments(path, b"two\n"), serial=7),
        frame(POSITION, position_arguments(path), kind=REPLY),
        frame(POSITION, position_arguments(path), serial=8),
    ]
    scene.send("all at once", b"".join(calls))
    scene.trickle("byte by byte", b"".join(calls[:2]) * 2)
    scene.send("many", b"".join(calls[:6]) * 100)


@pytest.mark.lengthy
def test_segments_do_not_matter(pair: Pair) -> None:
    """Calls of one segment, and one of many segments, are answered in order."""
    compare(pair, _segments)


@pytest.mark.lengthy
def test_too_many_backups_are_refused_alike(tmp_path: Path) -> None:
    """33 backups are one too many, which is noticed at each call."""

    def backups(scene: Scene) -> None:
        scene.open("a.log")
        scene.append("a.log", b"x")
        scene.outside("b.log").write_bytes(b"x")
        scene.read("b.log", "b.log", 0, 10)
        scene.read("b.log", "b.log", 0, 10, flags=1)
        scene.position("a.log")

    with both(tmp_path, "max_backups = 33") as pair:
        compare(pair, backups)


@pytest.mark.lengthy
@pytest.mark.parametrize(("max_size", "max_backups"), [(100, 2), (1000, 1), (5000, 0)])
def test_random_calls_come_to_the_same(tmp_path: Path, max_size: int, max_backups: int) -> None:
    """Guests and drivers that do whatever can be done, and clients that send rubbish."""
    with both(tmp_path, f"max_size = {max_size}", f"max_backups = {max_backups}") as pair:
        compare(pair, RandomActs(seed=max_size, number=250, max_backups=max_backups))


@pytest.mark.slow
@pytest.mark.parametrize("max_size", [0, 7, 80, 81, 1023, 1024, 1100, 4096, 65536])
def test_many_random_calls_come_to_the_same(tmp_path: Path, max_size: int) -> None:
    """The same, longer, with other sizes."""
    backups = max_size % 4
    with both(tmp_path, f"max_size = {max_size}", f"max_backups = {backups}") as pair:
        for seed in range(5):
            compare(pair, RandomActs(seed=seed, number=800, max_backups=backups))
