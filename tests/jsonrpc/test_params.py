"""Parameters are taken by name or position; a fault names the parameter and what is right."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from twisted_virtlog.jsonrpc import schema
from twisted_virtlog.jsonrpc.log_methods import OpenParams, ReadParams
from twisted_virtlog.jsonrpc.messages import ABSENT
from twisted_virtlog.jsonrpc.params import InvalidParams, ParamsDecoder

OPEN = ParamsDecoder(OpenParams)
READ = ParamsDecoder(ReadParams)
NONE = ParamsDecoder(schema.NoParams)
UUID = "c7a5fdbd-edaf-9455-926a-d65c16db1809"


def raw(value: Any) -> Raw:
    """Encode parameters."""
    return Raw(msgspec.json.encode(value))


def test_by_name_and_by_position_give_the_same() -> None:
    """The order by position is the documented one; the rest have their defaults."""
    position = {"inode": 2**64 - 1, "offset": 2**63 - 1}
    for params in (
        {"path": "/a", "position": position, "max_bytes": 5, "encoding": "base64"},
        ["/a", position, 5, "base64"],
    ):
        found = READ.decode(raw(params))
        assert isinstance(found, ReadParams)
        assert msgspec.structs.asdict(found) == {
            "path": "/a",
            "position": schema.Position(2**64 - 1, 2**63 - 1),
            "max_bytes": 5,
            "encoding": "base64",
        }
    for spelling in ('{"path": "/a"}', '["/a"]', '["/a", null]'):
        assert READ.decode(Raw(spelling.encode())).max_bytes == 1024 * 1024


@pytest.mark.parametrize("params", [ABSENT, Raw(b"{}"), Raw(b"[]"), Raw(b"{ }")])
def test_no_params_are_absent_or_empty(params: Raw) -> None:
    """A method without parameters takes all three spellings."""
    assert isinstance(NONE.decode(params), schema.NoParams)


FAULTS: dict[str, tuple[ParamsDecoder[Any], Any, list[str]]] = {
    "missing": (READ, {}, ["missing `path`", "path, position, max_bytes, encoding"]),
    "missing by position": (READ, [], ["fewer values than 1", "path, position"]),
    "unknown": (READ, {"path": "/a", "max": 1}, ["unknown: `max`", "max_bytes"]),
    "unknown where none are": (NONE, {"x": 1}, ["unknown: `x`", "parameters are: none"]),
    "too many": (NONE, [1], ["more values than 0"]),
    "too many of some": (READ, ["/a", None, 1, "utf-8", 1], ["more values than 4"]),
    "type": (READ, {"path": 5}, ["path is 5", "expected `str`", "absolute"]),
    "type by position": (OPEN, ["/a", []], ["driver is []", "expected `str`"]),
    "boolean": (OPEN, ["/a", "qemu", None, 1], ["truncate is 1", "expected `bool`"]),
    "a number as text": (READ, {"path": "/a", "max_bytes": "1"}, ['max_bytes is "1"', "`int`"]),
    "too small": (READ, {"path": "/a", "max_bytes": 0}, ["max_bytes is 0", ">= 1"]),
    "too large": (READ, {"path": "/a", "max_bytes": 4194305}, ["4194305", "<= 4194304"]),
    "fraction": (READ, {"path": "/a", "max_bytes": 1.5}, ["max_bytes is 1.5", "`int`"]),
    "choice": (READ, {"path": "/a", "encoding": "utf8"}, ['encoding is "utf8"', '"utf-8"']),
    "position": (READ, ["/a", 5], ["position is 5", "from an earlier result"]),
    "half a position": (READ, ["/a", {"inode": 1}], ["position is", "missing `offset`"]),
    "more than a position": (
        READ,
        ["/a", {"inode": 1, "offset": 1, "x": 1}],
        ["position is", "unknown: `x`"],
    ),
    "negative": (READ, ["/a", {"inode": -1, "offset": 0}], ["position.inode is -1", ">= 0"]),
    "inode": (READ, ["/a", {"inode": 2**64, "offset": 0}], ["position is", "< 2**64"]),
    "offset": (READ, ["/a", {"inode": 0, "offset": 2**63}], ["position.offset is", "<="]),
    "inode as text": (READ, ["/a", {"inode": str(2**64), "offset": 0}], ["< 2**64"]),
    "offset as text": (READ, ["/a", {"inode": 0, "offset": str(2**63)}], ["< 2**63"]),
    "no digits": (READ, ["/a", {"inode": "0x7", "offset": 0}], ['inode is "0x7"', "matching"]),
    "birth": (READ, ["/a", {"inode": 0, "offset": 0, "birth": 1}], ["birth is 1", "`str`"]),
    "uuid": (
        OPEN,
        {"path": "/a", "domain": {"uuid": UUID[:-1], "name": "x"}},
        ["domain.uuid is", "matching"],
    ),
    "a newline behind a uuid": (
        OPEN,
        {"path": "/a", "domain": {"uuid": UUID + "\n", "name": "x"}},
        ["domain.uuid is", "matching"],
    ),
    "a newline behind digits": (READ, ["/a", {"inode": "7\n", "offset": 0}], ["matching"]),
    "no guest's name": (OPEN, {"path": "/a", "domain": {"uuid": UUID}}, ["missing `name`"]),
    "a path that is not absolute": (READ, ["a/b"], ["not absolute"]),
    "an empty path": (READ, [""], ["not absolute"]),
    "the root": (READ, ["/"], ["ends with a slash"]),
    "a directory": (READ, ["/a/"], ["ends with a slash"]),
    "an empty component": (READ, ["/a//b"], ["//"]),
    "two slashes first": (READ, ["//a"], ["//"]),
    "a dot": (READ, ["/./a"], ['"."']),
    "a dot at the end": (READ, ["/a/."], ['"."']),
    "two dots": (READ, ["/a/../b"], ['".."']),
    "two dots at the end": (READ, ["/a/.."], ['".."']),
    "a NUL": (READ, ["/a\0b"], ["NUL"]),
    "a long value": (READ, {"path": "/a", "max_bytes": "x" * 1000}, ['max_bytes is "xxx']),
    "a very long value": (READ, {"path": "/a", "max_bytes": "x" * 10000}, ["max_bytes: expected"]),
    "a long name": (READ, {"path": "/a", "x" * 10000: 1}, ["unknown: `xxx"]),
}


@pytest.mark.parametrize(("decoder", "params", "words"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_names_the_parameter_and_what_is_right(
    decoder: ParamsDecoder[Any], params: Any, words: list[str]
) -> None:
    """A person can put the request right from the message alone, and it stays short."""
    with pytest.raises(InvalidParams) as caught:
        decoder.decode(raw(params))
    message = str(caught.value)
    assert message.startswith("Invalid params: ")
    assert len(message) < 500
    for word in words:
        assert word in message


def test_a_fault_knows_the_path() -> None:
    """Whether by name or by position; not if that is no string."""
    for params, path in (
        ({"path": "/a", "x": 1}, "/a"),
        (["/a", 5], "/a"),
        (["a"], "a"),
        ({"path": 5}, None),
        ([5], None),
        ([], None),
    ):
        with pytest.raises(InvalidParams) as caught:
            READ.decode(raw(params))
        assert caught.value.path == path


def test_a_number_out_of_range_is_a_fault() -> None:
    """A number that Python has no value for is refused like any other."""
    for number in ("1e999", "9" * 5000):
        with pytest.raises(InvalidParams, match="max_bytes"):
            READ.decode(Raw(f'{{"path":"/a","max_bytes":{number}}}'.encode()))


@pytest.mark.parametrize(
    "path", ["/a", "/a b/ü.log", "/a\n", "/..a/...", "/.hidden/a..", "/" + "x" * 9999]
)
def test_any_normal_path_is_taken(path: str) -> None:
    """Dots are fine within names; how long a name may be is the file system's affair."""
    assert READ.decode(raw([path])).path == path


@pytest.mark.parametrize("uuid", [UUID, UUID.upper()])
def test_a_guest_is_taken(uuid: str) -> None:
    """Hexadecimal digits of either case."""
    domain = OPEN.decode(raw({"path": "/a", "domain": {"uuid": uuid, "name": ""}})).domain
    assert domain == schema.Domain(uuid, "")
