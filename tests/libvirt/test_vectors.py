"""Every message recorded from the real programs is read right and written back to the byte."""

from __future__ import annotations

import itertools
import os
from typing import Any

import pytest

from harness.strict_xdr import SurplusBytes, decode, decode_known_header, encode
from tests.libvirt.fakes import Client
from tests.libvirt.recorded import TRANSCRIPTS, VECTORS, handler_answer, leaves
from twisted_virtlog.libvirt.framing import HEADER_BYTES, FrameStream
from twisted_virtlog.libvirt.log_program import LOG_PROGRAM
from twisted_virtlog.libvirt.messages import (
    ERROR_BODY,
    MessageType,
    Status,
    decode_descriptor_count,
    encode_descriptor_count,
    encode_frame,
)
from twisted_virtlog.libvirt.xdr import (
    NOTHING,
    ShortPayload,
    XDRError,
    XDRType,
)

RECORDED = VECTORS + [
    {**event, "name": f"{transcript['name']}.{index}"}
    for transcript in TRANSCRIPTS
    for index, event in enumerate(transcript["events"])
    if event["event"] == "message"
]

#: Made by hand to be wrong: what a strict reader says of their arguments.
WRONG = {
    "log.malformed_payload.call": ShortPayload,
    "log.trailing_bytes.call": SurplusBytes,
}

CALLS = (MessageType.CALL, MessageType.CALL_WITH_FDS)
WITH_FDS = (MessageType.CALL_WITH_FDS, MessageType.REPLY_WITH_FDS)


def payload_type(vector: dict[str, Any]) -> XDRType[Any]:
    """Return what a message's payload is, by its header."""
    header = vector["decoded"]["header"]
    if header["status"] == Status.ERROR and header["type"] not in CALLS:
        return ERROR_BODY
    procedure = LOG_PROGRAM.procedures.get(header["procedure"])
    program = int(header["program"], 16)
    if (program, header["version"]) != (LOG_PROGRAM.number, 1) or procedure is None:
        return NOTHING
    return procedure.arguments if header["type"] in CALLS else procedure.results


@pytest.mark.parametrize("vector", RECORDED, ids=lambda vector: vector["name"])
def test_a_recorded_message_round_trips(vector: dict[str, Any]) -> None:
    """What the real programs send is understood, and what is sent is what they send."""
    data = bytes.fromhex(vector["hex"])
    stream = FrameStream()
    for index in range(len(data)):
        assert stream.next_frame() is None
        stream.feed(data[index : index + 1])
    frame = stream.next_frame()
    assert frame == data

    header = decode_known_header(frame)
    told = vector["decoded"]["header"]
    assert (header.program, header.version) == (int(told["program"], 16), told["version"])
    assert (header.procedure, header.type) == (told["procedure"], told["type"])
    assert (header.serial, header.status) == (told["serial"], told["status"])

    payload_at, parts = HEADER_BYTES, []
    if header.type in WITH_FDS:
        count = decode_descriptor_count(frame)
        assert count == vector["fds"] == vector["decoded"]["nfds"]
        payload_at += 4
        parts.append(encode_descriptor_count(count))

    kind = payload_type(vector)
    if vector["name"] in WRONG:
        with pytest.raises(WRONG[vector["name"]]):
            decode(kind, frame, payload_at)
        return
    value = decode(kind, frame, payload_at)
    assert encode_frame(header, [*parts, encode(kind, value)]) == data
    payload = vector["decoded"]["payload"]
    if payload is not None:
        for name, recorded in leaves(payload).items():
            field = value if name in {"data", "ret"} else getattr(value, name)
            if isinstance(recorded, bytes) and isinstance(field, tuple):
                field = b"".join(field)
            if isinstance(recorded, bytes) and isinstance(field, str):
                field = os.fsencode(field)
            assert field == recorded


def test_every_wrong_message_is_among_the_recorded() -> None:
    """The exceptions above are of messages that are really tried."""
    assert set(WRONG) <= {vector["name"] for vector in RECORDED}


@pytest.mark.parametrize("vector", RECORDED, ids=lambda vector: vector["name"])
def test_a_recorded_message_cut_short_is_refused_by_name(vector: dict[str, Any]) -> None:
    """Wherever a payload ends early, an XDRError says so."""
    data = bytes.fromhex(vector["hex"])
    kind = payload_type(vector)
    payload_at = HEADER_BYTES + 4 * (vector["decoded"]["header"]["type"] in WITH_FDS)
    for length in range(payload_at, len(data)):
        if vector["name"] in WRONG or kind is NOTHING:
            continue
        with pytest.raises(XDRError):
            decode(kind, data[:length], payload_at)


def pairs() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Pair each recorded call with virtlogd's answer, where both were recorded."""
    return [
        (call, reply)
        for call, reply in itertools.pairwise(VECTORS)
        if (call["direction"], reply["direction"]) == ("client->server", "server->client")
    ]


@pytest.mark.parametrize(("call", "reply"), pairs(), ids=lambda vector: vector["name"])
def test_a_recorded_call_is_answered_as_virtlogd_did(
    call: dict[str, Any], reply: dict[str, Any], write_end: int
) -> None:
    """Given the same state of the logs, the answer is the same to the byte."""
    client = Client(**handler_answer(reply, write_end))
    client.send(bytes.fromhex(call["hex"]) + bytes.fromhex(call.get("fd_bytes", "")))
    expected = bytes.fromhex(reply["hex"])
    if call["name"] == "log.open_with_fds.call":
        # virtlogd gives the caller's own descriptor back, before its pipe. We do not.
        expected = expected.replace(b"\0\0\0\x02\0\0\0\0", b"\0\0\0\x01\0\0\0\0")
    sent = client.connection.sent
    assert sent[0] == (expected, ())
    assert sent[1:] == [(b"\0", (write_end,))] * min(1, reply.get("fds", 0))


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda transcript: transcript["name"])
@pytest.mark.parametrize("split", [1, 7, 1000])
def test_libvirt_and_qemu_are_answered_as_by_virtlogd(
    transcript: dict[str, Any], split: int, write_end: int
) -> None:
    """The recorded life of guests goes the same way with this daemon."""
    client = Client()
    calls = []
    for event, answer in itertools.pairwise(transcript["events"]):
        if event["event"] == "connect":
            client = Client()
        if event.get("direction") != "client->server":
            continue
        client.handler.answers = handler_answer(answer, write_end)
        before = len(client.connection.sent)
        data = bytes.fromhex(event["hex"])
        for start in range(0, len(data), split):
            assert client.connection.sent[before:] == []
            client.send(data[start : start + split])
        expected: list[tuple[bytes, tuple[int, ...]]] = [(bytes.fromhex(answer["hex"]), ())]
        expected += [(b"\0", (write_end,))] * answer.get("fds", 0)
        assert client.connection.sent[before:] == expected
        payload = event["decoded"]["payload"]
        calls.append((client.handler.calls[-1][1], payload["path"]))
    assert calls
    assert all(asked == path for asked, path in calls)
