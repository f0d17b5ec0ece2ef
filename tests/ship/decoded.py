"""Reads requests of OTLP as a collector does: by the field numbers of opentelemetry/proto."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from twisted_virtlog.ship.protobuf import fields

Value = int | str | bytes


@dataclass(frozen=True)
class Record:
    """A LogRecord, with the attributes of its resource."""

    body: Value
    attributes: dict[str, Value]
    resource: dict[str, Value]
    observed: int
    raw: bytes


def records(request: bytes) -> list[Record]:
    """Return the records of an ExportLogsServiceRequest, in order."""
    return [
        _record(record, dict(attributes(resource, 1)))
        for logs in _messages(request, 1)
        for resource in _messages(logs, 1)
        for scope in _messages(logs, 2)
        for record in _messages(scope, 2)
    ]


def attributes(message: bytes, field: int) -> Iterator[tuple[str, Value]]:
    """Give the attributes that stand in a field."""
    for one in _messages(message, field):
        members = dict(fields(one))
        name, value = members[1], members[2]
        assert isinstance(name, bytes)
        assert isinstance(value, bytes)
        yield name.decode(), _value(value)


def _record(raw: bytes, resource: dict[str, Value]) -> Record:
    members = dict(fields(raw))
    body, observed = members[5], members[11]
    assert isinstance(body, bytes)
    assert isinstance(observed, int)
    return Record(_value(body), dict(attributes(raw, 6)), resource, observed, raw)


def _value(message: bytes) -> Value:
    ((field, value),) = fields(message)
    if field == 1:
        assert isinstance(value, bytes)
        return value.decode()
    assert field in {3, 7}
    return value


def _messages(message: bytes, field: int) -> Iterator[bytes]:
    for number, value in fields(message):
        if number == field:
            assert isinstance(value, bytes)
            yield value
