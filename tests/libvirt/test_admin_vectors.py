"""Every recorded message of libvirt's admin program is read right and written back to the byte."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import LogEvent

from harness.strict_xdr import decode, decode_known_header, encode
from tests.fakes.administration import FakeDaemon
from tests.libvirt.fakes import AdminClient
from twisted_virtlog.config.logging import parse_filters, parse_outputs
from twisted_virtlog.daemon.log.sink import Sink
from twisted_virtlog.errors import OutputError
from twisted_virtlog.libvirt.admin_program import ADMIN_PROGRAM
from twisted_virtlog.libvirt.compound import Arm
from twisted_virtlog.libvirt.framing import HEADER_BYTES
from twisted_virtlog.libvirt.messages import (
    ERROR_BODY,
    MessageType,
    Status,
    encode_frame,
)
from twisted_virtlog.libvirt.typed_params import TypedParameter
from twisted_virtlog.libvirt.xdr import NOTHING, UnknownArm, XDRError, XDRType
from twisted_virtlog.values import Output

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "admin.json").read_text()
)["vectors"]

#: Made by hand to be wrong: what a strict reader says of their arguments.
WRONG = {
    "adm.set_threadpool.bad_discriminant.call": UnknownArm,
    # (of procedure 20, which libvirt 9.0.0 does not have)
    "adm.unknown_procedure.call": XDRError,
}


def payload_type(vector: dict[str, Any]) -> XDRType[Any]:
    """Return what a message's payload is, by its header."""
    header = vector["decoded"]["header"]
    if header["status"] == Status.ERROR:
        return ERROR_BODY
    procedure = ADMIN_PROGRAM.procedures.get(header["procedure"])
    if int(header["program"], 16) != ADMIN_PROGRAM.number or procedure is None:
        return NOTHING
    return procedure.arguments if header["type"] == MessageType.CALL else procedure.results


def plain(value: Any) -> Any:
    """Return a value in the form of the records: text for bytes, an object for a record."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, tuple) and not isinstance(value, Arm):
        return [plain(one) for one in value]
    if isinstance(value, TypedParameter):
        return {"field": plain(value.field), "value": plain(value.value.value)}
    if hasattr(value, "__struct_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    return value


def recorded(payload: Any) -> Any:
    """Return a record without the names of parameters' types."""
    if isinstance(payload, list):
        return [recorded(one) for one in payload]
    if isinstance(payload, dict):
        told = {name: recorded(one) for name, one in payload.items()}
        if "field" in told:
            del told["type"]
        return told
    return payload


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_recorded_message_round_trips(vector: dict[str, Any]) -> None:
    """What virt-admin and virtlogd send is understood, and what is sent is what they send."""
    data = bytes.fromhex(vector["hex"])
    header = decode_known_header(data)
    kind = payload_type(vector)
    if vector["name"] in WRONG:
        with pytest.raises(WRONG[vector["name"]]):
            decode(kind, data, HEADER_BYTES)
        return
    if kind is NOTHING:
        assert vector["decoded"]["payload"] in ({}, None) or "log_program" in vector["name"]
        return
    value = decode(kind, data, HEADER_BYTES)
    assert encode_frame(header, [encode(kind, value)]) == data
    assert plain(value) == recorded(vector["decoded"]["payload"])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_recorded_message_cut_short_is_refused_by_name(vector: dict[str, Any]) -> None:
    """Wherever a payload ends early, an XDRError says so."""
    data = bytes.fromhex(vector["hex"])
    kind = payload_type(vector)
    if kind is not NOTHING:
        for length in range(HEADER_BYTES, len(data)):
            with pytest.raises(XDRError):
                decode(kind, data[:length], HEADER_BYTES)


def _two_clients(daemon: FakeDaemon) -> None:
    daemon.connect(17, 18, pid=4502)


def _one_client(daemon: FakeDaemon) -> None:
    daemon.connect(18)


def _no_threads(daemon: FakeDaemon) -> None:
    daemon.pool.min = daemon.pool.max = 0
    daemon.pool.waiters, daemon.pool.working = [], []
    daemon.pool._queue.waiting = 0


def _unauthenticated(daemon: FakeDaemon) -> None:
    daemon.servers[0].limit(50, 20)


def _two_filters(daemon: FakeDaemon) -> None:
    daemon.own_log.change(filters=parse_filters("1:util 4:rpc"))


def _two_outputs(daemon: FakeDaemon) -> None:
    outputs = parse_outputs("1:file:/var/log/libvirt/virtlogd.log 4:stderr")
    daemon.own_log.change(outputs=outputs)


#: What is so when a call is made.
STATES: dict[str, Callable[[FakeDaemon], None]] = {
    "adm.server_get_threadpool_parameters.reply": _no_threads,
    "adm.server_set_threadpool_parameters.error.max": _no_threads,
    "adm.server_set_threadpool_parameters.error.min": _no_threads,
    "adm.server_set_client_limits.error.unauth_gt_max": _unauthenticated,
    "adm.server_get_client_limits.reply": _two_clients,
    "adm.server_list_clients.reply": _two_clients,
    "adm.server_lookup_client.reply": _two_clients,
    "adm.server_lookup_client.reply.no_identity": _two_clients,
    "adm.client_get_info.reply": _two_clients,
    "adm.client_close.reply": _two_clients,
    "adm.server_list_clients.reply.count_only": _one_client,
    "adm.server_list_clients.none.reply": _one_client,
    "adm.connect_get_logging_filters.reply.two": _two_filters,
    "adm.connect_get_logging_outputs.reply.two": _two_outputs,
}

#: Answers in which this daemon differs; see doc/differences.md.
DIFFERENT = {
    "adm.client_get_info.error.no_identity": "a client always has an identity",
    "adm.get_outputs_when_none.reply": "blanks set the default output",
    "adm.unknown_procedure.reply": "procedure 20 came with libvirt 11.2",
}

#: The call to this answer was not recorded.
WITHOUT_CALL = "adm.connect_lookup_server.error.nosuch"


def exchanges() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Pair each recorded answer with the last call of its procedure before it."""
    found = []
    calls: dict[int, dict[str, Any]] = {}
    for vector in VECTORS:
        header = vector["decoded"]["header"]
        if header["type"] == MessageType.CALL:
            calls[header["procedure"]] = vector
        elif vector["name"] != WITHOUT_CALL:
            found.append((calls[header["procedure"]], vector))
    return found


class NoSink(Sink):
    """Takes a file's place, so that a test writes none."""

    def write(self, event: LogEvent) -> None:
        """See Sink."""

    def close(self) -> None:
        """See Sink."""


def open_no_output(output: Output, *_: object) -> Sink:
    """Open an output that goes nowhere; the directory nodir does not exist."""
    if "/nodir/" in output.argument:
        raise OutputError(f"failed to open {output.argument}", errno.ENOENT)
    return NoSink()


@pytest.mark.parametrize(("call", "reply"), exchanges(), ids=lambda vector: vector["name"])
def test_a_recorded_call_is_answered_as_virtlogd_did(
    monkeypatch: pytest.MonkeyPatch, call: dict[str, Any], reply: dict[str, Any]
) -> None:
    """Given the same state of the daemon, the answer is the same to the byte."""
    monkeypatch.setattr("twisted_virtlog.daemon.log.observer.open_output", open_no_output)
    daemon = FakeDaemon()
    STATES.get(reply["name"], lambda _: None)(daemon)
    client = AdminClient(daemon)
    client.send(bytes.fromhex(call["hex"]))
    same = client.connection.output == bytes.fromhex(reply["hex"])
    assert same != (reply["name"] in DIFFERENT)
    closes = reply["name"] == "adm.connect_close.reply"
    assert client.connection.closed == closes


def test_every_exception_is_among_the_recorded() -> None:
    """The exceptions above are of messages that are really tried."""
    names = {vector["name"] for vector in VECTORS}
    assert {*WRONG, *STATES, *DIFFERENT, WITHOUT_CALL} <= names
