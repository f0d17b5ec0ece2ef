"""Each method asks the log handler for what the client asked, and tells what it answered."""

from __future__ import annotations

import base64
import os
from datetime import datetime, timezone
from typing import Any

import msgspec
import pytest
from msgspec import structs

from tests.fakes.administration import FakeDaemon
from tests.jsonrpc.fakes import Client
from twisted_virtlog import __version__
from twisted_virtlog.errors import NoSuchConsumer, NotAllowed
from twisted_virtlog.handover.state import VERSION as STATE_VERSION
from twisted_virtlog.jsonrpc.methods import METHODS
from twisted_virtlog.sockets.peer_credentials import PeerCredentials
from twisted_virtlog.values import (
    MAX_NAME_CHARACTERS,
    Closed,
    ConsumerStatus,
    Domain,
    Dropped,
    Excerpt,
    Intake,
    Ledger,
    LogState,
    LogStatus,
    Opened,
    Outside,
    PolicyWord,
    Position,
    Removed,
    RemovedBytes,
    Storage,
    Written,
)

PATH = "/var/log/libvirt/qemu/web.log"
GUEST = Domain("c7a5fdbd-edaf-9455-926a-d65c16db1809", "web")
GUEST_JSON = {"uuid": GUEST.uuid, "name": "web"}
START = {"inode": 7, "offset": 0, "birth": "h1.x"}
END = {"inode": 7, "offset": 3, "birth": "h1.x"}
HERE = Position(7, 3, "h1.x")
OPENED_AT = datetime(2024, 2, 29, 12, 0, 0, 250, tzinfo=timezone.utc)


def result(client: Client, method: str, params: Any = msgspec.UNSET) -> Any:
    """Call a method; check that its result is of the documented type."""
    answer = client.call(method, params)
    assert answer.keys() == {"result"}
    msgspec.convert(answer["result"], METHODS[method].result)
    return answer["result"]


def excerpt(data: bytes, gap: bool = False) -> Excerpt:
    """Make an excerpt: bytes from the beginning of a closed log."""
    start, end = Position(7, 0, "h1.x"), Position(7, len(data), "h1.x")
    return Excerpt((data,), start, end, gap=gap, final=True)


@pytest.mark.parametrize(
    ("params", "call"),
    [
        ({"path": PATH}, ("open", PATH, "none", None, False)),
        (
            {"path": PATH, "driver": "qemu", "domain": GUEST_JSON, "truncate": True},
            ("open", PATH, "qemu", GUEST, True),
        ),
        ([PATH, "qemu", GUEST_JSON, True], ("open", PATH, "qemu", GUEST, True)),
    ],
)
def test_open_hands_out_the_pipe(params: Any, call: tuple[Any, ...]) -> None:
    """The answer tells where the log goes on, and comes with one descriptor."""
    read_end, write_end = os.pipe()
    try:
        client = Client(open=Opened(HERE, write_end))
        assert result(client, "log.open", params) == {"position": END, "fds": 1}
        assert client.handler.calls == [call]
        assert client.connection.descriptors == [write_end]
        os.write(write_end, b"still open")
    finally:
        os.close(read_end)
        os.close(write_end)


@pytest.mark.parametrize("method", ["log.open", "log.append"])
@pytest.mark.parametrize("member", ["driver", "name"])
def test_long_names_are_refused(method: str, member: str) -> None:
    """With the limit; nothing is opened. A name at the limit is taken."""
    client = Client(append=HERE)

    def asked(length: int) -> Any:
        name = "\u00e9" * length
        named = {"driver": name} if member == "driver" else {"domain": {**GUEST_JSON, "name": name}}
        message = {"message": ""} if method == "log.append" else {}
        return client.call(method, {"path": PATH, **named, **message})

    error = asked(MAX_NAME_CHARACTERS + 1)["error"]
    assert error["code"] == -32602
    assert member in error["message"]
    assert "length <= 1024" in error["message"]
    assert client.handler.calls == []
    if method == "log.append":
        assert "result" in asked(MAX_NAME_CHARACTERS)


def test_position_tells_the_end() -> None:
    """Inode, offset and birth, and nothing else."""
    client = Client(position=HERE)
    assert result(client, "log.position", {"path": PATH}) == END
    assert result(client, "log.position", [PATH]) == END
    assert client.handler.calls == [("position", PATH)] * 2


def test_numbers_that_not_every_reader_takes_are_digits() -> None:
    """Beyond 2**53 a reader that holds numbers as doubles would round them."""
    most = Position(2**64 - 1, 2**63 - 1, "t.y")
    digits = {"inode": str(2**64 - 1), "offset": str(2**63 - 1), "birth": "t.y"}
    assert result(Client(position=most), "log.position", [PATH]) == digits
    assert result(Client(append=most), "log.append", [PATH, "x"]) == digits
    client = Client(read=Excerpt((b"",), most, most, gap=False, final=True))
    for encoding in ("utf-8", "base64"):
        answer = result(client, "log.read", [PATH, digits, 1, encoding])
        assert answer["start"] == answer["end"] == digits
    assert client.handler.calls == [("read", PATH, most, 1)] * 2
    last_number = {"inode": 2**53, "offset": 2**53, "birth": ""}
    client = Client(position=Position(2**53, 2**53))
    assert result(client, "log.position", [PATH]) == last_number
    client = Client(position=Position(2**53 + 1, 0))
    assert result(client, "log.position", [PATH])["inode"] == str(2**53 + 1)


def test_a_position_without_a_birth_is_taken() -> None:
    """Older clients send none, and newer ones none that is empty."""
    client = Client(read=excerpt(b""))
    for position in ({"inode": 7, "offset": 3}, {"inode": "7", "offset": "3", "birth": ""}):
        result(client, "log.read", [PATH, position])
    assert [call[2] for call in client.handler.calls] == [Position(7, 3)] * 2


def test_read_begins_at_the_oldest_byte() -> None:
    """Without a position; at most a mebibyte, as text."""
    client = Client(read=excerpt(b"abc"))
    expected = {"data": "abc", "encoding": "utf-8", "start": START, "end": END, "gap": False}
    assert result(client, "log.read", {"path": PATH}) == expected
    assert client.handler.calls == [("read", PATH, None, 1048576)]


def test_read_takes_a_position_a_limit_and_an_encoding() -> None:
    """As base64 every byte is told; a gap is told too."""
    client = Client(read=excerpt(b"\xff\0\n", gap=True))
    params = {"path": PATH, "position": START, "max_bytes": 3, "encoding": "base64"}
    expected = {"data": "/wAK", "encoding": "base64", "start": START, "end": END, "gap": True}
    assert result(client, "log.read", params) == expected
    assert client.handler.calls == [("read", PATH, Position(7, 0, "h1.x"), 3)]


@pytest.mark.parametrize("size", [0, 1, 2, 98_303, 98_304, 98_305, 196_608, 1_000_000])
def test_read_as_base64_is_exact(size: int) -> None:
    """Any bytes come back, however many: a large answer ends with its newline too."""
    data = (bytes(range(256)) * 4000)[:size]
    params = {"path": PATH, "max_bytes": 1 << 20, "encoding": "base64"}
    answer = result(Client(read=excerpt(data)), "log.read", params)
    assert base64.b64decode(answer["data"], validate=True) == data
    assert answer["end"] == {"inode": 7, "offset": size, "birth": "h1.x"}


def test_read_replaces_broken_bytes() -> None:
    """Whatever a guest wrote, the answer is JSON, and the end counts the log's bytes."""
    answer = result(Client(read=excerpt(b"\xff\0\n")), "log.read", [PATH])
    assert (answer["data"], answer["end"]) == ("\ufffd\0\n", END)


def test_append_sends_the_message_as_utf8() -> None:
    """As it is, with nothing added."""
    client = Client(append=HERE)
    assert result(client, "log.append", [PATH, "ü\n\0"]) == END
    assert client.handler.calls == [("append", PATH, "ü\n\0".encode(), "none", None)]
    result(client, "log.append", {"path": PATH, "message": "", "driver": "x", "domain": GUEST_JSON})
    assert client.handler.calls[-1] == ("append", PATH, b"", "x", GUEST)


def test_close_tells_where_the_log_ended() -> None:
    """And what it lost; null where the file cannot be asked."""
    client = Client(close_log=Closed(HERE, 0))
    assert result(client, "log.close", [PATH]) == {"position": END, "dropped": 0}
    assert client.handler.calls == [("close_log", PATH)]
    client = Client(close_log=Closed(None, 12))
    assert result(client, "log.close", [PATH]) == {"position": None, "dropped": 12}


def test_remove_tells_what_is_gone() -> None:
    """All files of the log."""
    client = Client(remove=Removed(4, 7_340_038))
    assert result(client, "log.remove", [PATH]) == {"files": 4, "bytes": 7_340_038}
    assert client.handler.calls == [("remove", PATH)]


def test_a_policy_is_told_word_by_word() -> None:
    """Numbers that not every reader holds exactly are digits, and an entry is text."""
    words = {
        "max_size": PolicyWord(2**64 - 1, "max_size"),
        "on_rate": PolicyWord("block", "default"),
        "rate": PolicyWord(5, "policies[0]", "domain:\udcff rate=5"),
    }
    client = Client(policy=words)
    assert result(client, "log.policy", [PATH]) == {
        "max_size": {"value": "18446744073709551615", "from": "max_size"},
        "on_rate": {"value": "block", "from": "default"},
        "rate": {"value": 5, "from": "policies[0]", "entry": "domain:\ufffd rate=5"},
    }
    assert client.handler.calls == [("policy", PATH)]


def test_the_ledger_of_a_log_and_of_all() -> None:
    """Every count by its name; a device has no storage."""
    ledger = Ledger(
        OPENED_AT,
        Intake(15, Dropped(1, 2, 3, 4), 2),
        Written(3, 4, 5),
        Storage(6, 7, 0, RemovedBytes(1, 2, 3, 4, 5), Outside(8, 9, 10)),
        {},
        holds=False,
    )
    client = Client(ledger=ledger)
    told = {
        "since": "2024-02-29T12:00:00.000250Z",
        "intake": {
            "received": 15,
            "dropped": {"write_error": 1, "rate": 2, "quota": 3, "stopped": 4},
            "pending": 2,
        },
        "written": {"guest": 3, "appended": 4, "notices": 5},
        "storage": {
            "found": 6,
            "kept": 7,
            "held": 0,
            "removed": {"rotation": 1, "age": 2, "quota": 3, "truncate": 4, "asked": 5},
            "outside": {"cut": 8, "removed": 9, "added": 10},
        },
        "unread": {},
        "holds": False,
    }
    assert result(client, "log.ledger", [PATH]) == told
    assert result(client, "log.ledger") == told
    assert result(client, "log.ledger", {"path": None}) == told
    assert client.handler.calls == [("ledger", PATH), ("ledger", None), ("ledger", None)]
    device = structs.replace(ledger, storage=None, holds=None)
    answer = result(Client(ledger=device), "log.ledger", [PATH])
    assert (answer["storage"], answer["holds"]) == (None, None)
    assert Client().call("log.ledger", ["/a/../b"])["error"]["code"] == -32602


def test_consumers_acknowledge() -> None:
    """As the user who asks, several logs at once."""
    client = Client()
    client.connection.peer = PeerCredentials(1, 4321, 1)
    position = {"inode": 7, "offset": 8, "birth": "h1.a"}
    acks = [{"path": PATH, "position": position}, {"path": "/b", "position": {**position}}]
    assert result(client, "consumer.ack", {"consumer": "nats", "acks": acks}) is True
    at = Position(7, 8, "h1.a")
    assert client.consumers.told == [("nats", 4321, [(PATH, at), ("/b", at)])]
    refused = client.call("consumer.ack", ["nats", [{"path": "/a/../b", "position": position}]])
    assert refused["error"]["code"] == -32602
    client.consumers.error = NoSuchConsumer("there is no consumer 'nats'", "name another one")
    error = client.call("consumer.ack", ["nats", []])["error"]
    assert error["code"] == -32602
    assert error["message"].startswith("Invalid params: there is no consumer 'nats'")
    client.consumers.error = NotAllowed("nats: only root")
    assert client.call("consumer.ack", ["nats", []])["error"]["code"] == 1011


@pytest.mark.parametrize("count", [1, 64, 65, 200])
def test_consumers_are_listed(count: int) -> None:
    """However many there are."""
    client = Client()
    client.consumers.found = [
        ConsumerStatus("nats", f"/{number}", None, number, None, 0, 5) for number in range(count)
    ]
    told = result(client, "consumer.list")
    assert [one["path"] for one in told] == [f"/{number}" for number in range(count)]
    assert told[-1] == {
        "consumer": "nats",
        "path": f"/{count - 1}",
        "position": None,
        "lag_bytes": count - 1,
        "lag_s": None,
        "held_bytes": 0,
        "unread_bytes": 5,
    }


def test_consumers_are_forgotten() -> None:
    """For one log, or for all."""
    client = Client()
    assert result(client, "consumer.forget", ["nats"]) is True
    assert result(client, "consumer.forget", {"consumer": "nats", "path": PATH}) is True
    assert client.consumers.forgotten == [("nats", None), ("nats", PATH)]


def status(**changes: Any) -> LogStatus:
    """Make the status of an open log."""
    log = LogStatus(
        PATH,
        "qemu",
        GUEST,
        HERE,
        OPENED_AT,
        100,
        2,
        LogState.OPEN,
        None,
        lost_bytes=0,
        pipe=9,
    )
    return msgspec.structs.replace(log, **changes)


STATUS_JSON = {
    "path": PATH,
    "driver": "qemu",
    "domain": GUEST_JSON,
    "position": END,
    "opened_at": "2024-02-29T12:00:00.000250Z",
    "bytes": 100,
    "rollovers": 2,
    "state": "open",
    "dropped": 0,
    "pending": 0,
    "followers": 0,
    "kept": 0,
    "pipe": 9,
    "thread": None,
}


def test_list_tells_all_of_a_log() -> None:
    """Just the documented members; the error only where there is one."""
    failing = {
        "state": LogState.FAILING,
        "error": "No space left on device",
        "lost_bytes": 9,
        "pending": 5,
        "thread": "/srv",
    }
    client = Client(logs=[status(), status(path="/z", domain=None, **failing)])
    assert result(client, "log.list") == [
        STATUS_JSON,
        {
            **STATUS_JSON,
            "path": "/z",
            "domain": None,
            "state": "failing",
            "error": "No space left on device",
            "dropped": 9,
            "pending": 5,
            "thread": "/srv",
        },
    ]


def test_list_shows_names_that_are_no_utf8() -> None:
    """One odd path does not hide the other logs."""
    odd = os.fsdecode(b"/\xff")
    name = Domain(GUEST.uuid, odd)
    log = status(path=odd, driver=odd, domain=name, state=LogState.FAILING, error=odd, thread=odd)
    (entry,) = result(Client(logs=[log]), "log.list", [])
    shown = "/\ufffd"
    assert entry == {
        **STATUS_JSON,
        "path": shown,
        "driver": shown,
        "domain": {"uuid": GUEST.uuid, "name": shown},
        "state": "failing",
        "error": shown,
        "thread": shown,
    }


def test_info_tells_of_the_daemon() -> None:
    """What it is, its limits and totals."""
    daemon = FakeDaemon()
    daemon.connect(2, 3, uid=7)
    answer = result(Client(daemon=daemon), "daemon.info")
    assert answer.pop("uptime_s") >= 1.5
    assert answer == {
        "name": "twisted-virtlog",
        "version": __version__,
        "pid": os.getpid(),
        "started_at": "2026-05-23T12:00:00Z",
        "limits": {
            "max_clients": 7,
            "max_open_logs": 0,
            "max_size": 2 * 1024 * 1024,
            "max_backups": 3,
            "pipe_size": 1024 * 1024,
        },
        "counts": {
            "open_logs": 1,
            "failing_logs": 0,
            "opened_logs": 2,
            "bytes_written": 3,
            "bytes_lost": 4,
            "rollovers": 5,
            "clients": 2,
            "known_logs": 6,
            "lanes": 2,
            "lane_oldest_s": 1.5,
            "followed_logs": 0,
            "followed_files": 0,
        },
    }


@pytest.mark.parametrize("method", ["log.forget", "log.Follow", "", "LOG.LIST", "rpc.other"])
def test_other_methods_are_not_found(method: str) -> None:
    """The answer says where to look."""
    error = Client().call(method, {"path": PATH})["error"]
    assert error["code"] == -32601
    assert repr(method) in error["message"]
    assert "rpc.discover" in error["message"]


def test_a_hand_over_is_to_our_own_next_image_or_to_virtlogd() -> None:
    """An older release may need an older state; virtlogd has none of ours."""
    client = Client()
    assert result(client, "daemon.reexec", {"state_version": 1}) is True
    assert result(client, "daemon.reexec", ["/usr/sbin/virtlogd"]) is True
    assert client.reexecs == [(None, 1), ("/usr/sbin/virtlogd", None)]
    for params in ({"state_version": 0}, {"state_version": STATE_VERSION + 1}, ["/a", 1]):
        assert client.call("daemon.reexec", params)["error"]["code"] == -32602
    assert len(client.reexecs) == 2
