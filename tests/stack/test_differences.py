"""The differences that doc/differences.md lists are there, and are what it says."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stack.plays import Told, play
from tests.stack.rpc_client import (
    APPEND,
    CALL_WITH_FDS,
    OPEN,
    POSITION,
    READ,
    Failure,
    Place,
    append_arguments,
    frame,
    open_arguments,
    position_arguments,
    read_arguments,
    uint,
)
from tests.stack.sides import Pair, Scene, both

_CHECKOUT = Path(__file__).parents[2]
_DOCUMENT = _CHECKOUT / "doc" / "differences.md"
_MAX_STRING = 4 * 1024 * 1024
_F_GETPIPE_SZ = 1032
#: An inode that no file has: those of files in memory count from 1.
_NOBODYS = 1 << 40

#: What a scene's acts came to.
_Outcomes = list[Any]
_Difference = Callable[[Scene], _Outcomes]

#: By its heading: what is done, and what it comes to with virtlogd and with this daemon.
_LISTED: dict[str, tuple[_Difference, _Outcomes, _Outcomes]] = {}

#: Those that no script can show side by side, and the tests of what this daemon does.
_SHOWN_ELSEWHERE = {
    "A drain is bounded": (
        "tests/logs/test_open_log.py",
        "does not chase a writer that never stops",
    ),
    "Logs may be confined to directories": (
        "tests/daemon/test_log_roots.py",
        "test_logs_are_below_roots_and_those_that_are_open_go_on",
    ),
    "A message that does not fit leaves nothing": (
        "tests/logs/test_failing.py",
        "test_a_message_that_does_not_fit_leaves_nothing",
    ),
    "A FIFO does not stop the daemon": ("tests/stack/test_differences.py", "test_a_fifo"),
    "Errors that virtlogd does not have": (
        "tests/libvirt/test_errors.py",
        "test_every_failure_is_tried_above",
    ),
}


def _listed(title: str, theirs: _Outcomes, ours: _Outcomes) -> Callable[[_Difference], _Difference]:
    def add(difference: _Difference) -> _Difference:
        _LISTED[title] = (difference, theirs, ours)
        return difference

    return add


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both daemons, with files of 4000 bytes and two backups."""
    with both(tmp_path_factory.mktemp("pair"), "max_size = 4000", "max_backups = 2") as started:
        yield started


def _no_log(name: str) -> tuple[int, int, bytes]:
    return 1, 63, b"internal error: No open log file " + name.encode()


def _no_seek(offset: int, reason: bytes) -> tuple[int, int, bytes]:
    return 38, 0, b"Unable to seek to inode %d offset %d: %b" % (_NOBODYS, offset, reason)


def _results(scene: Scene) -> _Outcomes:
    """Give what the acts so far came to, shortly; paths are told without the directory."""
    directory = scene.bytes_of("")
    outcomes: _Outcomes = []
    for _, told in scene.told:
        assert isinstance(told, tuple), told
        result = told[1]
        if isinstance(result, Failure):
            assert result.message is not None
            result = (result.code, result.domain, result.message.replace(directory, b""))
        outcomes.append(result)
    return outcomes


def _contents(scene: Scene) -> dict[str, bytes]:
    return {file.name: file.data for file in scene.files()}


@_listed(
    "A position whose file is gone",
    [_no_seek(3, b"Bad file descriptor"), b"3456789new", _no_seek(3, b"Bad file descriptor")],
    [b"only", b"0123456789new", b"0123456789new"],
)
def _gone(scene: Scene) -> _Outcomes:
    for name, data in {"a": b"only", "b": b"new", "b.1": b"0123456789", "c": b"new"}.items():
        scene.outside(name).write_bytes(data)
    scene.outside("c.0").write_bytes(b"0123456789")
    for log in ("a", "b", "c"):
        scene.call(log, READ, read_arguments(scene.bytes_of(log), _NOBODYS, 3))
    return _results(scene)


@_listed(
    "A position beyond the end of its file",
    [b"new", b""],
    [b"0123456789new", b"new"],
)
def _behind(scene: Scene) -> _Outcomes:
    scene.outside("a.0").write_bytes(b"0123456789")
    scene.outside("a").write_bytes(b"new")
    scene.read("a", "a.0", 11, 100)
    scene.read("a", "a", 4, 100)
    return _results(scene)


_DIRECTORY_READ = (38, 0, b"Unable to read from file /var/log/libvirt: Is a directory")


@_listed(
    "A directory is not read",
    [b"", (38, 0, b"Unable to seek to inode no. 0 offset %d: Invalid argument" % 2**63)],
    [_DIRECTORY_READ, _DIRECTORY_READ],
)
def _directory(scene: Scene) -> _Outcomes:
    directory = "/var/log/libvirt"
    scene.read(directory, directory, 0, 0)
    scene.read(directory, directory, 2**63, 10)
    return _results(scene)


@_listed(
    "Other spellings and links are the same log",
    [
        Place(0, 0),
        Place(0, 0),
        _no_log("./a"),
        Place(0, 0),
        _no_log("linked"),
    ],
    [
        Place(0, 0),
        (38, 63, b"Cannot open log file: '/a': Device or resource busy"),
        Place(0, 0),
        (38, 63, b"Cannot open log file: 'link': Device or resource busy"),
        Place(0, 0),
    ],
)
def _spelled(scene: Scene) -> _Outcomes:
    scene.open("a")
    scene.outside("link").symlink_to("a")
    scene.outside("linked").symlink_to("link")
    scene.call("another spelling", OPEN, open_arguments(scene.bytes_of("") + b"/a"))
    scene.call("another spelling", POSITION, position_arguments(scene.bytes_of("./a")))
    scene.call("a link", OPEN, open_arguments(scene.bytes_of("link")))
    scene.call("a link to a link", POSITION, position_arguments(scene.bytes_of("linked")))
    return _results(scene)


@_listed(
    "A name must leave room for those of backups",
    [Place(0, 0)],
    [
        (
            38,
            0,
            b"Unable to open file: %b: its name has 254 bytes, and at most 253 leave room for the"
            b" names of its backups, up to .1: File name too long" % (b"n" * 254),
        )
    ],
)
def _long_name(scene: Scene) -> _Outcomes:
    scene.open("n" * 254)
    return _results(scene)


@_listed(
    "A link's target is rotated",
    [
        {"link": 1, "link.0": 4000, "target": 4000},
        {"link": 2, "target": 4000},
        (38, 0, b"Unable to open file: up: Is a directory"),
    ],
    [
        {"link": 1, "target": 1, "target.0": 4000},
        {"link": 2, "target": 1, "target.0": 4000},
        (38, 0, b"Unable to open file: /var/log/libvirt: Is a directory"),
    ],
)
def _linked(scene: Scene) -> _Outcomes:
    scene.outside("link").symlink_to("target")
    outcomes: _Outcomes = []
    for flags, text in ((0, b"x" * 4000 + b"y"), (1, b"zz")):
        scene.open("link", flags)
        scene.write("link", text)
        scene.end("link")
        outcomes.append({name: len(data) for name, data in _contents(scene).items()})
    scene.outside("up").symlink_to("/var/log/libvirt")
    scene.open("up")
    return [*outcomes, _results(scene)[-1]]


@_listed(
    "The same guest gets its log again",
    [Place(0, 0), (38, 63, b"Cannot open log file: 'a': Device or resource busy")],
    [Place(0, 0), Place(0, 0)],
)
def _again(scene: Scene) -> _Outcomes:
    guest = b"u" * 16
    scene.open("a", uuid=guest)
    scene.call("again", OPEN, open_arguments(scene.bytes_of("a"), uuid=guest))
    return _results(scene)


@_listed(
    "A log is open no longer than its guest",
    [(38, 63, b"Cannot open log file: 'a': Device or resource busy")],
    [Place(1, 4000)],
)
def _gone_guest(scene: Scene) -> _Outcomes:
    scene.open("a")
    scene.reopen("a", b"x" * 12_000)
    return _results(scene)[1:]


def _told_of(size: int) -> str:
    # How much virtlogd has depends on the turns of its event loop.
    return "all of it is there" if size == 3000 else "a part of it is missing"


@_listed(
    "A read shows what was written before it",
    ["a part of it is missing"],
    ["all of it is there"],
)
def _read_drains(scene: Scene) -> _Outcomes:
    scene.open("a")
    inode = scene.outside("a").stat().st_ino
    scene.write("a", b"x" * 3000, then=(READ, read_arguments(scene.bytes_of("a"), inode, 0)))
    return [_told_of(len(_results(scene)[-1]))]


@_listed(
    "A message follows what was written before it",
    ["a part of it is missing"],
    ["all of it is there"],
)
def _append_drains(scene: Scene) -> _Outcomes:
    scene.open("a")
    message = append_arguments(scene.bytes_of("a"), b"shut down\n")
    scene.write("a", b"x" * 3000, then=(APPEND, message))
    scene.position("a")
    return [_told_of(scene.outside("a").read_bytes().index(b"shut down"))]


@_listed(
    "A file that cannot be written does not close its log",
    [_no_log("full"), _no_log("full"), "the guest is told of a broken pipe"],
    [
        (38, 63, b"Unable to write to file full: No space left on device"),
        (38, 63, b"Unable to write to file full: No space left on device"),
        "the guest goes on",
    ],
)
def _full(scene: Scene) -> _Outcomes:
    os.mknod(scene.outside("full"), 0o20666, os.makedev(1, 7))
    scene.open("full")
    scene.write("full", b"x")
    scene.position("full")
    try:
        os.write(scene.guest("full"), b"x")
    except BrokenPipeError:
        return [*_results(scene)[1:], "the guest is told of a broken pipe"]
    return [*_results(scene)[1:], "the guest goes on"]


@_listed(
    "A file removed from outside is made again",
    [Place(0, 20), {}],
    [Place(1, 10), {"a": b"b" * 10}],
)
def _removed(scene: Scene) -> _Outcomes:
    scene.open("a")
    scene.write("a", b"a" * 10)
    scene.outside("a").unlink()
    scene.write("a", b"b" * 10)
    return [_results(scene)[-1], _contents(scene)]


@_listed(
    "A file changed from outside is measured again",
    [Place(0, 15), Place(1, 15), {"cut": b"b" * 5, "grown": b"a" * 10 + b"other" + b"b" * 5}],
    [Place(0, 5), Place(1, 20), {"cut": b"b" * 5, "grown": b"a" * 10 + b"other" + b"b" * 5}],
)
def _changed(scene: Scene) -> _Outcomes:
    for log in ("cut", "grown"):
        scene.open(log)
        scene.write(log, b"a" * 10)
    os.truncate(scene.outside("cut"), 0)
    with scene.outside("grown").open("ab") as file:
        file.write(b"other")
    for log in ("cut", "grown"):
        scene.write(log, b"b" * 5)
    return [*_results(scene)[-2:], _contents(scene)]


@_listed(
    "Only a regular file is rotated",
    [["null", "null.0"]],
    [["null"]],
)
def _device(scene: Scene) -> _Outcomes:
    os.mknod(scene.outside("null"), 0o20666, os.makedev(1, 3))
    scene.append("null", b"x" * 5000)
    return [sorted(_contents(scene))]


@_listed(
    "An administrator's mode and owner outlast a rollover",
    [("-rw-------", 0), ("-rw-r-----", 4)],
    [("-rw-r-----", 4), ("-rw-r-----", 4)],
)
def _attributes(scene: Scene) -> _Outcomes:
    scene.open("a")
    scene.write("a", b"a" * 4000)
    os.chown(scene.outside("a"), 0, 4)
    scene.outside("a").chmod(0o640)
    scene.write("a", b"b")
    modes = {file.name: file.mode for file in scene.files()}
    return [(modes[name], scene.outside(name).stat().st_gid) for name in ("a", "a.0")]


@_listed("Pipes are larger", ["64 KiB"], ["more"])
def _pipe(scene: Scene) -> _Outcomes:
    scene.open("a")
    size = fcntl.fcntl(scene.guest("a"), _F_GETPIPE_SZ)
    # How much more is the kernel's to say.
    return ["more" if size > 64 * 1024 else f"{size // 1024} KiB"]


@_listed(
    "A client's descriptors are not sent back",
    [["c read waits", "p write waits"]],
    [["p write waits"]],
)
def _sent_back(scene: Scene) -> _Outcomes:
    call = frame(OPEN, uint(1) + open_arguments(scene.bytes_of("a")), kind=CALL_WITH_FDS)
    scene.send("an open with a descriptor", call, 1)
    ((_, answers),) = scene.told
    assert isinstance(answers, list)
    return [answers[0][2]]


@_listed("No descriptors follow an error", [2, 2, 2, 2], [0, 0, 0, 0])
def _stray(scene: Scene) -> _Outcomes:
    stray = []
    for call in (
        frame(POSITION, uint(2) + position_arguments(b"/"), kind=CALL_WITH_FDS, program=9),
        frame(POSITION, uint(2) + position_arguments(b"/"), kind=CALL_WITH_FDS, status=1),
        frame(9, uint(2), kind=CALL_WITH_FDS),
        frame(POSITION, uint(2), kind=CALL_WITH_FDS),
    ):
        with scene.side.connect() as client:
            client.send(call)
            client.send_descriptor()
            client.send_descriptor()
            client.end_input()
            answer = client.rest()
            stray.append(len(answer) - int.from_bytes(answer[:4], "big"))
            assert not answer[len(answer) - stray[-1] :].strip(b"\0")
    return stray


@_listed("A byte may come without its descriptor", [["closed"]], [[_no_log("/")]])
def _empty(scene: Scene) -> _Outcomes:
    call = frame(POSITION, uint(1) + position_arguments(b"/"), kind=CALL_WITH_FDS)
    scene.send("a byte without a descriptor", call + b"\0")
    ((_, answers),) = scene.told
    assert isinstance(answers, list)
    return [[each if each == "closed" else each[1][:3] for each in answers]]


@_listed("A text that is too long is cut", [["closed"]], [[_MAX_STRING]])
def _too_long(scene: Scene) -> _Outcomes:
    scene.send("a path of 4 MiB", frame(POSITION, position_arguments(b"/" * _MAX_STRING)))
    ((_, answers),) = scene.told
    assert isinstance(answers, list)
    return [[each if each == "closed" else len(each[1].message) for each in answers]]


@pytest.mark.libvirt
@pytest.mark.parametrize("title", _LISTED)
def test_a_difference_is_what_is_written_of_it(pair: Pair, title: str) -> None:
    """virtlogd does the one, this daemon the other; if one of them changed, it is to be known."""
    difference, theirs, ours = _LISTED[title]
    outcomes = []
    play(pair, lambda scene: outcomes.append(difference(scene)))
    assert Told(*outcomes) == Told(theirs, ours)


@pytest.mark.libvirt
def test_a_fifo_that_nobody_reads_is_refused(pair: Pair) -> None:
    """This daemon says so at once. (virtlogd would wait for a reader, and answer nobody.)"""
    with Scene(pair.ours, "fifo") as scene:
        os.mkfifo(scene.outside("fifo"))
        scene.open("fifo")
        (outcome,) = _results(scene)
    assert outcome == (38, 0, b"Unable to open file: fifo: No such device or address")


def test_all_differences_are_written_down() -> None:
    """The headings of doc/differences.md are those of what is shown here or elsewhere."""
    sections = re.split(r"^## ", _DOCUMENT.read_text(), flags=re.MULTILINE)
    logs, protocol = (
        next(section for section in sections if section.startswith(title))
        for title in ("Logs\n", "Protocol\n")
    )
    titles = re.findall(r"^### (.*)$", logs + protocol, flags=re.MULTILINE)
    assert sorted(titles) == sorted([*_LISTED, *_SHOWN_ELSEWHERE])
    for name, text in _SHOWN_ELSEWHERE.values():
        assert text in (_CHECKOUT / name).read_text(), name
