"""The keys of each kind of sink, their defaults and their rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from twisted_virtlog.ship.keys import Check, named_texts, number, path, text, texts

_MOST_REPLICAS = 5
_MOST_COUNT = 2**63 - 1
#: With fewer bytes long names would leave no room for a line; more than these no message has.
_LEAST_SYSLOG, _MOST_SYSLOG = 4096, 128 * 1024
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CONSUMER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SUBJECT = re.compile(r"[A-Za-z0-9_-]{1,32}(\.[A-Za-z0-9_-]{1,32}){0,7}")
_SERVER = re.compile(r"(nats|tls|ws|wss)://[^\s/@]+(:[0-9]{1,5})?|[^\s/@:]+(:[0-9]{1,5})?")
_HOST = r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])"
_PORT = r"(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5]?[0-9]{1,4})"
_RELP_SERVER = re.compile(rf"(relp|tls)://{_HOST}:{_PORT}")
_URL = re.compile(rf"https?://{_HOST}(:{_PORT})?(/[!-~]*)?")
_HEADER = re.compile(r"[A-Za-z0-9_-]+")
_HEADER_VALUE = re.compile(r"[ -~]+")
_WORD = "write letters, digits, - and _ in quotes"


@dataclass(frozen=True)
class NatsSink:
    """A stream of NATS JetStream.

    :ivar name: for people.
    :ivar consumer: as which the daemon is told up to where logs are stored; "" for none.
    :ivar servers: of the cluster, any of which will do.
    :ivar stream: its name; made if there is none, and never changed.
    :ivar subject: what the subjects of all logs begin with.
    :ivar replicas: of a stream that is made; as are the next two.
    :ivar max_age: seconds for which messages are kept; 0 for ever.
    :ivar max_bytes: how many are kept; 0 for no limit.
    :ivar credentials: a file as NATS' own tools write it, or "".
    :ivar tls_ca: a file with the certificates that are trusted, or "" for the system's.
    :ivar tls_cert: this client's certificate with ``tls_key``, or "".
    """

    name: str = "nats"
    consumer: str = ""
    servers: tuple[str, ...] = ("nats://127.0.0.1:4222",)
    stream: str = "virtlog"
    subject: str = "virtlog"
    replicas: int = 1
    max_age: int = 0
    max_bytes: int = 0
    credentials: str = ""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""


@dataclass(frozen=True)
class OtlpSink:
    """A collector that takes OTLP over HTTP.

    :ivar consumer: as for NatsSink; it is needed, as a collector cannot say what it has.
    :ivar url: to which requests are posted, with its path.
    :ivar headers: that each request has.
    :ivar credentials: a file with what ``Authorization`` says, or "".
    """

    name: str = "otlp"
    consumer: str = ""
    url: str = "http://127.0.0.1:4318/v1/logs"
    headers: Mapping[str, str] = field(default_factory=dict)
    credentials: str = ""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""


@dataclass(frozen=True)
class RelpSink:
    """A server of syslog that takes RELP, such as rsyslog.

    :ivar consumer: as for NatsSink; it is needed, as a server cannot say what it has.
    :ivar servers: any of which will do; one after another is tried.
    :ivar max_size: the most bytes of a message; longer lines come in parts.
    """

    name: str = "relp"
    consumer: str = ""
    servers: tuple[str, ...] = ("relp://127.0.0.1:2514",)
    max_size: int = 8096
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""


SinkSettings: TypeAlias = NatsSink | OtlpSink | RelpSink

_COMMON: Mapping[str, Check] = {
    "name": text(_NAME, _WORD),
    "consumer": text(_CONSUMER, "write the name that consumers of virtlogd.conf has"),
}

_TLS: Mapping[str, Check] = {"tls_ca": path, "tls_cert": path, "tls_key": path}

#: By what stands in ``kind``: what it is, and the checks of its keys.
KINDS: Mapping[str, tuple[type[SinkSettings], Mapping[str, Check]]] = {
    "nats": (
        NatsSink,
        {
            **_COMMON,
            "servers": texts(
                _SERVER,
                'write a list of servers, such as ["nats://10.0.0.1:4222"], without passwords',
            ),
            "stream": text(_NAME, _WORD),
            "subject": text(
                _SUBJECT, "write words of letters, digits, - and _, with dots between them"
            ),
            "replicas": number(1, _MOST_REPLICAS, f"write a number from 1 to {_MOST_REPLICAS}"),
            "max_age": number(0, _MOST_COUNT // 10**9, "write a number of seconds, 0 for ever"),
            "max_bytes": number(0, _MOST_COUNT, "write a number of bytes, 0 for no limit"),
            "credentials": path,
            **_TLS,
        },
    ),
    "otlp": (
        OtlpSink,
        {
            **_COMMON,
            "url": text(_URL, 'write a URL with its path, such as "http://10.0.0.1:4318/v1/logs"'),
            "headers": named_texts(
                _HEADER, _HEADER_VALUE, 'write a table, such as { X-Scope-OrgID = "site" }'
            ),
            "credentials": path,
            **_TLS,
        },
    ),
    "relp": (
        RelpSink,
        {
            **_COMMON,
            "servers": texts(
                _RELP_SERVER,
                'write a list of servers with ports, such as ["tls://10.0.0.1:2514"]',
            ),
            "max_size": number(
                _LEAST_SYSLOG,
                _MOST_SYSLOG,
                f"write a number of bytes from {_LEAST_SYSLOG} to {_MOST_SYSLOG}",
            ),
            **_TLS,
        },
    ),
}

#: The kinds of those who cannot say what they have.
NEED_CONSUMER = (OtlpSink, RelpSink)
