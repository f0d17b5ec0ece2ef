"""The table of all methods, for dispatch, validation and the OpenRPC document."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Annotated, Any

import msgspec

from twisted_virtlog import __version__
from twisted_virtlog.interfaces import Answer
from twisted_virtlog.jsonrpc.admin_methods import ADMIN_METHODS
from twisted_virtlog.jsonrpc.consumer_methods import CONSUMER_METHODS
from twisted_virtlog.jsonrpc.daemon_methods import DAEMON_METHODS, TITLE
from twisted_virtlog.jsonrpc.files_methods import FILES_METHODS
from twisted_virtlog.jsonrpc.follow_methods import FOLLOW_METHODS
from twisted_virtlog.jsonrpc.history_methods import HISTORY_METHODS
from twisted_virtlog.jsonrpc.ledger_methods import LEDGER_METHODS
from twisted_virtlog.jsonrpc.log_methods import LOG_METHODS
from twisted_virtlog.jsonrpc.method import Example, Method, Services, ServingSocket, as_it_is
from twisted_virtlog.jsonrpc.openrpc import DOCUMENT_SCHEMA, OPENRPC_VERSION, openrpc_document
from twisted_virtlog.jsonrpc.params import ParamsDecoder
from twisted_virtlog.jsonrpc.policy_methods import POLICY_METHODS
from twisted_virtlog.jsonrpc.schema import NoParams

#: The document that was made last; the sockets hardly ever change.
_latest: dict[tuple[ServingSocket, ...], msgspec.Raw] = {}


def _make_document(sockets: tuple[ServingSocket, ...]) -> Generator[None, None, msgspec.Raw]:
    document = yield from openrpc_document(METHODS.values(), TITLE, __version__, sockets)
    made = msgspec.Raw(msgspec.json.encode(document))
    _latest.clear()
    _latest[sockets] = made
    return made


def _discover(services: Services, _params: NoParams) -> Answer[msgspec.Raw]:
    sockets = services.sockets()
    made = _latest.get(sockets)
    return services.in_slices(_make_document(sockets)) if made is None else made


_TABLE: tuple[Method[Any, Any], ...] = (
    *LOG_METHODS,
    *FILES_METHODS,
    *FOLLOW_METHODS,
    *HISTORY_METHODS,
    *POLICY_METHODS,
    *LEDGER_METHODS,
    *CONSUMER_METHODS,
    *DAEMON_METHODS,
    *ADMIN_METHODS,
    Method(
        name="rpc.discover",
        summary="Return this document.",
        params=ParamsDecoder(NoParams),
        result=Annotated[dict[str, Any], msgspec.Meta(extra_json_schema=DOCUMENT_SCHEMA)],
        ask=_discover,
        present=as_it_is,
        example=Example(
            "a document without its methods",
            NoParams(),
            {
                "openrpc": OPENRPC_VERSION,
                "info": {"title": TITLE, "version": __version__},
                "servers": [{"name": "jsonrpc", "url": "unix:/run/libvirt/virtlogd-jsonrpc-sock"}],
                "methods": [],
                "components": {},
            },
        ),
        read_only=True,
    ),
)

#: The table of methods, by name.
METHODS = {method.name: method for method in _TABLE}


def methods_served(read_only: bool, streams: bool) -> Mapping[str, Method[Any, Any]]:
    """Return the methods that a connection serves, by each of their names.

    :param read_only: whether it is to the read-only socket.
    :param streams: whether it can carry descriptors, and texts that were not requested.
    """
    served = [
        method
        for method in _TABLE
        if (method.read_only or not read_only) and (streams or not method.needs_stream)
    ]
    return {name: method for method in served for name in (method.alias, method.name)}


#: All methods, by each of their names.
BY_ANY_NAME = methods_served(read_only=False, streams=True)
