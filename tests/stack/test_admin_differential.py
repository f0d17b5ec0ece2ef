"""The same calls of the admin program, wrong ones above all, are answered alike by virtlogd."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator

import pytest

from tests.stack import admin_socket
from tests.stack.rpc_client import ADMIN_PROGRAM, Answer, frame, string, uhyper, uint
from tests.stack.sides import Pair, Side, both

pytestmark = pytest.mark.libvirt

Call = tuple[int, bytes]

#: The number of the procedure that lists a server's clients.
_CLIENTS = 8


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both daemons."""
    with both(tmp_path_factory.mktemp("pair")) as started:
        for side in started:
            admin_socket.wait_until_it_answers(side)
        yield started


def parameter(name: bytes, value: int | bytes = 0, kind: int = 2) -> bytes:
    """Write a typed parameter."""
    forms = {1: ">i", 2: ">I", 3: ">q", 4: ">Q", 5: ">d", 6: ">i"}
    data = string(value) if isinstance(value, bytes) else struct.pack(forms[kind], value)
    return string(name) + uint(kind) + data


def parameters(*ones: bytes) -> bytes:
    """Write an array of typed parameters."""
    return uint(len(ones)) + b"".join(ones)


def client(server: bytes, number: int) -> bytes:
    """Write a client as an argument; its time and transport do not matter."""
    return string(server) + uhyper(number) + uhyper(77) + uint(7)


PARAMETER_LISTS = {
    "none": parameters(),
    "unknown": parameters(parameter(b"foo")),
    "two unknown, unsorted": parameters(parameter(b"zoo"), parameter(b"foo")),
    "unknown before wrong type": parameters(parameter(b"minWorkers", 0, 1), parameter(b"aoo")),
    "wrong type before unknown": parameters(parameter(b"zoo"), parameter(b"minWorkers", 0, 1)),
    "twice": parameters(parameter(b"minWorkers"), parameter(b"minWorkers")),
    "twice, first of wrong type": parameters(
        parameter(b"minWorkers", 0, 4), parameter(b"minWorkers")
    ),
    "twice, second of wrong type": parameters(
        parameter(b"minWorkers"), parameter(b"minWorkers", 0, 4)
    ),
    "limits, wrong type": parameters(parameter(b"nclients_max", 0, 6)),
    "limits, twice": parameters(*[parameter(b"nclients_unauth_max", 5)] * 2),
    "not to be set": parameters(parameter(b"nclients", 1)),
    "workers not to be set": parameters(parameter(b"nWorkers", 1)),
    "long name": parameters(parameter(b"n" * 79)),
    "longer name": parameters(parameter(b"n" * 80)),
    "longer name behind another": parameters(parameter(b"foo"), parameter(b"n" * 80)),
    "empty name": parameters(parameter(b"")),
    "name with a NUL": parameters(parameter(b"prioWorkers\0xx", 3)),
    "no UTF-8": parameters(parameter(b"\xff\xfe")),
    "string": parameters(parameter(b"maxWorkers", b"5", 7)),
    "32": parameters(*[parameter(b"foo")] * 32),
    "33": parameters(*[parameter(b"foo")] * 33),
    "no such type": parameters(string(b"minWorkers") + uint(8) + uint(0)),
    "min above max": parameters(parameter(b"minWorkers", 7), parameter(b"maxWorkers", 3)),
    "unauthenticated above": parameters(
        parameter(b"nclients_max", 4), parameter(b"nclients_unauth_max", 5)
    ),
    "equal limits": parameters(
        parameter(b"nclients_unauth_max", 900), parameter(b"nclients_max", 900)
    ),
    "highest": parameters(parameter(b"nclients_max", 2**32 - 1)),
}

SERVERS = (b"virtlogd", b"nosuch", b"", b"virtlogd\0x", b"\xff")
FLAGS = (0, 1, 0x80000000)

TEXTS = (
    None,
    b"",
    b"bad",
    b"9:foo",
    b"1:",
    b"1:util 4:rpc",
    b"1:+util",
    b"1:a:b",
    b"1:\ttab 2:x",
    b"  1:x  2:y ",
    b"x:",
    b":",
    b"1:\xff",
    b"3:stderr",
    b"7:stderr",
    b"3:foo",
    b"3:file",
    b"3:file:",
    b"3:stderr:x",
    b"3:file:/no/such/directory/x.log",
    b"3:file:relative.log",
    b"2:file:/run/a.log 4:file:/run/a.log 3:stderr",
    b"3:syslog",
)


def text(value: bytes | None) -> bytes:
    """Write an optional string."""
    return uint(0) if value is None else uint(1) + string(value)


def calls() -> Iterator[tuple[str, list[Call]]]:
    """Give calls, and where they change something the call that shows it."""
    for flags in FLAGS:
        yield f"open, flags {flags:#x}", [(1, uint(flags))]
        for needed in (0, 1, 2):
            for server in SERVERS:
                payload = string(server) + uint(needed) + uint(flags)
                yield f"clients of {server!r}, {needed}, flags {flags:#x}", [(_CLIENTS, payload)]
        for server, number in itertools.product(SERVERS, (5, 6, 18, 12)):
            if (server.partition(b"\0")[0], number, flags) in {
                (b"virtlogd", 6, 0),
                (b"virtlogd", 12, 0),
            }:
                continue
            yield (
                f"{number}: {server!r}, flags {flags:#x}",
                [(number, string(server) + uint(flags))],
            )
        for server, number in itertools.product(SERVERS, (0, 99, 2**64 - 1)):
            yield (
                f"client {number} of {server!r}, flags {flags:#x}",
                [
                    (9, string(server) + uhyper(number) + uint(flags)),
                    (10, client(server, number) + uint(flags)),
                    (11, client(server, number) + uint(flags)),
                ],
            )
        if flags:
            yield f"info, flags {flags:#x}", [(10, client(b"virtlogd", 2) + uint(flags))]
            yield f"close, flags {flags:#x}", [(11, client(b"virtlogd", 2) + uint(flags))]
            yield f"look up, flags {flags:#x}", [(9, string(b"virtlogd") + uhyper(2) + uint(flags))]
        yield f"timeout, flags {flags:#x}", [(19, uint(0) + uint(flags))]
        for (name, ones), server in itertools.product(PARAMETER_LISTS.items(), SERVERS):
            for number in (7, 13):
                payload = string(server) + ones + uint(flags)
                yield f"{number}: {name}, {server!r}, flags {flags:#x}", [(number, payload)]
        for value in TEXTS:
            yield (
                f"filters {value!r}, flags {flags:#x}",
                [(17, text(value) + uint(flags)), (15, uint(0))],
            )
            yield (
                f"outputs {value!r}, flags {flags:#x}",
                [(16, text(value) + uint(flags)), (14, uint(0))],
            )


def timeless(answer: Answer) -> Answer:
    """Return an answer that lists clients without when they came: each side has its own second."""
    listed = answer.result
    if not isinstance(listed, bytes):
        return answer
    (count,) = struct.unpack_from(">I", listed)
    at = 4
    for _ in range(count):
        (size,) = struct.unpack_from(">I", listed, at)
        # (the server's name, the client's number, the time, the transport)
        at += 4 + size + -size % 4 + 8
        listed = listed[:at] + bytes(8) + listed[at + 8 :]
        at += 8 + 4
    assert at + 4 == len(listed)
    return answer._replace(result=listed)


def answers(side: Side, asked: list[Call]) -> list[Answer]:
    """Make calls on one connection."""
    with admin_socket.connect(side) as connection:
        told = []
        for number, payload in asked:
            connection.send(frame(number, payload, program=ADMIN_PROGRAM))
            answer = connection.receive()
            told.append(timeless(answer) if number == _CLIENTS else answer)
        return told


@pytest.fixture(scope="module")
def held(pair: Pair) -> Iterator[None]:
    """Keep clients: on both sides the one with number 2."""
    with pair.theirs.connect(), pair.ours.connect():
        yield


#: What differs; see doc/differences.md.
DIFFERENT = {"outputs b'3:file:', flags 0x0"}


@pytest.mark.usefixtures("held")
def test_both_answer_alike(pair: Pair) -> None:
    """To the byte, errors too, however wrong the call is."""
    differing = {
        name for name, asked in calls() if answers(pair.ours, asked) != answers(pair.theirs, asked)
    }
    assert differing == DIFFERENT


@pytest.mark.usefixtures("held")
@pytest.mark.slow
def test_both_find_the_same_arguments_too_short(pair: Pair) -> None:
    """Wherever they end."""
    # (flags are the same to all of them)
    for name, asked in [one for one in calls() if one[0].endswith("flags 0x0")]:
        (number, payload), *_ = asked
        short = [(number, payload[:size]) for size in range(0, len(payload), 2)]
        assert answers(pair.ours, short) == answers(pair.theirs, short), name


def test_both_close_alike(pair: Pair) -> None:
    """After the answer to CONNECT_CLOSE nothing more is answered; nor to who closes itself."""
    for side in pair:
        with admin_socket.connect(side) as connection:
            calls = [frame(number, program=ADMIN_PROGRAM) for number in (3, 2, 3)]
            connection.send(b"".join(calls))
            assert [connection.receive().header.procedure for _ in range(2)] == [3, 2]
            assert connection.rest() == b""
        with admin_socket.connect(side) as connection:
            listing = string(b"admin") + uint(1) + uint(0)
            connection.send(frame(8, listing, program=ADMIN_PROGRAM))
            answer = connection.receive().result
            assert isinstance(answer, bytes)
            me = struct.unpack(">Q", answer[-24:-16])[0]
            payload = client(b"admin", me) + uint(0)
            connection.send(frame(11, payload, program=ADMIN_PROGRAM))
            assert connection.rest() == b""
