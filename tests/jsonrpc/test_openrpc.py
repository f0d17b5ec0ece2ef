"""The OpenRPC document describes what the daemon really takes and gives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.jsonrpc.fakes import Client
from twisted_virtlog.jsonrpc.codes import Code
from twisted_virtlog.jsonrpc.method import ServingSocket
from twisted_virtlog.jsonrpc.methods import METHODS, methods_served


@pytest.fixture(scope="module")
def document() -> Any:
    """Ask rpc.discover."""
    return Client().call("rpc.discover")["result"]


def members(part: Any) -> Iterator[tuple[str, Any]]:
    """Find the members of all objects in a part of the document, however deep."""
    if isinstance(part, dict):
        for name, member in part.items():
            yield name, member
            yield from members(member)
    elif isinstance(part, list):
        for member in part:
            yield from members(member)


def by_name(part: Any) -> dict[str, Any]:
    """Return what an array of objects with names has, by name."""
    found = {one["name"]: one for one in part}
    assert len(found) == len(part), "a name comes twice"
    return found


def discovered(*sockets: ServingSocket) -> Any:
    """Ask a daemon that serves on these sockets."""
    client = Client()
    client.sockets = sockets
    return client.call("rpc.discover")["result"]


def test_its_frame_is_that_of_openrpc(document: Any) -> None:
    """The members that the OpenRPC specification asks for, and no others."""
    assert document.keys() == {"openrpc", "info", "servers", "methods", "components"}
    assert document["openrpc"].startswith("1.3.")
    assert document["info"].keys() == {"title", "version"}
    for method in document["methods"]:
        assert method.keys() == {
            "name", "summary", "paramStructure", "params", "result", "errors", "examples",
            "x-alias", "x-read-only", "x-http",
        }  # fmt: skip
        assert method["paramStructure"] == "either"
        assert method["result"].keys() == {"name", "schema"}
        required = [param["required"] for param in method["params"]]
        assert required == sorted(required, reverse=True), "required ones come first"


def test_every_method_is_in_it(document: Any) -> None:
    """All that is served is described, by name and in the order of the parameters."""
    described = {m["name"]: [p["name"] for p in m["params"]] for m in document["methods"]}
    assert described == {
        "log.open": ["path", "driver", "domain", "truncate"],
        "log.close": ["path"],
        "log.remove": ["path"],
        "log.follow": ["path", "position", "since", "encoding", "until"],
        "log.unfollow": ["subscription"],
        "log.watch": [],
        "log.ledger": ["path"],
        "log.policy": ["path"],
        "consumer.ack": ["consumer", "acks"],
        "consumer.list": [],
        "consumer.forget": ["consumer", "path"],
        "log.locate": ["path", "since", "until"],
        "log.times": ["path", "start", "end"],
        "log.boots": ["path"],
        "log.events": ["path", "since"],
        "log.position": ["path"],
        "log.read": ["path", "position", "max_bytes", "encoding"],
        "log.files": ["path", "start"],
        "log.append": ["path", "message", "driver", "domain"],
        "log.list": ["closed"],
        "daemon.info": [],
        "daemon.metrics": [],
        "daemon.reexec": ["to_virtlogd", "state_version"],
        "daemon.clients": ["server"],
        "daemon.disconnect": ["server", "id"],
        "daemon.set_limits": ["server", "max_clients"],
        "daemon.get_logging": [],
        "daemon.set_logging": ["level", "filters", "outputs"],
        "rpc.discover": [],
    }
    assert described.keys() == METHODS.keys()


def test_every_reference_has_its_target(document: Any) -> None:
    """And every component is referred to, but for errors that belong to no method."""
    targets = {
        f"#/components/{kind}/{name}"
        for kind, members in document["components"].items()
        for name in members
    }
    found = {member for name, member in members(document) if name == "$ref"}
    assert found <= targets, "one leads out of the document, or to nothing"
    free = {f"#/components/errors/{code.name}" for code in Code if -32700 <= code <= -32600}
    assert targets - found <= free


def test_its_result_has_what_its_schema_says(document: Any) -> None:
    """Which stands in it, and refers to nothing."""
    schema = by_name(document["methods"])["rpc.discover"]["result"]["schema"]
    assert schema["type"] == "object"
    assert schema["required"] == ["openrpc", "info", "servers", "methods", "components"]
    assert schema["properties"].keys() == document.keys() == set(schema["required"])
    for name in ("servers", "methods"):
        required = set(schema["properties"][name]["items"]["required"])
        assert all(required <= one.keys() for one in document[name])


def test_limits_and_defaults_are_those_of_the_check(document: Any) -> None:
    """They come from the types that check requests."""
    read = by_name(document["methods"])["log.read"]
    params = {param["name"]: param["schema"] for param in read["params"]}
    assert params["max_bytes"]["default"] == 1048576
    assert (params["max_bytes"]["minimum"], params["max_bytes"]["maximum"]) == (1, 4194304)
    assert sorted(params["encoding"]["enum"]) == ["base64", "utf-8"]
    assert all(param["description"] for param in params.values())


def test_errors_have_their_codes(document: Any) -> None:
    """Each with when it is answered."""
    found = {name: error["code"] for name, error in document["components"]["errors"].items()}
    assert found == {code.name: int(code) for code in Code}


# Examples.


@pytest.mark.parametrize("name", METHODS)
def test_each_method_has_an_example_that_it_takes(document: Any, name: str) -> None:
    """By name and by position: all its parameters are there, in their order."""
    method = by_name(document["methods"])[name]
    (example,) = method["examples"]
    assert example["name"]
    params = {one["name"]: one["value"] for one in example["params"]}
    assert list(params) == [param["name"] for param in method["params"]]
    decode = METHODS[name].params.decode
    expected = METHODS[name].example.params
    assert decode(msgspec.Raw(msgspec.json.encode(params))) == expected
    by_position = decode(msgspec.Raw(msgspec.json.encode(list(params.values()))))
    assert msgspec.structs.astuple(by_position) == msgspec.structs.astuple(expected)


@pytest.mark.parametrize("name", METHODS)
def test_the_result_of_an_example_is_one_of_the_method(document: Any, name: str) -> None:
    """With just the members that its type has; positions say which file they mean."""
    (example,) = by_name(document["methods"])[name]["examples"]
    value = example["result"]["value"]
    result = msgspec.convert(value, METHODS[name].result, strict=True)
    assert msgspec.to_builtins(result) == value
    positions = [one for _, one in members(example) if isinstance(one, dict) and "inode" in one]
    assert all(position["birth"] for position in positions)
    assert positions or "Position" not in str(METHODS[name].result)


# Names and patterns.


def test_each_method_tells_its_other_name(document: Any) -> None:
    """Under which it is served too, and which is a name in most languages."""
    for method in document["methods"]:
        alias = method["x-alias"]
        assert alias.isidentifier()
        assert methods_served(read_only=False, streams=True)[alias] is METHODS[method["name"]]


def test_types_and_methods_have_names_of_their_own(document: Any) -> None:
    """In capitals too, as generators make a type of a method."""
    types = {method["x-alias"].replace("_", "").lower() for method in document["methods"]}
    assert len(types) == len(document["methods"])
    assert not types & {name.lower() for name in document["components"]["schemas"]}


def test_patterns_are_those_of_ecma(document: Any) -> None:
    r"""They end in ``$``, as readers of JSON Schema have no ``\Z``."""
    patterns = {m for name, m in members(document) if name == "pattern" and isinstance(m, str)}
    assert len(patterns) == 3
    for pattern in patterns:
        assert pattern.startswith("^")
        assert pattern.endswith("$")
        assert set(re.findall(r"\\(.)", pattern)) <= {".", "x"}
        assert "(?P" not in pattern


# Servers.

READ_WRITE = ServingSocket("jsonrpc", b"/run/libvirt/virtlogd-jsonrpc-sock", read_only=False)
READ_ONLY = ServingSocket("jsonrpc-ro", b"/run/libvirt/virtlogd-jsonrpc-sock-ro", read_only=True)


def test_servers_are_the_sockets() -> None:
    """Also where they change while the daemon runs."""
    (server,) = discovered(READ_WRITE)["servers"]
    assert server.keys() == {"name", "url", "summary"}
    assert server["name"] == "jsonrpc"
    assert server["url"] == "unix:/run/libvirt/virtlogd-jsonrpc-sock"
    found = by_name(discovered(READ_WRITE, READ_ONLY)["servers"])
    assert list(found) == ["jsonrpc", "jsonrpc-ro"]
    assert found["jsonrpc"] == server
    assert found["jsonrpc-ro"]["url"] == "unix:/run/libvirt/virtlogd-jsonrpc-sock-ro"
    assert "x-read-only" in found["jsonrpc-ro"]["summary"]
    assert discovered()["servers"] == []


def test_several_sockets_of_one_server_have_names_of_their_own() -> None:
    """As a service manager may hand over more than one."""
    other = ServingSocket("jsonrpc", b"\0other", read_only=False)
    found = by_name(discovered(READ_WRITE, other, READ_ONLY)["servers"])
    assert {name: server["url"] for name, server in found.items()} == {
        "jsonrpc": "unix:/run/libvirt/virtlogd-jsonrpc-sock",
        "jsonrpc-2": "unix-abstract:other",
        "jsonrpc-ro": "unix:/run/libvirt/virtlogd-jsonrpc-sock-ro",
    }


def test_each_method_tells_where_it_is_served() -> None:
    """As dispatch has it; without servers of its own, by all."""
    document = discovered(READ_WRITE, READ_ONLY)
    for method in document["methods"]:
        for member, served in (
            ("x-read-only", methods_served(read_only=True, streams=True)),
            ("x-http", methods_served(read_only=False, streams=False)),
        ):
            assert method[member] is (method["name"] in served)
        servers = [server["name"] for server in method.get("servers", document["servers"])]
        assert servers == ["jsonrpc", *(["jsonrpc-ro"] if method["x-read-only"] else [])]
    found = by_name(document["methods"])
    assert (found["log.read"]["x-read-only"], found["log.read"]["x-http"]) == (True, True)
    assert (found["log.open"]["x-read-only"], found["log.open"]["x-http"]) == (False, False)
