"""The shipper's configuration: a TOML file, its keys, their defaults and their rules."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted_virtlog.config.globs import name_pattern
from twisted_virtlog.config.settings import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_SINKS = "sinks"
_MOST_REPLICAS = 5
_MOST_COUNT = 2**63 - 1
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SUBJECT = re.compile(r"[A-Za-z0-9_-]{1,32}(\.[A-Za-z0-9_-]{1,32}){0,7}")
_SERVER = re.compile(r"(nats|tls|ws|wss)://[^\s/@]+(:[0-9]{1,5})?|[^\s/@:]+(:[0-9]{1,5})?")


class _Wrong(Exception):
    """A value cannot be.

    :ivar remedy: what would be right.
    """

    def __init__(self, remedy: str) -> None:
        super().__init__(remedy)
        self.remedy = remedy


def _text(pattern: re.Pattern[str] | None, remedy: str) -> Callable[[Any], Any]:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not value or "\0" in value:
            raise _Wrong(remedy)
        if pattern is not None and not pattern.fullmatch(value):
            raise _Wrong(remedy)
        return value

    return check


def _texts(pattern: re.Pattern[str] | None, remedy: str) -> Callable[[Any], Any]:
    check = _text(pattern, remedy)

    def check_all(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not value:
            raise _Wrong(remedy)
        return tuple(check(one) for one in value)

    return check_all


def _number(least: int, most: int, remedy: str) -> Callable[[Any], Any]:
    def check(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise _Wrong(remedy)
        return value

    return check


def _path(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise _Wrong("write an absolute path")
    return value


@dataclass(frozen=True)
class NatsSink:
    """A stream of NATS JetStream.

    :ivar name: for people.
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
class Configuration:
    """What a shipper does.

    :ivar socket: the daemon's; "" for the usual one.
    :ivar host: what this host is called in the fleet; "" for its own name.
    :ivar domains: globs of the guests whose logs are shipped.
    """

    socket: str = ""
    host: str = ""
    domains: tuple[str, ...] = ("*",)
    sinks: tuple[NatsSink, ...] = field(default=(NatsSink(),))

    def ships(self, domain: str | None) -> bool:
        """Return whether a guest's logs are shipped.

        :param domain: its name; None for a log that belongs to no guest, which only ``*`` matches.
        """
        if domain is None:
            return "*" in self.domains
        return any(name_pattern(glob).match(domain) for glob in self.domains)


_WORD = "write letters, digits, - and _ in quotes"

_KEYS: Mapping[str, Callable[[Any], Any]] = {
    "socket": _path,
    "host": _text(None, "write a name in quotes"),
    "domains": _texts(None, 'write a list of names with wildcards, such as ["ci-*"]'),
}

_SINK_KEYS: Mapping[str, Callable[[Any], Any]] = {
    "name": _text(_NAME, _WORD),
    "servers": _texts(
        _SERVER, 'write a list of servers, such as ["nats://10.0.0.1:4222"], without passwords'
    ),
    "stream": _text(_NAME, _WORD),
    "subject": _text(_SUBJECT, "write words of letters, digits, - and _, with dots between them"),
    "replicas": _number(1, _MOST_REPLICAS, f"write a number from 1 to {_MOST_REPLICAS}"),
    "max_age": _number(0, _MOST_COUNT // 10**9, "write a number of seconds, 0 for ever"),
    "max_bytes": _number(0, _MOST_COUNT, "write a number of bytes, 0 for no limit"),
    "credentials": _path,
    "tls_ca": _path,
    "tls_cert": _path,
    "tls_key": _path,
}


def parse(text: str, file: str) -> Configuration:
    """Read a configuration.

    :param file: its name, for errors.
    :raises ConfigError: it cannot be; the error names file, line, key and what would be right.
    """
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)", str(error))
        problem = str(error) if place is None else str(error).replace(place[0], "")
        line = int(place[1]) if place is not None and place[1] else None
        raise ConfigError(file, f"this is not TOML: {problem}", line=line) from error
    sinks = found.pop(_SINKS, None)
    values = _checked(found, _KEYS, text, file, None)
    if sinks is None:
        return Configuration(**values)
    if not isinstance(sinks, list) or not all(isinstance(one, dict) for one in sinks):
        raise ConfigError(
            file, "this is not a list of tables", "write [[sinks]] above each", key=_SINKS
        )
    kinds = [
        NatsSink(**_checked(one, _SINK_KEYS, text, file, number))
        for number, one in enumerate(sinks)
    ]
    names = [sink.name for sink in kinds]
    for number, name in enumerate(names):
        if name in names[:number]:
            line = _line_of(text, "name", number)
            raise ConfigError(
                file, f"two sinks are called {name!r}", "give each a name", line, "name"
            )
    for number, sink in enumerate(kinds):
        if bool(sink.tls_cert) != bool(sink.tls_key):
            key = "tls_cert" if sink.tls_cert else "tls_key"
            raise ConfigError(
                file,
                "a certificate and its key belong together",
                "name both tls_cert and tls_key",
                _line_of(text, key, number),
                key,
            )
    return Configuration(**values, sinks=tuple(kinds))


def _checked(
    found: Mapping[str, Any],
    keys: Mapping[str, Callable[[Any], Any]],
    text: str,
    file: str,
    sink: int | None,
) -> dict[str, Any]:
    values = {}
    for key, value in found.items():
        line = _line_of(text, key, sink)
        check = keys.get(key)
        if check is None:
            known = ", ".join(keys if sink is not None else [*keys, f"[[{_SINKS}]]"])
            raise ConfigError(file, "there is no such key", f"there are {known}", line, key)
        try:
            values[key] = check(value)
        except _Wrong as wrong:
            raise ConfigError(file, f"{value!r} cannot be used", wrong.remedy, line, key) from wrong
    return values


def _line_of(text: str, key: str, sink: int | None) -> int | None:
    """Return the line of a key; None if it is not written as is usual.

    :param sink: the number of its table; None for those above all tables.
    """
    table = -1
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r"\s*\[", line):
            table += 1
        elif table == (-1 if sink is None else sink) and re.match(
            rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line
        ):
            return number
    return None
