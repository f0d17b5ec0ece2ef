"""The shipper's configuration, and what is said of a wrong one."""

from __future__ import annotations

from dataclasses import fields

import pytest

from harness.daemon import CHECKOUT
from tests.documents import blocks
from twisted_virtlog.config.settings import ConfigError
from twisted_virtlog.ship.configuration import Configuration, parse
from twisted_virtlog.ship.sink_settings import KINDS, NatsSink, OtlpSink, RelpSink

FULL = """\
socket = "/run/libvirt/virtlogd-jsonrpc-sock-ro"
host = "node17"
domains = ["ci-*", "web"]

[[sinks]]
name = "near"
consumer = "nats"
servers = ["nats://10.0.0.1:4222", "10.0.0.2"]
stream = "logs"
subject = "site.logs"
replicas = 3
max_age = 604800
max_bytes = 1099511627776
credentials = "/etc/virtlog-ship.creds"
tls_ca = "/etc/ca.pem"
tls_cert = "/etc/c.pem"
tls_key = "/etc/k.pem"

[[sinks]]
name = "far"

[[sinks]]
kind = "otlp"
consumer = "vendor"
url = "https://logs.example:4318/v1/logs"
credentials = "/etc/token"

[sinks.headers]
X-Scope-OrgID = "site 1"

[[sinks]]
kind = "relp"
name = "syslog"
consumer = "syslog"
servers = ["tls://[fd00::1]:2514", "relp://logs:2514"]
max_size = 65536
tls_ca = "/etc/ca.pem"
"""


def test_all_keys() -> None:
    """And the defaults of the others."""
    near = NatsSink(
        "near",
        "nats",
        ("nats://10.0.0.1:4222", "10.0.0.2"),
        *("logs", "site.logs", 3, 604800, 1099511627776, "/etc/virtlog-ship.creds"),
        *("/etc/ca.pem", "/etc/c.pem", "/etc/k.pem"),
    )
    socket = "/run/libvirt/virtlogd-jsonrpc-sock-ro"
    vendor = OtlpSink(
        *("otlp", "vendor", "https://logs.example:4318/v1/logs", {"X-Scope-OrgID": "site 1"}),
        "/etc/token",
    )
    syslog = RelpSink(
        *("syslog", "syslog", ("tls://[fd00::1]:2514", "relp://logs:2514"), 65536, "/etc/ca.pem")
    )
    sinks = (near, NatsSink("far"), vendor, syslog)
    found = Configuration(socket, "node17", ("ci-*", "web"), sinks)
    assert parse(FULL, "f") == found
    assert parse("", "f") == Configuration()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\nhost = x", "f:2: this is not TOML: Invalid value"),
        ("\nhosts = 'a'", "f:2: hosts: there is no such key; there are socket, host, domains,"),
        ("socket = 'run'", "f:1: socket: 'run' cannot be used; write an absolute path"),
        ("host = ''", "f:1: host: '' cannot be used; write a name in quotes"),
        ("domains = 'a'", "f:1: domains: 'a' cannot be used; write a list of names with"),
        ("domains = []", "f:1: domains: [] cannot be used; write a list of names with"),
        ("sinks = 1", "f: sinks: this is not a list of tables; write [[sinks]] above each"),
        ("[[sinks]]\nreplicas = 6", "f:2: replicas: 6 cannot be used; write a number from 1 to 5"),
        ("[[sinks]]\nreplicas = true", "f:2: replicas: True cannot be used"),
        ("[[sinks]]\nmax_age = -1", "f:2: max_age: -1 cannot be used; write a number of seconds"),
        ("[[sinks]]\nsubject = 'a.*'", "f:2: subject: 'a.*' cannot be used; write words"),
        ("[[sinks]]\nstream = 'a.b'", "f:2: stream: 'a.b' cannot be used"),
        ("[[sinks]]\nservers = ['nats://u:p@h']", "f:2: servers: ['nats://u:p@h'] cannot be used"),
        ("[[sinks]]\n[[sinks]]\nname = 'x'\nx = 1", "f:4: x: there is no such key; there are kind"),
        ("[[sinks]]\nname = 'x'\n[[sinks]]\nname = 'x'", "f:4: name: two sinks are called 'x'"),
        ("[[sinks]]\nkind = 'loki'", "f:2: kind: 'loki' cannot be used; write one of \"nats\","),
        ("[[sinks]]\nkind = 'otlp'", "f:2: consumer: a sink of kind otlp needs a consumer, as"),
        ("[[sinks]]\nkind = 'otlp'\nurl = 'h:1'", "f:3: url: 'h:1' cannot be used; write a URL"),
        ("[[sinks]]\nkind = 'otlp'\nheaders = {a = 1}", "f:3: headers: {'a': 1} cannot be used"),
        ("[[sinks]]\nkind = 'otlp'\nheaders = 'a'", "f:3: headers: 'a' cannot be used; write a"),
        ("[[sinks]]\nkind = 'relp'\nservers = ['a']", "f:3: servers: ['a'] cannot be used; write"),
        (
            "[[sinks]]\nkind = 'relp'\nservers = ['tls://a:65536']",
            "f:3: servers: ['tls://a:65536'] cannot be used; write a list of servers with ports",
        ),
        ("[[sinks]]\nkind = 'relp'\nmax_size = 480", "f:3: max_size: 480 cannot be used; write a"),
        (
            "[[sinks]]\nconsumer = 'x'\n[[sinks]]\nname = 'b'\nconsumer = 'x'",
            "f:5: consumer: two sinks are the consumer 'x'; each needs one of its own",
        ),
        ("[[sinks]]\ntls_key = '/k'", "f:2: tls_key: a certificate and its key belong together"),
    ],
)
def test_mistakes_are_named(text: str, said: str) -> None:
    """With file, line, key and what would be right."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "f")
    assert str(caught.value).startswith(said)


def test_which_guests_are_shipped() -> None:
    """All by default; with other globs only those that match one."""
    assert Configuration().ships("web")
    assert Configuration().ships(None)
    some = Configuration(domains=("ci-*", "web"))
    assert [some.ships(name) for name in ("ci-1", "web", "web2", None)] == [
        *(True, True, False, False)
    ]


def test_all_keys_are_documented() -> None:
    """With their defaults, for each kind of sink."""
    document = (CHECKOUT / "doc" / "fleet.md").read_text()
    for settings, keys in KINDS.values():
        assert {one.name for one in fields(settings)} == keys.keys()
        assert [key for key in keys if f"`{key}`" not in document] == []


def test_what_the_document_shows_can_be_used() -> None:
    """Each of its configurations."""
    found = [
        parse("\n".join(block.lines), "f")
        for block in blocks(CHECKOUT / "doc" / "fleet.md")
        if block.language == "toml"
    ]
    assert {type(one.sinks[0]) for one in found} == {NatsSink, OtlpSink, RelpSink}
