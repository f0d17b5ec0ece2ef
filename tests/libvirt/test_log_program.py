"""The four procedures of the log program ask the handler right and answer as virtlogd does."""

from __future__ import annotations

import errno
import os
import struct

import pytest

from tests.libvirt.fakes import (
    UUID_TEXT,
    Client,
    append_arguments,
    open_arguments,
    position_arguments,
    read_arguments,
)
from twisted_virtlog.errors import (
    LimitReached,
    LogError,
    NoSuchLog,
    NotWritten,
    SystemFailure,
    UnsupportedBackups,
)
from twisted_virtlog.libvirt.messages import ErrorBody, MessageType
from twisted_virtlog.values import MAX_NAME_CHARACTERS, Domain, Excerpt, Opened, Position

OPEN, POSITION, READ, APPEND = 1, 2, 3, 4
HERE = Position(7, 3)
GUEST = Domain(UUID_TEXT, "demo")
MAX_READ = 4 * 1024 * 1024


def excerpt(data: bytes) -> Excerpt:
    """Make what the handler read."""
    return Excerpt((data,), HERE, HERE, gap=False, final=False)


def brief(body: ErrorBody) -> tuple[int, int, int, str]:
    """Return what clients look at."""
    assert body.message is not None
    return body.code, body.domain, body.int1, body.message.decode()


@pytest.mark.parametrize(
    ("flags", "truncate"), [(0, False), (1, True), (2, False), (0xFFFFFFFF, True)]
)
def test_open_answers_the_position_and_then_the_pipe(
    flags: int, truncate: bool, write_end: int
) -> None:
    """A flag of 1 asks for an empty file; flags of newer clients are ignored."""
    client = Client(open=Opened(HERE, write_end))
    header, payload = client.call(OPEN, open_arguments(b"/p/a.log", flags))
    assert header.type == MessageType.REPLY_WITH_FDS
    assert payload == struct.pack(">IQQ", 1, 7, 3)
    assert client.connection.sent[1:] == [(b"\0", (write_end,))]
    assert client.handler.calls == [("open", "/p/a.log", "qemu", GUEST, truncate)]


def test_logs_of_a_guest_share_what_it_is_called(write_end: int) -> None:
    """It is one object; another guest's is another."""
    client = Client(open=Opened(HERE, write_end), append=HERE)
    others = append_arguments(b"/p").replace(b"demo", b"d2mo")
    client.call(OPEN, open_arguments(b"/p/a.log", 0))
    client.call(APPEND, append_arguments(b"/p"))
    client.call(APPEND, others)
    first, second, third = (
        call[domain] for call, domain in zip(client.handler.calls, (3, 4, 4), strict=True)
    )
    assert first == GUEST
    assert second is first
    assert third == Domain(UUID_TEXT, "d2mo")


def test_position_answers_inode_and_offset() -> None:
    """Both as unsigned 64-bit numbers."""
    client = Client(position=Position(2**64 - 1, 2**63))
    header, payload = client.call(POSITION, position_arguments(b"/p/a.log"))
    assert header.type == MessageType.REPLY
    assert payload == struct.pack(">QQ", 2**64 - 1, 2**63)
    assert client.handler.calls == [("position", "/p/a.log")]


@pytest.mark.parametrize("path", [b"", b"relative", b"/a//b", b"/\xff\xfe", "/gr\u00fcn".encode()])
def test_a_path_is_handed_on_as_it_was_given(path: bytes) -> None:
    """Any bytes name a file, whether they are UTF-8 or not."""
    client = Client(position=NoSuchLog("none", "/x"))
    body = client.error(POSITION, position_arguments(path))
    assert client.handler.calls == [("position", os.fsdecode(path))]
    assert body.message == b"internal error: No open log file " + path


def test_names_that_are_no_utf_8_come_through() -> None:
    """A guest's name is bytes to libvirt."""
    client = Client(append=HERE)
    arguments = append_arguments(b"/p").replace(b"demo", b"d\xffmo")
    assert client.call(APPEND, arguments)[1] == bytes(4)
    assert client.handler.calls[0][4] == Domain(UUID_TEXT, "d\udcffmo")


def test_long_names_are_taken_and_kept_shorter() -> None:
    """libvirt takes up to 4 MiB; they are repeated in every list of logs."""
    client = Client(append=HERE)
    name = b"d" * 1_000_000
    arguments = append_arguments(b"/p").replace(
        struct.pack(">I", 4) + b"demo", struct.pack(">I", len(name)) + name
    )
    assert client.call(APPEND, arguments)[1] == bytes(4)
    domain = client.handler.calls[0][4]
    assert domain.name == "d" * (MAX_NAME_CHARACTERS - 3) + "..."


@pytest.mark.parametrize(
    ("data", "answered"),
    [
        (b"", b""),
        (b"line\n", b"line\n"),
        (b"\xff\xfe\r\n", b"\xff\xfe\r\n"),
        (b"before\0after", b"before"),
        (b"\0", b""),
    ],
)
def test_read_answers_text_up_to_a_nul(data: bytes, answered: bytes) -> None:
    """As virtlogd, for which it is a string of C; all other bytes are passed through."""
    client = Client(read=excerpt(data))
    _, payload = client.call(READ, read_arguments(b"/p", 7, 3, MAX_READ))
    assert payload == struct.pack(">I", len(answered)) + answered + bytes(-len(answered) % 4)
    assert client.handler.calls == [("read", "/p", HERE, MAX_READ)]


def test_reading_nothing_answers_nothing() -> None:
    """A maxlen of 0 only asks whether there is such a log."""
    client = Client(read=excerpt(b"x"))
    _, payload = client.call(READ, read_arguments(b"/p", maxlen=0))
    assert payload == bytes(4)
    assert client.handler.calls == [("read", "/p", HERE, 1)]


def test_an_offset_that_no_file_has_is_not_read_at() -> None:
    """Up to 4 MiB would be read for an answer that is an error anyway."""
    client = Client(read=excerpt(b"x"))
    client.error(READ, read_arguments(b"/p", 7, 2**63, MAX_READ))
    assert client.handler.calls == [("read", "/p", Position(7, 2**63), 1)]


@pytest.mark.parametrize("message", [b"", b"shutting down\n", b"\xff\xff"])
def test_append_writes_the_message_and_answers_0(message: bytes) -> None:
    """The bytes as given, without a newline added."""
    client = Client(append=HERE)
    header, payload = client.call(APPEND, append_arguments(b"/p/a.log", message))
    assert header.type == MessageType.REPLY
    assert payload == bytes(4)
    assert client.handler.calls == [("append", "/p/a.log", message, "qemu", GUEST)]


def test_strings_end_at_their_first_nul() -> None:
    """Path and message are strings of C to virtlogd."""
    client = Client(append=HERE)
    client.call(APPEND, append_arguments(b"/a\0junk", b"said\0unsaid"))
    assert client.handler.calls == [("append", "/a", b"said", "qemu", GUEST)]


@pytest.mark.parametrize(
    ("procedure", "arguments", "told"),
    [
        (
            POSITION,
            position_arguments(b"/p", 1),
            (8, 63, 0, "unsupported flags (0x1) in function virLogHandlerDomainGetLogFilePosition"),
        ),
        (
            READ,
            read_arguments(b"/p", flags=1),
            (8, 63, 0, "unsupported flags (0x1) in function virLogHandlerDomainReadLogFile"),
        ),
        (
            APPEND,
            append_arguments(b"/p", flags=4),
            (8, 63, 0, "unsupported flags (0x4) in function virLogHandlerDomainAppendLogFile"),
        ),
        (
            READ,
            read_arguments(b"/p", maxlen=MAX_READ + 1, flags=1),
            (1, 7, -1, "internal error: Requested data len 4194305 is larger than maximum 4194304"),
        ),
    ],
)
def test_wrong_arguments_are_refused_without_asking(
    procedure: int, arguments: bytes, told: tuple[int, int, int, str]
) -> None:
    """Flags, and a length over the limit, which is looked at first."""
    client = Client()
    assert brief(client.error(procedure, arguments)) == told
    assert client.handler.calls == []


SEEK = "Unable to seek to inode 5 offset"


@pytest.mark.parametrize(
    ("procedure", "arguments", "answer", "told"),
    [
        (
            OPEN,
            open_arguments(b"/p/b.log"),
            SystemFailure("Unable to open file: /p/b.log", errno.ENOENT),
            (38, 0, 2, "Unable to open file: /p/b.log: No such file or directory"),
        ),
        (
            OPEN,
            open_arguments(b"/p/e.log"),
            LimitReached("no descriptors", "open_files"),
            (38, 0, 24, "Unable to open file: /p/e.log: Too many open files"),
        ),
        (
            OPEN,
            open_arguments(b"/p"),
            UnsupportedBackups("Max backup 33 must be less than or equal to 32"),
            (
                67,
                0,
                -1,
                "unsupported configuration: Max backup 33 must be less than or equal to 32",
            ),
        ),
        (
            POSITION,
            position_arguments(b"/p/none.log"),
            NoSuchLog("none"),
            (1, 63, -1, "internal error: No open log file /p/none.log"),
        ),
        (
            POSITION,
            position_arguments(b"/p"),
            NotWritten("Unable to write to file /p", errno.ENOSPC, "/p", 1),
            (38, 63, 28, "Unable to write to file /p: No space left on device"),
        ),
        (
            APPEND,
            append_arguments(b"/p"),
            NotWritten("Unable to write to file /p", errno.ENOSPC, "/p", 1),
            (38, 0, 28, "Unable to write to file /p: No space left on device"),
        ),
        (
            APPEND,
            append_arguments(b"/p"),
            NotWritten("Unable to write to file /p", errno.ETIMEDOUT, "/p", 1, "/srv"),
            (
                38,
                0,
                110,
                (
                    "Unable to write to file /p: the file system on /srv does not answer:"
                    " Connection timed out"
                ),
            ),
        ),
        (
            APPEND,
            append_arguments(b"/p/r.log"),
            SystemFailure("Unable to rename /p/r.log.0 to /p/r.log.1", errno.EISDIR),
            (38, 0, 21, "Unable to rename /p/r.log.0 to /p/r.log.1: Is a directory"),
        ),
        (
            READ,
            read_arguments(b"/p", 5, 7),
            NoSuchLog("none"),
            (38, 0, 9, f"{SEEK} 7: Bad file descriptor"),
        ),
        (
            READ,
            read_arguments(b"/p", 5, 2**64 - 1),
            NoSuchLog("none"),
            (38, 0, 9, f"{SEEK} 18446744073709551615: Bad file descriptor"),
        ),
        (
            READ,
            read_arguments(b"/p", 5, 2**63),
            excerpt(b"x"),
            (38, 0, 22, f"{SEEK} 9223372036854775808: Invalid argument"),
        ),
        (
            READ,
            read_arguments(b"/p", 5, 0),
            SystemFailure("Unable to read from file /p", errno.EISDIR),
            (38, 0, 21, "Unable to read from file /p: Is a directory"),
        ),
    ],
)
def test_failures_are_told_with_virtlogds_words(
    procedure: int,
    arguments: bytes,
    answer: LogError | Excerpt,
    told: tuple[int, int, int, str],
) -> None:
    """libvirt shows these texts to its users."""
    method = {OPEN: "open", POSITION: "position", READ: "read", APPEND: "append"}[procedure]
    client = Client()
    client.handler.answers[method] = answer
    assert brief(client.error(procedure, arguments)) == told
    assert [call[0] for call in client.handler.calls] == [method]
