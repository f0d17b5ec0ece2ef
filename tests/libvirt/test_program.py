"""A message finds its procedure by virtlogd's checks, in virtlogd's order."""

from __future__ import annotations

import pytest

from tests.libvirt.fakes import frame
from twisted_virtlog.libvirt.errors import Refused, log_failure
from twisted_virtlog.libvirt.messages import Header, MessageType, Status
from twisted_virtlog.libvirt.program import (
    Call,
    Procedure,
    Program,
    RecentCalls,
    Served,
    dispatch,
    serving,
)
from twisted_virtlog.libvirt.xdr import INT, NOTHING

COUNT: Procedure[list[int], None, int] = Procedure(
    number=2,
    name="COUNT",
    arguments=NOTHING,
    results=INT,
    ask=lambda service, _: len(service),
    present=lambda number, _: number,
    explain=lambda error, _: log_failure(error, ""),
)
SERVICE = [1, 2, 3]
PROGRAMS = serving(
    Served(Program(0x87654321, 1, [COUNT]), SERVICE), Served(Program(7, 3, []), SERVICE)
)


def header(
    program: int = 0x87654321,
    version: int = 1,
    procedure: int = 2,
    kind: int = MessageType.CALL,
    status: int = Status.OK,
) -> Header:
    """Make a header of a call to COUNT, unless told otherwise."""
    return Header(program, version, procedure, kind, 5, status)


@pytest.mark.parametrize("kind", [MessageType.CALL, MessageType.CALL_WITH_FDS])
def test_a_call_finds_its_procedure(kind: MessageType) -> None:
    """By program, version and number; with descriptors or without."""
    target = dispatch(PROGRAMS, header(kind=kind))
    assert target == (COUNT, SERVICE)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (header(program=5), "Cannot find program 5 version 1"),
        (header(version=2), "Cannot find program -2023406815 version 2"),
        (header(version=2**32 - 1), "Cannot find program -2023406815 version -1"),
        (header(program=7), "Cannot find program 7 version 1"),
        (header(program=5, kind=4), "Cannot find program 5 version 1"),
        (header(status=1), "Unexpected message status 1"),
        (header(status=2**32 - 1), "Unexpected message status 4294967295"),
        (header(procedure=0), "unknown procedure: 0"),
        (header(procedure=3), "unknown procedure: 3"),
        (header(procedure=-(2**31)), "unknown procedure: -2147483648"),
        # The order of the checks.
        (header(program=5, status=1, procedure=9), "Cannot find program 5 version 1"),
        (header(status=1, procedure=9), "Unexpected message status 1"),
    ],
)
def test_a_call_that_finds_none_is_refused(call: Header, text: str) -> None:
    """With virtlogd's text, its numbers signed or not as there."""
    with pytest.raises(Refused) as caught:
        dispatch(PROGRAMS, call)
    body = caught.value.body
    assert (body.code, body.domain, body.message) == (39, 7, text.encode())
    assert (body.str1, body.str2, body.int1, body.int2) == (b"%s", text.encode(), -1, -1)


@pytest.mark.parametrize("kind", [1, 2, 3, 5, 6, 2**32 - 1])
def test_what_is_no_call_is_ignored(kind: int) -> None:
    """Whatever else is wrong with it."""
    assert dispatch(PROGRAMS, header(kind=kind)) is None
    assert dispatch(PROGRAMS, header(kind=kind, program=5, status=1)) is None


CALL = Call(COUNT, SERVICE, None)


def key(one: bytes) -> bytes:
    """Return what a frame says but its serial, by which it is found."""
    return one[:20] + one[24:]


def test_what_a_frame_asks_for_is_known_whatever_its_serial() -> None:
    """The key has all the rest."""
    recent = RecentCalls()
    recent.add(frame(2, b"arguments"), CALL)
    assert recent == {key(frame(2, b"arguments", serial=4711)): CALL}


def test_only_short_frames_are_remembered() -> None:
    """What clients may have remembered is little."""
    recent = RecentCalls()
    recent.add(frame(2, bytes(1000)), CALL)
    assert not recent


def test_few_frames_are_remembered() -> None:
    """Whoever sends others each time takes no more memory."""
    recent = RecentCalls()
    for number in range(5000):
        recent.add(frame(2, b"%d" % number), CALL)
        assert key(frame(2, b"%d" % number)) in recent
    assert len(recent) <= 1024
