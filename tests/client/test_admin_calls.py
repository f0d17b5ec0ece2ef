"""All clients administer the daemon: what they ask, and what they give."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from msgspec import convert

from tests.client.everyone import Row, ask_everyone
from tests.client.fake_daemon import LEDGER, POLICY, FakeDaemon
from twisted_virtlog.client import (
    ClientInfo,
    ConsumerInfo,
    Ledger,
    OwnLogging,
    PolicyWord,
    Position,
    ServerClients,
    ServerLimits,
)

CLIENT = {
    "id": 17,
    "connected_at": "2024-02-29T12:00:00Z",
    "pid": 2168,
    "uid": 0,
    "user": "root",
    "gid": 4000,
    "group": None,
}
SINCE = datetime(2024, 2, 29, 12, tzinfo=timezone.utc)
CLIENTS = [ServerClients("virtlogd", 20, [ClientInfo(17, SINCE, 2168, 0, "root", 4000, None)])]
LOGGING = {"level": "warning", "filters": ["1:logs"], "outputs": ["3:stderr"]}
LIMITS = {"server": "virtlogd", "max_clients": 5, "clients": 2}
NO_CHANGE = {"level": None, "filters": None, "outputs": None}

ACKS = [
    {"path": "/a", "position": {"inode": 7, "offset": 8, "birth": "h1.a"}},
    {"path": "/b", "position": {"inode": 9, "offset": 1}},
]
CONSUMERS = [
    {
        "consumer": "loki",
        "path": "/b",
        "position": None,
        "lag_bytes": None,
        "lag_s": None,
        "held_bytes": 5,
        "unread_bytes": 6,
    },
    {
        "consumer": "nats",
        "path": "/a",
        "position": {"inode": 7, "offset": 8, "birth": "h1.a"},
        "lag_bytes": 9,
        "lag_s": 1.5,
        "held_bytes": 0,
        "unread_bytes": 0,
    },
]

CALLS: list[Row] = [
    (
        *("clients", (), "daemon.clients", {"server": None}),
        [{"server": "virtlogd", "max_clients": 20, "clients": [CLIENT]}],
        CLIENTS,
    ),
    ("metrics", (), "daemon.metrics", {}, {"text": "a 1.0\n"}, "a 1.0\n"),
    (
        *("policy", ("/a",), "log.policy", {"path": "/a"}, POLICY),
        {
            "max_size": PolicyWord(2097152, "default"),
            "on_rate": PolicyWord("block", "on_rate"),
            "rate": PolicyWord(262144, "policies[1]", "domain:\u202e rate=262144"),
            "of a newer daemon": PolicyWord(1, "default"),
        },
    ),
    (
        *("acknowledge", ("nats", {"/a": Position(7, 8, "h1.a"), "/b": Position(9, 1)})),
        *("consumer.ack", {"consumer": "nats", "acks": ACKS}, True, True),
    ),
    (
        *("consumers", (), "consumer.list", {}, CONSUMERS),
        [
            ConsumerInfo("loki", "/b", None, None, None, 5, 6),
            ConsumerInfo("nats", "/a", Position(7, 8, "h1.a"), 9, 1.5, 0, 0),
        ],
    ),
    ("forget_consumer", ("nats",), "consumer.forget", {"consumer": "nats"}, True, True),
    (
        *("forget_consumer", ("nats", "/a"), "consumer.forget"),
        *({"consumer": "nats", "path": "/a"}, True, True),
    ),
    ("ledger", (), "log.ledger", {}, LEDGER, convert(LEDGER, Ledger)),
    ("ledger", ("/a",), "log.ledger", {"path": "/a"}, LEDGER, convert(LEDGER, Ledger)),
    ("clients", ("admin",), "daemon.clients", {"server": "admin"}, [], []),
    (
        *("disconnect", ("virtlogd", 17), "daemon.disconnect", {"server": "virtlogd", "id": 17}),
        *(True, True),
    ),
    (
        *("set_limits", ("virtlogd", 5), "daemon.set_limits"),
        *({"server": "virtlogd", "max_clients": 5}, LIMITS, ServerLimits("virtlogd", 5, 2)),
    ),
    ("logging", (), "daemon.get_logging", {}, LOGGING, OwnLogging(**LOGGING)),  # type: ignore[arg-type]
    (
        *("set_logging", (None, [], None), "daemon.set_logging", {**NO_CHANGE, "filters": []}),
        *(LOGGING, OwnLogging(**LOGGING)),  # type: ignore[arg-type]
    ),
]


@pytest.mark.parametrize("row", CALLS, ids=lambda row: row[0])
def test_all_clients_ask_and_understand(daemon: FakeDaemon, row: Row) -> None:
    """The same request of all, and the same value for its answer."""
    ask_everyone(daemon, row)
