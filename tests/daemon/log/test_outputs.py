"""Syslog and the journal: what arrives there, and what happens when not; and which are opened."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from twisted.logger import LogLevel
from twisted.python.failure import Failure

from tests.daemon.log.conftest import MakeEvent, Receiver, journal_fields
from twisted_virtlog.daemon.log import outputs
from twisted_virtlog.daemon.log.outputs import (
    JournalSink,
    SyslogSink,
    default_output,
    open_output,
)
from twisted_virtlog.escaping import visible
from twisted_virtlog.values import Destination, Output, Priority

_TEXTS = ["plain", "two\nlines\n", "ünïcode", "lone \udcff surrogate", "nul \0 byte", ""]


def _failure() -> Failure:
    try:
        raise ValueError("the reason")
    except ValueError:
        return Failure()


# Syslog.


@pytest.mark.parametrize(
    ("level", "number"),
    [(LogLevel.debug, 31), (LogLevel.info, 30), (LogLevel.warn, 28), (LogLevel.critical, 27)],
)
def test_syslog_gets_facility_severity_and_name(
    event: MakeEvent, receiver: Receiver, level: object, number: int
) -> None:
    """A message is one datagram."""
    sink = SyslogSink("virtlogd-test", str(receiver.path))
    sink.write(event("two\nlines", level=level))
    expected = f"<{number}>virtlogd-test[{os.getpid()}]: two\\nlines".encode()
    assert receiver.received() == [expected]
    sink.close()


# The journal.


@pytest.mark.parametrize("text", [*_TEXTS, "PRIORITY=0\nPRIORITY=0\n\n"])
def test_the_journal_gets_its_fields(event: MakeEvent, receiver: Receiver, text: str) -> None:
    """A message cannot pretend to be other fields, whatever lines it has."""
    sink = JournalSink(str(receiver.path))
    sink.write(event(text))
    (datagram,) = receiver.received()
    assert journal_fields(datagram) == [
        ("MESSAGE", visible(text).encode()),
        ("PRIORITY", b"4"),
        ("SYSLOG_IDENTIFIER", b"virtlogd"),
        ("SYSLOG_PID", str(os.getpid()).encode()),
        ("LIBVIRT_SOURCE", b"logs"),
    ]
    sink.close()


def test_the_journal_gets_tracebacks_in_one_message(event: MakeEvent, receiver: Receiver) -> None:
    """So they stay together."""
    sink = JournalSink(str(receiver.path))
    sink.write(event(log_failure=_failure()))
    (datagram,) = receiver.received()
    message = dict(journal_fields(datagram))["MESSAGE"].decode()
    assert message.startswith("hello\n    Traceback")
    assert "ValueError: the reason" in message
    sink.close()


# Receivers that do not take them.


@pytest.mark.parametrize("kind", [lambda path: SyslogSink("x", path), JournalSink])
def test_a_receiver_that_is_gone_hears_later_what_it_missed(
    event: MakeEvent, receiver: Receiver, kind: type[JournalSink]
) -> None:
    """When it has come back, at the same path, the next message tells the number."""
    sink = kind(str(receiver.path))
    sink.write(event("one"))
    assert b"one" in receiver.received()[0]
    receiver.go()
    sink.write(event("two"))
    sink.write(event("three"))
    receiver.come()
    sink.write(event("four"))
    sink.write(event("five"))
    four, five = receiver.received()
    assert b"four (2 messages before this one could not be sent)" in four
    assert b"five" in five
    assert b"could not" not in five
    sink.close()


def test_a_receiver_that_is_late_hears_of_the_first_messages(
    event: MakeEvent, tmp_path: Path
) -> None:
    """The daemon may be started before it."""
    path = tmp_path / "late"
    sink = JournalSink(str(path))
    sink.write(event("one"))
    late = Receiver(path)
    sink.write(event("two"))
    (datagram,) = late.received()
    assert b"two (1 messages before this one could not be sent)" in datagram
    late.close()
    sink.close()


def test_a_full_queue_is_not_waited_for(event: MakeEvent, receiver: Receiver) -> None:
    """What does not fit is counted, and the number is told when there is room."""
    sink = SyslogSink("x", str(receiver.path))
    for number in range(5000):
        sink.write(event(f"number {number}"))
    taken = receiver.received()
    assert 0 < len(taken) < 5000
    assert taken[-1].endswith(f"number {len(taken) - 1}".encode())
    sink.write(event("after"))
    missed = 5000 - len(taken)
    (last,) = receiver.received()
    assert last.endswith(f"after ({missed} messages before this one could not be sent)".encode())
    sink.close()


def test_a_message_that_is_too_long_is_counted(event: MakeEvent, receiver: Receiver) -> None:
    """A datagram has a largest size."""
    sink = JournalSink(str(receiver.path))
    sink.write(event("x" * 10_000_000))
    assert receiver.received() == []
    sink.write(event("short"))
    assert b"short (1 messages before" in receiver.received()[0]
    sink.close()


# Which is opened.


def test_outputs_are_opened_as_configured(
    event: MakeEvent, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Syslog under the name that the configuration gives, the journal under the daemon's."""
    monkeypatch.setattr(outputs, "SYSLOG_SOCKET", str(receiver.path))
    monkeypatch.setattr(outputs, "JOURNAL_SOCKET", str(receiver.path))
    for output in (
        Output(Priority.DEBUG, Destination.SYSLOG, "my-name"),
        Output(Priority.DEBUG, Destination.JOURNALD),
    ):
        sink = open_output(output, time.monotonic())
        sink.write(event())
        sink.close()
    syslog, journal = receiver.received()
    assert syslog.startswith(b"<28>my-name[")
    assert journal.startswith(b"MESSAGE\n")


@pytest.mark.parametrize(
    ("journal", "terminal", "file", "text"),
    [
        (True, True, None, "2:stderr"),
        (True, False, None, "2:journald"),
        (False, True, None, "2:stderr"),
        (False, False, None, "2:stderr"),
        (True, True, "/f", "2:journald"),
        (True, False, "/f", "2:journald"),
        (False, True, "/f", "2:file:/f"),
        (False, False, "/f", "2:file:/f"),
    ],
)
def test_without_configuration_messages_go_where_they_are_seen(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    journal: bool,
    terminal: bool,
    file: str | None,
    text: str,
) -> None:
    """On a terminal, or in the journal; from the background never on standard error."""
    path = tmp_path / "journal"
    monkeypatch.setattr(outputs, "JOURNAL_SOCKET", str(path))
    if journal:
        path.touch()
    assert str(default_output(Priority.INFO, terminal, file)) == text
