"""The arguments and results of the procedures of libvirt's admin program."""

from __future__ import annotations

import msgspec

from twisted_virtlog.libvirt.compound import Array, Optional, Record
from twisted_virtlog.libvirt.messages import STRING
from twisted_virtlog.libvirt.typed_params import TYPED_PARAMETER, TypedParameter
from twisted_virtlog.libvirt.xdr import HYPER, UHYPER, UINT

#: The most servers, and the most clients of a server, in one answer.
MAX_LISTED = 16384

_MAX_SETTINGS = 32
_MAX_CLIENT_FACTS = 64


class ServerName(msgspec.Struct, frozen=True, gc=False):
    """A server."""

    name: bytes


class ClientName(msgspec.Struct, frozen=True, gc=False):
    """A client; in arguments, only the server and the id matter.

    :ivar timestamp: when it connected, in seconds since the epoch.
    :ivar transport: how it connected; 0 is a UNIX socket.
    """

    srv: ServerName
    id: int
    timestamp: int
    transport: int = 0


SERVER = Record(ServerName, name=STRING)
CLIENT = Record(ClientName, srv=SERVER, id=UHYPER, timestamp=HYPER, transport=UINT)


class Flags(msgspec.Struct, frozen=True, gc=False):
    """No arguments except flags, of which none is defined."""

    flags: int


class ListServers(msgspec.Struct, frozen=True, gc=False):
    """Whether to return the servers, or only their number."""

    need_results: int
    flags: int


class LookUpServer(msgspec.Struct, frozen=True, gc=False):
    """A name that may be that of a server."""

    name: bytes
    flags: int


class OfServer(msgspec.Struct, frozen=True, gc=False):
    """The server that the call is about."""

    srv: ServerName
    flags: int


class SetOfServer(msgspec.Struct, frozen=True, gc=False):
    """A server, and its new settings."""

    srv: ServerName
    params: tuple[TypedParameter, ...]
    flags: int


class ListClients(msgspec.Struct, frozen=True, gc=False):
    """A server, and whether to return its clients, or only their number."""

    srv: ServerName
    need_results: int
    flags: int


class LookUpClient(msgspec.Struct, frozen=True, gc=False):
    """A number that may be the id of a client."""

    srv: ServerName
    id: int
    flags: int


class OfClient(msgspec.Struct, frozen=True, gc=False):
    """The client that the call is about."""

    clnt: ClientName
    flags: int


class SetOutputs(msgspec.Struct, frozen=True, gc=False):
    """New outputs of the daemon's own log."""

    outputs: bytes | None
    flags: int


class SetFilters(msgspec.Struct, frozen=True, gc=False):
    """New filters of the daemon's own log."""

    filters: bytes | None
    flags: int


class SetTimeout(msgspec.Struct, frozen=True, gc=False):
    """Seconds after which an idle daemon stops."""

    timeout: int
    flags: int


FLAGS = Record(Flags, flags=UINT)
LIST_SERVERS = Record(ListServers, need_results=UINT, flags=UINT)
LOOK_UP_SERVER = Record(LookUpServer, name=STRING, flags=UINT)
OF_SERVER = Record(OfServer, srv=SERVER, flags=UINT)
SET_OF_SERVER = Record(
    SetOfServer, srv=SERVER, params=Array(TYPED_PARAMETER, _MAX_SETTINGS), flags=UINT
)
LIST_CLIENTS = Record(ListClients, srv=SERVER, need_results=UINT, flags=UINT)
LOOK_UP_CLIENT = Record(LookUpClient, srv=SERVER, id=UHYPER, flags=UINT)
OF_CLIENT = Record(OfClient, clnt=CLIENT, flags=UINT)
SET_OUTPUTS = Record(SetOutputs, outputs=Optional(STRING), flags=UINT)
SET_FILTERS = Record(SetFilters, filters=Optional(STRING), flags=UINT)
SET_TIMEOUT = Record(SetTimeout, timeout=UINT, flags=UINT)


class LibVersion(msgspec.Struct, frozen=True):
    """A version of libvirt."""

    libVer: int


class Servers(msgspec.Struct, frozen=True):
    """Servers, and their number."""

    servers: tuple[ServerName, ...]
    ret: int


class FoundServer(msgspec.Struct, frozen=True):
    """The server that was looked up."""

    srv: ServerName


class Parameters(msgspec.Struct, frozen=True):
    """The properties of a server or a client."""

    params: tuple[TypedParameter, ...]


class Clients(msgspec.Struct, frozen=True):
    """Clients, and their number."""

    clients: tuple[ClientName, ...]
    ret: int


class FoundClient(msgspec.Struct, frozen=True):
    """The client that was looked up."""

    clnt: ClientName


class Outputs(msgspec.Struct, frozen=True):
    """The outputs of the daemon's own log, and their number."""

    outputs: bytes
    noutputs: int


class Filters(msgspec.Struct, frozen=True):
    """The filters of the daemon's own log, None if there are none, and their number."""

    filters: bytes | None
    nfilters: int


LIB_VERSION = Record(LibVersion, libVer=UHYPER)
SERVERS = Record(Servers, servers=Array(SERVER, MAX_LISTED), ret=UINT)
FOUND_SERVER = Record(FoundServer, srv=SERVER)
SETTINGS = Record(Parameters, params=Array(TYPED_PARAMETER, _MAX_SETTINGS))
CLIENTS = Record(Clients, clients=Array(CLIENT, MAX_LISTED), ret=UINT)
FOUND_CLIENT = Record(FoundClient, clnt=CLIENT)
CLIENT_FACTS = Record(Parameters, params=Array(TYPED_PARAMETER, _MAX_CLIENT_FACTS))
OUTPUTS = Record(Outputs, outputs=STRING, noutputs=UINT)
FILTERS = Record(Filters, filters=Optional(STRING), nfilters=UINT)
