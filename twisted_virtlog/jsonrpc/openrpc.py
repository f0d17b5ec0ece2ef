"""Describe a table of methods in an OpenRPC document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from typing import Any

import msgspec

from twisted_virtlog.jsonrpc.codes import Code
from twisted_virtlog.jsonrpc.method import Example, Method, ServingSocket
from twisted_virtlog.sockets.urls import url_of

#: The version of https://spec.open-rpc.org that the document follows.
OPENRPC_VERSION = "1.3.2"

#: The JSON Schema of the document, as far as it says what a reader finds where. OpenRPC's own is
#: in the network, and whoever resolves references would have to fetch it from there.
DOCUMENT_SCHEMA = {
    "type": "object",
    "required": ["openrpc", "info", "servers", "methods", "components"],
    "properties": {
        "openrpc": {"type": "string", "description": "the version of OpenRPC"},
        "info": {"type": "object", "required": ["title", "version"]},
        "servers": {"type": "array", "items": {"type": "object", "required": ["name", "url"]}},
        "methods": {"type": "array", "items": {"type": "object", "required": ["name", "params"]}},
        "components": {"type": "object"},
    },
}

_SCHEMAS = "#/components/schemas/"
_ERRORS = "#/components/errors/"

_FRAMINGS = "UNIX stream socket: JSON texts as they are, behind headers, or over HTTP/1.1"
_READ_ONLY = "; the methods with x-read-only, for a group"


def openrpc_document(
    methods: Iterable[Method[Any, Any]],
    title: str,
    version: str,
    sockets: Iterable[ServingSocket] = (),
) -> Generator[None, None, dict[str, Any]]:
    """Describe methods, with the schemas by which their parameters are checked; in slices.

    :param sockets: where the methods are served.
    :returns: a document of the types that JSON has.
    """
    methods = list(methods)
    params_types = [method.params.type for method in methods]
    types = [*params_types, *(method.result for method in methods)]
    schemas: list[dict[str, Any]] = []
    components: dict[str, Any] = {}
    for type_ in types:
        found = msgspec.json.schema_components([type_], ref_template=_SCHEMAS + "{name}")
        schemas += _of_ecma(found[0])
        components |= _of_ecma(found[1])
        yield
    results = schemas[len(methods) :]
    # The parameters are written out with their method, so their Structs are left out below.
    params = [components[type_.__name__] for type_ in params_types]
    for type_ in set(params_types):
        del components[type_.__name__]
    sockets = list(sockets)
    servers = _servers(sockets)
    return {
        "openrpc": OPENRPC_VERSION,
        "info": {"title": title, "version": version},
        "servers": servers,
        "methods": [
            _method(method, of_params, result) | _where(method, sockets, servers)
            for method, of_params, result in zip(methods, params, results, strict=True)
        ],
        "components": {
            "schemas": components,
            "errors": {code.name: {"code": code, "message": code.meaning} for code in Code},
        },
    }


def _method(
    method: Method[Any, Any], params: dict[str, Any], result: dict[str, Any]
) -> dict[str, Any]:
    codes = [Code.INVALID_PARAMS, Code.INTERNAL_ERROR, *method.errors]
    if method.needs_stream or not method.read_only:
        codes.append(Code.NOT_ON_THIS_CONNECTION)
    return {
        "name": method.name,
        "x-alias": method.alias,
        "summary": method.summary,
        "paramStructure": "either",
        "params": [
            {"name": name, "required": name in params["required"], "schema": member}
            for name, member in params["properties"].items()
        ],
        "result": {"name": "result", "schema": result},
        "errors": [{"$ref": _ERRORS + code.name} for code in codes],
        "examples": [_example(method.example)],
    }


def _example(example: Example[Any]) -> dict[str, Any]:
    # All parameters, also those that have their defaults, so that they stand by position too.
    params = msgspec.to_builtins(example.params)
    return {
        "name": example.name,
        "params": [{"name": name, "value": value} for name, value in params.items()],
        "result": {"name": "result", "value": msgspec.to_builtins(example.result)},
    }


def _where(
    method: Method[Any, Any], sockets: Sequence[ServingSocket], servers: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return the members that tell where a method is served."""
    members: dict[str, Any] = {
        "x-read-only": method.read_only,
        "x-http": not method.needs_stream,
    }
    if not method.read_only and any(socket.read_only for socket in sockets):
        # Without these a method is served by all servers of the document, as OpenRPC has it.
        members["servers"] = [
            server for socket, server in zip(sockets, servers, strict=True) if not socket.read_only
        ]
    return members


def _servers(sockets: Sequence[ServingSocket]) -> list[dict[str, Any]]:
    seen: Counter[str] = Counter()
    servers = []
    for socket in sockets:
        seen[socket.server] += 1
        nth = seen[socket.server]
        servers.append(
            {
                "name": socket.server if nth == 1 else f"{socket.server}-{nth}",
                "url": url_of(socket.address),
                "summary": _FRAMINGS + (_READ_ONLY if socket.read_only else ""),
            }
        )
    return servers


def _of_ecma(part: Any) -> Any:
    r"""Return a JSON Schema with the patterns of ECMA-262, in which ``$`` is what ``\Z`` is here.

    Python's own ``$`` also matches before a newline at the end, so that the checks have ``\Z``.
    """
    if isinstance(part, dict):
        return {
            name: member.replace(r"\Z", "$")
            if name == "pattern" and isinstance(member, str)
            else _of_ecma(member)
            for name, member in part.items()
        }
    if isinstance(part, (list, tuple)):
        return [_of_ecma(member) for member in part]
    return part
