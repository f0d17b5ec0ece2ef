"""The daemon's own log as a whole: what gets through to which output."""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel
from zope.interface.verify import verifyObject

from tests.daemon.log.conftest import PATIENCE, MakeEvent, write_all
from twisted_virtlog.config.logging import parse_filters, parse_outputs
from twisted_virtlog.daemon.log.observer import Once, OwnLog
from twisted_virtlog.daemon.log.output_thread import thread_of
from twisted_virtlog.errors import OutputError
from twisted_virtlog.interfaces import IOwnLog
from twisted_virtlog.values import Output, Priority

_LEVELS = [LogLevel.debug, LogLevel.info, LogLevel.warn, LogLevel.error]


def no_default(level: Priority) -> list[Output]:
    """Take the place of default outputs, where a test names its own."""
    raise AssertionError(level)


def _open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(
    ("level", "filters", "first", "second"),
    [
        # As the real virtlogd with the same settings: an output's level alone opens nothing.
        (3, "", "we", "e"),
        (1, "", "diwe", "e"),
        (4, "", "e", "e"),
        (3, "1:logs", "diwe", "e"),
        (3, "2:logs", "iwe", "e"),
        (1, "4:logs", "e", "e"),
        (3, "4:logs 1:logs", "e", "e"),
        (3, "1:jsonrpc", "we", "e"),
    ],
)
def test_level_and_filters_come_before_the_outputs(
    event: MakeEvent, tmp_path: Path, level: int, filters: str, first: str, second: str
) -> None:
    """A message must pass them first, and then be grave enough for each output."""
    files = tmp_path / "first", tmp_path / "second"
    outputs = parse_outputs(f"1:file:{files[0]} 4:file:{files[1]}")
    own_log = OwnLog(no_default, Priority(level), parse_filters(filters), outputs)
    for one in _LEVELS:
        own_log(event(one.name, level=one))
    own_log.close()
    written = [
        "".join(line.split()[-1][0] for line in file.read_text().splitlines()) for file in files
    ]
    assert written == [first, second]


def test_unset_means_warnings(event: MakeEvent, tmp_path: Path) -> None:
    """As libvirt's default level."""
    own_log = OwnLog(no_default, outputs=parse_outputs(f"1:file:{tmp_path}/log"))
    for one in _LEVELS:
        own_log(event(one.name, level=one))
    own_log.close()
    assert len((tmp_path / "log").read_text().splitlines()) == 2


def test_it_observes_twisted_s_loggers(tmp_path: Path) -> None:
    """What the daemon's modules log arrives with their names."""
    own_log = OwnLog(
        no_default,
        outputs=parse_outputs(f"1:file:{tmp_path}/log"),
        filters=parse_filters("1:handler"),
    )
    assert verifyObject(ILogObserver, own_log)
    assert verifyObject(IOwnLog, own_log)
    Logger("twisted_virtlog.logs.handler", observer=own_log).debug("opened {path}", path="/x")
    Logger("twisted_virtlog.sockets.connection", observer=own_log).info("nothing")
    own_log.close()
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert line.endswith(": debug : logs : opened /x")


def test_what_twisted_tells_again_is_told_once(event: MakeEvent) -> None:
    """Equal messages are told as often as they are logged; the same one is not, until it begins."""
    told: list[LogEvent] = []
    once = Once(cast(ILogObserver, told.append))
    assert verifyObject(ILogObserver, once)
    first, second = event("same"), event("same")
    for one in (first, second, first, second):
        once(one)
    assert len(told) == 2
    once.logging_has_begun()
    once(event("same"))
    assert len(told) == 3


def test_what_was_told_is_forgotten_when_logging_has_begun() -> None:
    """The daemon does not keep its messages in memory."""

    class Event(dict[str, Any]):
        """A dictionary that can be watched."""

    once = Once(cast(ILogObserver, lambda _: None))
    one = Event()
    once(one)
    watched = weakref.ref(one)
    del one
    assert watched() is not None
    once.logging_has_begun()
    assert watched() is None


def test_nothing_stays_open_when_a_later_output_fails(tmp_path: Path) -> None:
    """The earlier ones are closed again, and the one that failed is named."""
    before = _open_descriptors()
    outputs = parse_outputs(f"1:file:{tmp_path}/log 1:journald 1:file:{tmp_path}/missing/log")
    with pytest.raises(OutputError, match=f"failed to open {tmp_path}/missing/log"):
        OwnLog(no_default, outputs=outputs)
    write_all()
    assert _open_descriptors() == before


def test_outputs_can_be_exchanged_while_it_runs(event: MakeEvent, tmp_path: Path) -> None:
    """Later messages go to the new ones alone, and nothing of the old ones stays open."""
    before = len(_open_descriptors())
    own_log = OwnLog(no_default, outputs=parse_outputs(f"1:file:{tmp_path}/old 1:journald"))
    own_log(event("one"))
    outputs = parse_outputs(f"4:file:{tmp_path}/new")
    own_log.change(outputs=outputs)
    write_all()
    assert own_log.logging().outputs == tuple(outputs)
    assert own_log.files() == (f"{tmp_path.resolve()}/new",)
    assert len(_open_descriptors()) == before + 1
    own_log(event("two", level=LogLevel.error))
    own_log(event("too slight for the new one"))
    own_log.close()
    for name, word in (("old", "one"), ("new", "two")):
        (line,) = (tmp_path / name).read_text().splitlines()
        assert line.endswith(f" : {word}")


def test_a_file_that_was_moved_away_is_made_again(event: MakeEvent, tmp_path: Path) -> None:
    """By setting the same outputs, so that the daemon's own log can be rotated."""
    file = tmp_path / "log"
    own_log = OwnLog(no_default, outputs=parse_outputs(f"1:file:{file}"))
    own_log(event("one"))
    write_all()
    file.rename(tmp_path / "log.1")
    own_log(event("two"))
    own_log.change(outputs=own_log.logging().outputs)
    own_log(event("three"))
    own_log.close()
    assert [line.split()[-1] for line in (tmp_path / "log.1").read_text().splitlines()] == [
        "one",
        "two",
    ]
    assert file.read_text().endswith(" : three\n")


def test_outputs_that_fail_leave_the_present_ones(event: MakeEvent, tmp_path: Path) -> None:
    """All of the new ones are taken, or none."""
    own_log = OwnLog(no_default, outputs=parse_outputs(f"1:file:{tmp_path}/log"))
    before = own_log.logging(), _open_descriptors()
    new = parse_outputs(f"1:file:{tmp_path}/new 1:file:{tmp_path}/missing/log")
    with pytest.raises(OutputError, match=f"failed to open {tmp_path}/missing/log"):
        own_log.change(Priority.DEBUG, [], new)
    write_all()
    assert (own_log.logging(), _open_descriptors()) == before
    own_log(event("one"))
    own_log.close()
    assert (tmp_path / "log").read_text().endswith(" : one\n")
    assert (tmp_path / "new").read_text() == ""


def test_level_and_filters_can_be_exchanged_while_it_runs(event: MakeEvent, tmp_path: Path) -> None:
    """They hold from the next message on."""
    own_log = OwnLog(no_default, outputs=parse_outputs(f"1:file:{tmp_path}/log"))
    own_log(event("one", level=LogLevel.debug))
    own_log.change(filters=parse_filters("1:logs"))
    own_log(event("two", level=LogLevel.debug))
    own_log.change(filters=())
    own_log(event("three", level=LogLevel.debug))
    own_log.change(Priority.DEBUG)
    own_log(event("four", level=LogLevel.debug))
    own_log.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.split()[-1] for line in lines] == ["two", "four"]


def test_after_closing_it_takes_messages_and_drops_them(event: MakeEvent, tmp_path: Path) -> None:
    """The last words of a process that ends do no harm."""
    before = _open_descriptors()
    own_log = OwnLog(no_default, outputs=parse_outputs(f"1:file:{tmp_path}/log 1:journald"))
    own_log.close()
    own_log.close()
    own_log(event())
    assert _open_descriptors() == before
    assert (tmp_path / "log").read_text() == ""


def test_default_outputs_have_their_directories_made(event: MakeEvent, tmp_path: Path) -> None:
    """Those that somebody names do not: the name may be a mistake."""
    path = tmp_path / "new" / "log"
    own_log = OwnLog(lambda _: parse_outputs(f"1:file:{path}"))
    own_log(event("one"))
    own_log.close()
    assert path.read_text().endswith(" : one\n")


def test_files_are_let_go_for_an_exec_and_opened_again(event: MakeEvent, tmp_path: Path) -> None:
    """All that came before is written, and no descriptor is left that the exec would close."""
    before = _open_descriptors()
    path = tmp_path / "log"
    own_log = OwnLog(no_default, outputs=parse_outputs(f"1:stderr 1:file:{path}"))
    own_log(event("one"))
    assert own_log.let_go(PATIENCE) == []
    assert path.read_text().endswith(" : one\n")
    assert _open_descriptors() == before
    own_log(event("two"))
    assert own_log.flush(PATIENCE)
    assert path.read_text().endswith(" : two\n")
    own_log.close()


@pytest.mark.parametrize(("what", "named"), [("file", True), ("pipe", False)])
def test_a_disk_that_hangs_is_named_before_an_exec(
    event: MakeEvent, tmp_path: Path, what: str, named: bool
) -> None:
    """The exec would wait for it, as it would not for who reads a pipe."""
    path = tmp_path / what
    reader = None
    if what == "pipe":
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    own_log = OwnLog(no_default, outputs=parse_outputs(f"1:file:{path}"))
    own_log(event("one"))
    write_all()
    answers = threading.Event()
    thread_of(str(path)).do(lambda: answers.wait(PATIENCE))
    own_log(event("two"))
    assert not own_log.flush(0.1)
    assert own_log.let_go(0.1) == ([str(path)] if named else [])
    # Also if it is an output no more.
    own_log.change(outputs=parse_outputs("1:stderr"))
    assert own_log.let_go(0.1) == ([str(path)] if named else [])
    answers.set()
    assert own_log.let_go(PATIENCE) == []
    own_log.close()
    if reader is not None:
        os.close(reader)
