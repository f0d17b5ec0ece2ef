"""The hand-over document: ours, virtlogd's, and those of releases before and after this one."""

from __future__ import annotations

import base64
import contextlib
import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.handover.state import (
    VERSION,
    ClientState,
    ConnectionState,
    DaemonState,
    Details,
    LogDetails,
    LoggingState,
    OpenLogState,
    OutageState,
    ServerState,
    ServiceState,
    SocketState,
    StateError,
    Stranded,
    Totals,
    decode,
    encode,
    encoded,
    needed_version,
)
from twisted_virtlog.values import (
    Domain,
    FollowerState,
    LogState,
    LogStatus,
    Position,
    Queued,
    SubscriptionState,
    Suspended,
    TrailPart,
    Watched,
    WatchKind,
)

VECTORS = Path(__file__).parents[1] / "vectors"
NOW = datetime(2026, 11, 23, 9, 34, 9, 908000, tzinfo=timezone.utc)

#: A daemon in the middle of everything.
BUSY = DaemonState(
    pid=4711,
    servers={
        "virtlogd": ServerState(
            max_clients=7,
            next_client_id=12,
            services=(ServiceState((SocketState(4, bound=True, file=(2, 3)),)),),
            clients=(
                ClientState(
                    11,
                    1795445826,
                    SocketState(9, is_client=True),
                    ConnectionState(
                        Suspended(received=b"\0\0\0\x1c\x87\x53", input_ended=True),
                        (Queued(b"\xff\0answer"), Queued(b"\0", (10,))),
                    ),
                ),
            ),
            max_anonymous_clients=6,
            priority_workers=2,
        ),
        "admin": ServerState(max_clients=5000, services=(ServiceState((SocketState(5),)),)),
        "jsonrpc": ServerState(
            max_clients=1024,
            next_client_id=3,
            services=(ServiceState((SocketState(6, bound=True),)),),
            clients=(
                ClientState(
                    2,
                    1795445827,
                    SocketState(12, is_client=True),
                    ConnectionState(
                        Suspended(
                            received=b'{"jsonrpc"',
                            skipping=17,
                            batch=b'[{"jsonrpc":"2.0","method":"log.list"}]',
                            batch_begun=True,
                        ),
                        closing=True,
                    ),
                ),
            ),
        ),
    },
    logs=(
        OpenLogState(
            20,
            "/var/log/libvirt/qemu/d\u00e9.log",
            "qemu",
            "d\u00e9",
            "c7a5fdbd-edaf-9455-926a-d65c16db1809",
            LogDetails(
                opened_at=NOW,
                file="/data/d.log",
                real_path="/data/d.log",
                bytes_written=1 << 40,
                rollovers=9,
                lost_bytes=100,
                outage=OutageState(NOW, 50, "Unable to write to file /data/d.log", 28),
                steps_left=2,
            ),
        ),
        OpenLogState(
            21,
            "/tmp/no\udcffutf8.log",
            "none",
            details=LogDetails(
                opened_at=NOW,
                file="/tmp/no\udcffutf8.log",
                real_path="/tmp/no\udcffutf8.log",
                has_domain=False,
            ),
        ),
    ),
    details=Details(
        version=1,
        started_at=NOW,
        started=1234.5,
        totals=Totals(5, 1 << 41, 7, 8),
        logging=LoggingState(2, ((1, "*logs*"),), ((3, "stderr", ""), (1, "file", "/x.log"))),
        timeout=30,
        workers=(0, 20),
    ),
)


def _without_kept_apart(state: DaemonState) -> DaemonState:
    """Leave out what the details repeat of servers that virtlogd does not have."""
    details = state.details and msgspec.structs.replace(state.details, servers={})
    return msgspec.structs.replace(state, details=details)


def test_what_is_written_is_read() -> None:
    """Everything comes back, bytes and names of every kind."""
    assert _without_kept_apart(decode(encode(BUSY))) == BUSY


_NUMBERS = st.integers(0, 2**31 - 1)
_NAMES = st.binary(max_size=40).map(os.fsdecode)
_TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
_TIMES = st.datetimes(timezones=st.just(timezone.utc))
_QUEUED = st.builds(Queued, st.binary(), st.lists(_NUMBERS, max_size=3).map(tuple))
_CONNECTIONS = st.builds(
    ConnectionState,
    st.builds(
        Suspended,
        received=st.binary(),
        skipping=st.none() | st.integers(0, 1 << 24),
        lost=st.booleans(),
        batch=st.none() | st.binary(),
        batch_begun=st.booleans(),
        input_ended=st.booleans(),
        closed=st.booleans(),
    ),
    st.lists(_QUEUED, max_size=3).map(tuple),
    st.booleans(),
    st.integers(0, 1024),
)
_SOCKETS = st.builds(
    SocketState,
    _NUMBERS,
    bound=st.booleans(),
    file=st.none() | st.tuples(_NUMBERS, st.integers(0, 2**63)),
)
_CLIENTS = st.builds(ClientState, _NUMBERS, _NUMBERS, _SOCKETS, st.none() | _CONNECTIONS)
_SERVERS = st.builds(
    ServerState,
    _NUMBERS,
    _NUMBERS,
    st.builds(ServiceState, st.lists(_SOCKETS, max_size=2).map(tuple)).map(lambda one: (one,)),
    st.lists(_CLIENTS, max_size=3).map(tuple),
)
_LOGS = st.builds(
    OpenLogState,
    _NUMBERS,
    _NAMES,
    _TEXTS,
    _TEXTS,
    st.uuids().map(str),
    st.none()
    | st.builds(
        LogDetails,
        _TIMES,
        _NAMES,
        _NAMES,
        bytes_written=st.integers(0, 1 << 60),
        outage=st.none() | st.builds(OutageState, _TIMES, _NUMBERS, _NAMES, _NUMBERS),
        steps_left=st.integers(0, 33),
        has_domain=st.booleans(),
    ),
)


@given(
    st.dictionaries(st.sampled_from(["virtlogd", "admin", "jsonrpc", "later"]), _SERVERS),
    st.lists(_LOGS, max_size=3).map(tuple),
    st.builds(Details, st.just(1), _TIMES, st.floats(0, 1e12)),
)
def test_any_daemon_is_read_as_it_was_written(
    servers: dict[str, ServerState], logs: tuple[OpenLogState, ...], details: Details
) -> None:
    """Also with paths that are no UTF-8, and with whatever clients have sent."""
    state = DaemonState(1, servers, logs, details)
    assert _without_kept_apart(decode(encode(state))) == state
    # What virtlogd gets of it.
    theirs = state.for_virtlogd()
    assert decode(encode(theirs)) == theirs


@pytest.mark.parametrize("number", [-1, 2**31, 2**70])
@pytest.mark.parametrize("where", ["log", "socket", "client", "queue"])
def test_a_number_that_no_descriptor_has_is_refused(where: str, number: int) -> None:
    """Before anything is done with it."""
    queued = ConnectionState(queued=(Queued(b"x", (number if where == "queue" else 1,)),))
    client = ClientState(1, 1, SocketState(number if where == "client" else 1), queued)
    listening = ServiceState((SocketState(number if where == "socket" else 1),))
    state = DaemonState(
        1,
        {"virtlogd": ServerState(1, services=(listening,), clients=(client,))},
        (OpenLogState(number if where == "log" else 1, "/a", "qemu"),),
    )
    with pytest.raises(StateError, match="cannot be read"):
        decode(encode(state))


def test_all_descriptors_are_named() -> None:
    """Pipes, listening sockets, clients, and what waits to be sent to one."""
    assert sorted(BUSY.descriptors()) == [4, 5, 6, 9, 10, 12, 20, 21]


def test_a_log_without_a_domain_has_none() -> None:
    """virtlogd needs one in the document, so that one is made up."""
    first, second = BUSY.logs
    assert first.domain == Domain("c7a5fdbd-edaf-9455-926a-d65c16db1809", "d\u00e9")
    assert second.domain is None


def test_the_document_of_version_1_is_read_for_ever() -> None:
    """A daemon that was never restarted may hand over to any later release."""
    assert _without_kept_apart(decode((VECTORS / "state_1.json").read_bytes())) == BUSY


def test_virtlogd_s_own_document() -> None:
    """As virtlogd of libvirt 9.0.0 wrote it."""
    text = (VECTORS / "virtlogd_state.json").read_bytes()
    state = decode(text)
    assert state.pid == 8540
    assert state.details is None
    assert sorted(state.descriptors()) == [4, 5, 9, 11]
    server = state.servers["virtlogd"]
    assert (server.max_clients, server.next_client_id) == (1024, 2)
    assert server.sockets == [SocketState(4, bound=True)]
    (client,) = server.clients
    assert (client.id, client.connected_at, client.connection) == (1, 1795445826, None)
    (log,) = state.logs
    assert (log.pipe, log.path, log.driver) == (11, "/tmp/v/logs/a.log", "qemu")
    assert log.domain == Domain("00010203-0405-0607-0809-0a0b0c0d0e0f", "d\u00e9")
    # What virtlogd wrote, it would read in ours.
    assert _covers(json.loads(encode(state)), json.loads(text))


def test_virtlogd_gets_what_it_knows() -> None:
    """The servers that it has, and all logs."""
    raw = json.loads(encode(BUSY.for_virtlogd()).decode("utf-8", "surrogateescape"))
    assert set(raw["daemon"]["servers"]) == {"virtlogd", "admin"}
    assert [file["pipefd"] for file in raw["handler"]["files"]] == [20, 21]
    assert raw["magic"] == "4711"
    assert 6 not in BUSY.for_virtlogd().descriptors()


@pytest.mark.parametrize("form", ["array", "array of one", "no servers"])
def test_older_forms_of_virtlogd_s_document(form: str) -> None:
    """virtlogd reads these as well."""
    raw = json.loads((VECTORS / "virtlogd_state.json").read_bytes())
    servers = raw["daemon"]["servers"]
    both = [servers["virtlogd"], servers["admin"]]
    raw["daemon"] = {
        "array": {"servers": both},
        "array of one": {"servers": both[:1]},
        "no servers": servers["virtlogd"],
    }[form]
    state = decode(json.dumps(raw).encode())
    assert set(state.servers) == ({"virtlogd", "admin"} if form == "array" else {"virtlogd"})
    assert state.servers["virtlogd"].sockets == [SocketState(4, bound=True)]


@pytest.mark.parametrize("path", ["/a.log", "/\udcff.log"])
def test_long_answers_that_nobody_has_read(path: str) -> None:
    """Documents are put together and taken apart otherwise, and none differs for that."""
    data = bytes(range(256)) * 1024
    lengths = (12 * 1024, 12 * 1024 + 1, 200_000, len(data))
    queued = tuple(Queued(data[:length]) for length in lengths)
    connection = ConnectionState(Suspended(received=data), queued * 4)
    client = ClientState(1, 2, SocketState(30), connection)
    server = ServerState(5, clients=(client,))
    logs = tuple(msgspec.structs.replace(log, path=path) for log in BUSY.logs)
    state = msgspec.structs.replace(BUSY, servers={"jsonrpc": server}, logs=logs)
    text = encode(state)
    assert len(text) > 2 << 20
    assert max(map(len, encoded(state))) < 300_000
    found = decode(text)
    assert found.servers == state.servers
    assert found.logs == state.logs
    # As releases before read it.
    raw = json.loads(text.decode("utf-8", "surrogateescape"))
    clients = raw["twisted_virtlog"]["servers"]["jsonrpc"]["clients"]
    waiting = clients[0]["twisted_virtlog"]["queued"]
    assert [base64.b64decode(one["data"]) for one in waiting[:4]] == [one.data for one in queued]
    raw["twisted_virtlog"]["version"] = VERSION + 1
    with pytest.raises(StateError, match="newer release"):
        decode(json.dumps(raw).encode("utf-8", "surrogateescape"))


def test_a_newer_document_is_refused() -> None:
    """An older release does not guess; then the newer daemon goes on."""
    raw = json.loads(encode(BUSY).decode("utf-8", "surrogateescape"))
    raw["twisted_virtlog"]["version"] = VERSION + 1
    raw["twisted_virtlog"]["started"] = "of another type by then"
    with pytest.raises(StateError, match=f"version {VERSION + 1}.*up to {VERSION}"):
        decode(json.dumps(raw).encode("utf-8", "surrogateescape"))


def test_a_pipe_of_a_former_guest_needs_a_newer_version() -> None:
    """A release that reads version 1 would close it, with what is in it."""
    (first, second) = BUSY.logs
    assert first.details is not None
    details = msgspec.structs.replace(first.details, order=1, left=7, log=second.path)
    former = msgspec.structs.replace(first, details=details)
    state = msgspec.structs.replace(BUSY, logs=(second, former))
    assert (needed_version(BUSY), needed_version(state)) == (1, 2)
    assert _version_of(encode(BUSY)) == 1
    assert _version_of(encode(BUSY, 2)) == 2
    assert _version_of(encode(state)) == 2
    assert decode(encode(state)).logs == state.logs
    with pytest.raises(StateError, match="version 1 cannot say all") as caught:
        encode(state, 1)
    assert second.path in str(caught.value)


def test_bytes_that_are_in_no_pipe_need_a_newer_version() -> None:
    """A release that reads version 1 would not write them."""
    (first, *others) = BUSY.logs
    assert first.details is not None
    details = msgspec.structs.replace(first.details, stranded=Stranded(7, 0, 9000, b"\0behind\xff"))
    state = msgspec.structs.replace(
        BUSY, logs=(msgspec.structs.replace(first, details=details), *others)
    )
    assert decode(encode(state)).logs == state.logs
    with pytest.raises(StateError, match="wait for its file"):
        encode(state, 1)


def test_bytes_on_the_way_through_a_lane_need_the_newest_version() -> None:
    """A release that does not know of them would lose them; that a log has a lane needs none."""
    (first, *others) = BUSY.logs
    assert first.details is not None
    details = msgspec.structs.replace(first.details, lane="/mnt/\udcff")
    laned = msgspec.structs.replace(first, details=details)
    state = msgspec.structs.replace(BUSY, logs=(laned, *others))
    assert needed_version(state) == 1
    assert decode(encode(state)).logs == state.logs
    assert state.descriptors() == BUSY.descriptors()

    details = msgspec.structs.replace(details, staged=77, left=3)
    staged = msgspec.structs.replace(first, details=details)
    state = msgspec.structs.replace(BUSY, logs=(staged, *others))
    assert needed_version(state) == 3
    assert _version_of(encode(state)) == 3
    assert decode(encode(state)).logs == state.logs
    assert sorted(state.descriptors()) == sorted([*BUSY.descriptors(), 77])
    for version in (1, 2):
        with pytest.raises(StateError, match=f"version {version} cannot say all.*on the way from"):
            encode(state, version)
    details = msgspec.structs.replace(details, staged=-5)
    staged = msgspec.structs.replace(first, details=details)
    with pytest.raises(StateError, match="not a descriptor"):
        decode(encode(msgspec.structs.replace(BUSY, logs=(staged,))))


def test_subscriptions_need_the_newest_version_unless_another_is_asked_for() -> None:
    """They can be ended, and their clients know how to go on."""
    position = Position(7, 8, "h.x")
    parts = (TrailPart(7, "h.x", 0, 8, 9, 3, file=30), TrailPart(8, "h.y", 0, 8, 8, file=31))
    follower = FollowerState("/a\udcff", position, True, True, True, parts, 1, 8)
    status = LogStatus("/b\udcff", "", None, position, NOW, 0, 0, LogState.FAILING, "full", 0, 5)
    watched = (Watched(WatchKind.STATE, status),)
    subscriptions = (
        SubscriptionState(3, follower, "base64"),
        SubscriptionState(4, watched=watched),
        # (who follows the same log has the same files)
        SubscriptionState(5, follower),
    )
    conversation = Suspended(subscriptions=subscriptions, last_subscription=5)
    client = ClientState(1, 1, SocketState(9), ConnectionState(conversation))
    state = DaemonState(BUSY.pid, {"jsonrpc": ServerState(9, clients=(client,))}, (), BUSY.details)
    assert needed_version(state) == 4
    assert _version_of(encode(state)) == 4
    assert state.descriptors() == [9, 30, 31]
    (found,) = decode(encode(state)).servers["jsonrpc"].clients
    assert found.connection is not None
    assert found.connection.conversation == conversation
    assert _version_of(encode(state, 1)) == 1


def _version_of(text: bytes) -> object:
    return json.loads(text.decode("utf-8", "surrogateescape"))["twisted_virtlog"]["version"]


def test_members_that_are_added_later_do_not_hurt() -> None:
    """Within a version, members may be added; who does not know them ignores them."""
    raw = json.loads(encode(BUSY).decode("utf-8", "surrogateescape"))
    raw["later"] = raw["twisted_virtlog"]["later"] = raw["handler"]["files"][0]["later"] = 1
    text = json.dumps(raw, ensure_ascii=False).encode("utf-8", "surrogateescape")
    assert _without_kept_apart(decode(text)) == BUSY


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
_PATHS = st.sampled_from(
    [
        ("magic",),
        ("daemon",),
        ("daemon", "servers"),
        ("daemon", "servers", "virtlogd"),
        ("daemon", "servers", "virtlogd", "clients"),
        ("handler",),
        ("handler", "files"),
        ("handler", "files", 0, "pipefd"),
        ("handler", "files", 0, "path"),
        ("handler", "files", 0, "twisted_virtlog"),
        ("handler", "files", 0, "twisted_virtlog", "opened_at"),
        ("daemon", "servers", "virtlogd", "clients", 0, "sock", "fd"),
        ("daemon", "servers", "virtlogd", "clients", 0, "twisted_virtlog", "queued", 0, "data"),
        ("twisted_virtlog", "started"),
        ("twisted_virtlog",),
        ("twisted_virtlog", "version"),
        ("twisted_virtlog", "servers"),
    ]
)


@given(_PATHS, _JSON)
def test_a_broken_document_is_refused_by_its_name(
    path: tuple[str | int, ...], value: object
) -> None:
    """Whatever stands where something else should: StateError, or a document that can be used."""
    raw: Any = json.loads(encode(BUSY).decode("utf-8", "surrogateescape"))
    inner = raw
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    with contextlib.suppress(StateError):
        state = decode(json.dumps(raw).encode("utf-8", "surrogatepass"))
        assert all(number >= 0 for number in state.descriptors())


@given(st.binary() | _JSON.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")))
def test_what_is_no_document_is_refused(text: bytes) -> None:
    """Any bytes."""
    with pytest.raises(StateError, match="cannot be read"):
        decode(text)


def _covers(ours: object, theirs: object) -> bool:
    """Return whether all that is in one JSON value is in another."""
    if isinstance(theirs, dict):
        return isinstance(ours, dict) and all(
            name in ours and _covers(ours[name], value) for name, value in theirs.items()
        )
    if isinstance(theirs, list):
        return isinstance(ours, list) and all(map(_covers, ours, theirs))
    return ours == theirs
