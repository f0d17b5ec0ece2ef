"""The OpenRPC document describes what the daemon really takes and gives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.jsonrpc.fakes import Client
from twisted_virtlog.jsonrpc.codes import Code
from twisted_virtlog.jsonrpc.methods import METHODS


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


def test_its_frame_is_that_of_openrpc(document: Any) -> None:
    """The members that the OpenRPC specification asks for, and no others."""
    assert document.keys() == {"openrpc", "info", "methods", "components"}
    assert document["openrpc"].startswith("1.3.")
    assert document["info"].keys() == {"title", "version"}
    for method in document["methods"]:
        assert method.keys() == {
            "name", "summary", "paramStructure", "params", "result", "errors",
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
        "log.position": ["path"],
        "log.read": ["path", "position", "max_bytes", "encoding"],
        "log.append": ["path", "message", "driver", "domain"],
        "log.list": [],
        "daemon.info": [],
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
    found = {
        member for name, member in members(document) if name == "$ref" and member.startswith("#")
    }
    assert found <= targets
    free = {f"#/components/errors/{code.name}" for code in Code if -32700 <= code <= -32600}
    assert targets - found <= free


def test_limits_and_defaults_are_those_of_the_check(document: Any) -> None:
    """They come from the types that check requests."""
    (read,) = [m for m in document["methods"] if m["name"] == "log.read"]
    params = {param["name"]: param["schema"] for param in read["params"]}
    assert params["max_bytes"]["default"] == 1048576
    assert (params["max_bytes"]["minimum"], params["max_bytes"]["maximum"]) == (1, 4194304)
    assert sorted(params["encoding"]["enum"]) == ["base64", "utf-8"]
    assert all(param["description"] for param in params.values())


def test_errors_have_their_codes(document: Any) -> None:
    """Each with when it is answered."""
    found = {name: error["code"] for name, error in document["components"]["errors"].items()}
    assert found == {code.name: int(code) for code in Code}


def test_patterns_are_those_of_ecma(document: Any) -> None:
    r"""They end in ``$``, as readers of JSON Schema have no ``\Z``."""
    patterns = {m for name, m in members(document) if name == "pattern" and isinstance(m, str)}
    assert len(patterns) == 3
    for pattern in patterns:
        assert pattern.startswith("^")
        assert pattern.endswith("$")
        assert set(re.findall(r"\\(.)", pattern)) <= {".", "x"}
        assert "(?P" not in pattern
