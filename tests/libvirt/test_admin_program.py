"""The admin program's procedures: what is asked of the daemon, and what is refused."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.strict_xdr import decode
from tests.effort import examples
from tests.fakes.administration import FakeDaemon
from tests.libvirt.fakes import AdminClient, frame, string
from twisted_virtlog.config.logging import parse_filters
from twisted_virtlog.libvirt.admin_program import ADMIN_PROGRAM
from twisted_virtlog.libvirt.messages import Status

SERVER = string(b"virtlogd")
NO_FLAGS = bytes(4)
VERSION = 3


def uint(value: int) -> bytes:
    """Write a word."""
    return struct.pack(">I", value)


def client_argument(number: int, server: bytes = b"virtlogd") -> bytes:
    """Write a client as an argument."""
    return string(server) + struct.pack(">QqI", number, 0, 0)


def results(client: AdminClient, procedure: int, payload: bytes = b"") -> Any:
    """Call a procedure that succeeds; give its results."""
    header, body = client.call(procedure, payload)
    assert header.status == Status.OK
    return decode(ADMIN_PROGRAM.procedures[procedure].results, body)


def values(parameters: Any) -> dict[str, object]:
    """Return typed parameters as a dict of names and values."""
    return {one.field.decode(): one.value.value for one in parameters.params}


def test_there_are_twenty_procedures() -> None:
    """Those of libvirt 11.2, one for each number; 9.0.0 has all but the last."""
    assert sorted(ADMIN_PROGRAM.procedures) == list(range(1, 21))


def test_after_the_last_answer_the_connection_is_closed() -> None:
    """What was sent behind CONNECT_CLOSE is not answered."""
    client = AdminClient(FakeDaemon())
    client.send(b"".join(frame(number, program=ADMIN_PROGRAM.number) for number in (3, 2, 3)))
    assert [header.procedure for header, _ in client.frames] == [3, 2]
    assert client.connection.closed


def test_clients_are_told_and_counted() -> None:
    """All of a server, in order of arrival; or only how many."""
    daemon = FakeDaemon()
    daemon.connect(7, 3)
    client = AdminClient(daemon)
    listed = results(client, 8, SERVER + uint(1) + NO_FLAGS)
    assert ([one.id for one in listed.clients], listed.ret) == ([7, 3], 2)
    counted = results(client, 8, SERVER + uint(0) + NO_FLAGS)
    assert (counted.clients, counted.ret) == ((), 2)


def test_many_clients_are_told_of_in_slices() -> None:
    """The answer is the same; whoever leaves meanwhile is still in it."""
    daemon = FakeDaemon()
    daemon.connect(*range(1, 101))
    client = AdminClient(daemon)
    at_once = client.call(8, SERVER + uint(1) + NO_FLAGS)
    client.slices.later = True
    assert client.call(8, SERVER + uint(1) + NO_FLAGS) == at_once
    client.conversation.data_received(
        frame(8, SERVER + uint(1) + NO_FLAGS, program=ADMIN_PROGRAM.number)
    )
    assert client.conversation.waiting
    daemon.servers[0].clients.clear()
    client.slices.take_all()
    assert client.frames[-1] == at_once
    listed = decode(ADMIN_PROGRAM.procedures[8].results, at_once[1])
    assert ([one.id for one in listed.clients], listed.ret) == ([*range(1, 101)], 100)
    assert results(client, 8, SERVER + uint(0) + NO_FLAGS).ret == 0


def test_too_many_clients_are_an_error() -> None:
    """An answer has room for 16384, as libvirt's client has."""
    daemon = FakeDaemon()
    daemon.connect(*range(1, 16385))
    client = AdminClient(daemon)
    assert len(results(client, 8, SERVER + uint(1) + NO_FLAGS).clients) == 16384
    daemon.connect(20000)
    for needed in (0, 1):
        error = client.error(8, SERVER + uint(needed) + NO_FLAGS)
        assert error.message == b"internal error: Too many clients '16385' for limit '16384'"


def test_a_user_without_a_name_is_told_by_number() -> None:
    """The parameter of the name is left out; a number above an int's is negative, as libvirt's."""
    daemon = FakeDaemon()
    daemon.connect(1, uid=2**32 - 7)
    facts = values(results(AdminClient(daemon), 10, client_argument(1) + NO_FLAGS))
    assert facts == {
        "readonly": 0,
        "unix_user_id": -7,
        "unix_group_id": 0,
        "unix_group_name": b"root",
        "unix_process_id": 2168,
    }


def test_a_client_is_disconnected() -> None:
    """And is not there any more."""
    daemon = FakeDaemon()
    daemon.connect(1, 2)
    client = AdminClient(daemon)
    results(client, 11, client_argument(1) + NO_FLAGS)
    assert list(daemon.servers[0].clients) == [2]
    assert client.error(11, client_argument(1) + NO_FLAGS).message == (
        b"Client not found: No client with matching ID '1'"
    )


def test_the_timeout_is_set() -> None:
    """In seconds, any that fit into a word."""
    daemon = FakeDaemon()
    client = AdminClient(daemon)
    for seconds in (600, 0, 2**32 - 1):
        results(client, 19, uint(seconds) + NO_FLAGS)
    assert daemon.timeouts == [600, 0, 2**32 - 1]


@pytest.mark.parametrize("flags", [0, 1])
def test_the_daemon_is_shut_down(flags: int) -> None:
    """With and without the flag that asks for the state to be preserved."""
    daemon = FakeDaemon()
    results(AdminClient(daemon), 20, uint(flags))
    assert daemon.shutdowns == 1


@pytest.mark.parametrize("flags", [2, 3])
def test_other_flags_of_a_shutdown_are_refused(flags: int) -> None:
    """The error names those that are not known."""
    daemon = FakeDaemon()
    error = AdminClient(daemon).error(20, uint(flags))
    assert (error.code, error.domain) == (8, 62)
    assert error.message == b"unsupported flags (0x2) in function adminConnectDaemonShutdown"
    assert daemon.shutdowns == 0


def test_an_embedded_daemon_has_no_log_to_set() -> None:
    """The error says who has, for each of the four procedures; the others work."""
    client = AdminClient(FakeDaemon(has_own_log=False))
    for number, payload in ((14, b""), (15, b""), (16, uint(0)), (17, uint(0))):
        error = client.error(number, payload + NO_FLAGS)
        assert error.code == 67
        assert b"runs inside another application" in (error.message or b"")
    assert results(client, VERSION).libVer == 9000000


@pytest.mark.lengthy
def test_settings_too_long_for_an_answer_are_an_error() -> None:
    """Filters from the configuration may be many; the connection goes on."""
    daemon = FakeDaemon()
    daemon.own_log.change(filters=parse_filters("1:a ") * 800_000)
    client = AdminClient(daemon)
    assert b"do not fit into an answer" in (client.error(15, NO_FLAGS).message or b"")
    assert results(client, VERSION).libVer == 9000000


def test_a_filter_that_is_no_utf8_is_told_in_its_bytes() -> None:
    """A filter is bytes to libvirt."""
    client = AdminClient(FakeDaemon())
    results(client, 17, uint(1) + string(b"1:\xff") + NO_FLAGS)
    assert results(client, 15, NO_FLAGS).filters == b"1:*\xff* "


@pytest.mark.parametrize("procedure", sorted(set(ADMIN_PROGRAM.procedures) - {2, 3, 5}))
def test_flags_are_refused(procedure: int) -> None:
    """By the name of libvirt's function; only the look-up of a server takes any."""
    daemon = FakeDaemon()
    daemon.connect(1)
    arguments = {
        **dict.fromkeys((6, 12, 18), SERVER),
        **dict.fromkeys((7, 13), SERVER + uint(0)),
        4: uint(0),
        8: SERVER + uint(0),
        9: SERVER + bytes(8),
        10: client_argument(1),
        11: client_argument(1),
        16: uint(0),
        17: uint(0),
        19: uint(600),
    }
    client = AdminClient(daemon)
    error = client.error(procedure, arguments.get(procedure, b"") + uint(0x80000000))
    assert (error.code, error.domain, error.str2) == (8, 62, b"flags")
    assert (error.message or b"").startswith(b"unsupported flags (0x80000000) in function admin")
    assert daemon.timeouts == []
    assert list(daemon.servers[0].clients) == [1]
    looked_up = results(client, 5, SERVER + uint(7))
    assert looked_up.srv.name == b"virtlogd"


texts = st.one_of(st.binary(max_size=40), st.sampled_from([b"virtlogd", b"maxWorkers", b"1:x"]))
pieces = st.one_of(
    texts.map(string), st.integers(0, 40).map(uint), st.just(uint(2**32 - 1)), st.binary(max_size=9)
)
calls = st.tuples(st.integers(0, 21), st.lists(pieces, max_size=8).map(b"".join), st.integers(0, 1))


@settings(max_examples=examples(100))
@given(st.lists(calls, max_size=6))
def test_any_call_is_answered(made: list[tuple[int, bytes, int]]) -> None:
    """With results or a named error, and the connection is closed by CONNECT_CLOSE alone."""
    daemon = FakeDaemon()
    daemon.connect(*range(1, 4))
    client = AdminClient(daemon)
    for procedure, payload, status in made:
        if not client.connection.closed:
            header, body = client.call(procedure, payload, status=status)
            assert header.procedure == procedure
            assert b"the daemon's log says more" not in body
            assert client.connection.closed == (procedure == 2 and not status)
