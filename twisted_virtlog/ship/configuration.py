"""The shipper's configuration: a TOML file, its keys, their defaults and their rules."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted_virtlog.config.globs import name_pattern
from twisted_virtlog.config.settings import ConfigError
from twisted_virtlog.ship.keys import Check, Wrong, path, text, texts
from twisted_virtlog.ship.sink_settings import KINDS, NEED_CONSUMER, NatsSink, SinkSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_SINKS = "sinks"
_KIND = "kind"


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
    sinks: tuple[SinkSettings, ...] = field(default=(NatsSink(),))

    def ships(self, domain: str | None) -> bool:
        """Return whether a guest's logs are shipped.

        :param domain: its name; None for a log that belongs to no guest, which only ``*`` matches.
        """
        if domain is None:
            return "*" in self.domains
        return any(name_pattern(glob).match(domain) for glob in self.domains)


_KEYS: Mapping[str, Check] = {
    "socket": path,
    "host": text(None, "write a name in quotes"),
    "domains": texts(None, 'write a list of names with wildcards, such as ["ci-*"]'),
}


def parse(source: str, file: str) -> Configuration:
    """Read a configuration.

    :param file: its name, for errors.
    :raises ConfigError: it cannot be; the error names file, line, key and what would be right.
    """
    try:
        found = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)", str(error))
        problem = str(error) if place is None else str(error).replace(place[0], "")
        line = int(place[1]) if place is not None and place[1] else None
        raise ConfigError(file, f"this is not TOML: {problem}", line=line) from error
    sinks = found.pop(_SINKS, None)
    values = _checked(found, _KEYS, source, file, None)
    if sinks is None:
        return Configuration(**values)
    if not isinstance(sinks, list) or not all(isinstance(one, dict) for one in sinks):
        raise ConfigError(
            file, "this is not a list of tables", "write [[sinks]] above each", key=_SINKS
        )
    found_sinks = tuple(_sink(one, source, file, number) for number, one in enumerate(sinks))
    for key, problem in (
        ("name", "two sinks are called {!r}; give each a name"),
        ("consumer", "two sinks are the consumer {!r}; each needs one of its own"),
    ):
        values_of = [getattr(sink, key) for sink in found_sinks]
        for number, value in enumerate(values_of):
            if value and value in values_of[:number]:
                said, _, remedy = problem.format(value).partition("; ")
                raise ConfigError(file, said, remedy, _line_of(source, key, number), key)
    return Configuration(**values, sinks=found_sinks)


def _sink(found: dict[str, Any], source: str, file: str, number: int) -> SinkSettings:
    """Return a sink of whichever kind it is."""
    kind = found.pop(_KIND, "nats")
    if not isinstance(kind, str) or kind not in KINDS:
        kinds = ", ".join(f'"{one}"' for one in KINDS)
        line = _line_of(source, _KIND, number)
        raise ConfigError(file, f"{kind!r} cannot be used", f"write one of {kinds}", line, _KIND)
    settings, keys = KINDS[kind]
    sink = settings(**_checked(found, keys, source, file, number))
    if isinstance(sink, NEED_CONSUMER) and not sink.consumer:
        raise ConfigError(
            file,
            f"a sink of kind {kind} needs a consumer, as only the daemon can say what it has",
            'write consumer = "NAME", and NAME:USER into consumers of virtlogd.conf',
            _line_of(source, _KIND, number),
            "consumer",
        )
    if bool(sink.tls_cert) != bool(sink.tls_key):
        key = "tls_cert" if sink.tls_cert else "tls_key"
        raise ConfigError(
            file,
            "a certificate and its key belong together",
            "name both tls_cert and tls_key",
            _line_of(source, key, number),
            key,
        )
    return sink


def _checked(
    found: Mapping[str, Any],
    keys: Mapping[str, Check],
    source: str,
    file: str,
    sink: int | None,
) -> dict[str, Any]:
    values = {}
    for key, value in found.items():
        line = _line_of(source, key, sink)
        check = keys.get(key)
        if check is None:
            known = ", ".join([*keys, f"[[{_SINKS}]]"] if sink is None else [_KIND, *keys])
            raise ConfigError(file, "there is no such key", f"there are {known}", line, key)
        try:
            values[key] = check(value)
        except Wrong as wrong:
            raise ConfigError(file, f"{value!r} cannot be used", wrong.remedy, line, key) from wrong
    return values


def _line_of(source: str, key: str, sink: int | None) -> int | None:
    """Return the line of a key; None if it is not written as is usual.

    :param sink: the number of its table; None for those above all tables.
    """
    table = -1
    for number, line in enumerate(source.splitlines(), 1):
        if re.match(r"\s*\[\[", line):
            table += 1
        elif table == (-1 if sink is None else sink) and re.match(
            rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line
        ):
            return number
    return None
