"""The page by itself, on a socket of its own."""

from __future__ import annotations

import errno
import grp
import ipaddress
import os
import secrets
import socket
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IReactorTCP, IReactorUNIX
from twisted.web.server import Site

from twisted_virtlog.client.deferred import connect
from twisted_virtlog.client.deferred_streams import ReactorForClient
from twisted_virtlog.web.access import (
    LOCAL_HOSTS,
    ChecksUsers,
    HeaderChecksUsers,
    SiteChecksUsers,
    TokenChecksUsers,
)
from twisted_virtlog.web.resource import LogsResource
from twisted_virtlog.web.searching import ISearchReactor

_BACKLOG = 128


class IWebReactor(ISearchReactor, ReactorForClient, IReactorTCP, IReactorUNIX):
    """What the page needs of a reactor."""


class CannotServe(Exception):
    """What was asked for cannot be served; the message says why."""


@dataclass(frozen=True)
class Asked:
    """What is to be served where.

    :ivar daemon: the path of the daemon's JSON-RPC socket.
    :ivar socket: the path of the UNIX socket to serve at.
    :ivar group: the name of a group that may reach it; None for its owner alone.
    :ivar listen: an address of this machine and a port, to serve there instead.
    :ivar token_file: has the token for ``listen``, and is made with a new one if it is not there;
        None for a token that ends with the service.
    :ivar trust_header: who names the user to the UNIX socket; None if all who reach it may look.
    :ivar hosts: more names that the page is reached by.
    """

    daemon: str
    socket: str
    group: str | None = None
    listen: tuple[str, int] | None = None
    token_file: str | None = None
    trust_header: str | None = None
    hosts: Collection[str] = field(default=())


def usual_address(uid: int, environment: Mapping[str, str]) -> str:
    """Return the path of the UNIX socket to serve at, if none is named."""
    directory = "/run" if uid == 0 else environment.get("XDG_RUNTIME_DIR", "/tmp")
    return f"{directory}/virtlog-web.sock"


def parse_listen(text: str) -> tuple[str, int]:
    """Return the address and the port that a text names.

    :raises ValueError: it names none, or one that others than this machine reach.
    """
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise ValueError(f"{text!r} is no address, which is 127.0.0.1:PORT")
    address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    if not address.is_loopback:
        raise ValueError(f"{address} is not of this machine alone; put a proxy before the socket")
    return str(address), int(port)


class WebService(Service):
    """Serves the page, and nothing else.

    :ivar token: who knows it may look; None where none is needed.
    """

    def __init__(self, reactor: IWebReactor, asked: Asked) -> None:
        """Make it.

        :raises CannotServe: what is asked for makes no sense, or a file of it cannot be used.
        """
        self._reactor = reactor
        self._asked = asked
        self._port: IListeningPort | None = None
        self.token = None if asked.listen is None else _token(asked.token_file)
        self._resource = LogsResource(
            reactor,
            partial(connect, reactor, asked.daemon),
            self._checks_users(),
            LOCAL_HOSTS | {host.lower() for host in asked.hosts},
        )

    def startService(self) -> None:
        """Begin to serve.

        :raises CannotServe: the socket is not available.
        """
        site: Any = Site(self._resource)
        site.displayTracebacks = False
        try:
            self._port = self._listen(site)
        except OSError as error:
            raise CannotServe(f"{self.where}: {error.strerror or error}") from error
        Service.startService(self)

    def stopService(self) -> Deferred[None]:
        """Serve no longer."""
        return Deferred.fromCoroutine(self._stop())

    @property
    def where(self) -> str:
        """The address, for people: one to open, or the path of the socket."""
        if self._asked.listen is None:
            return self._asked.socket
        host, port = self._asked.listen
        if self._port is not None:
            port = cast(Any, self._port.getHost()).port
        name = f"[{host}]" if ":" in host else host
        # (what is behind # is not sent, nor written to anybody's log)
        return f"http://{name}:{port}/#token={self.token}"

    async def _stop(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        await self._resource.close()
        Service.stopService(self)

    def _checks_users(self) -> ChecksUsers:
        try:
            if self.token is not None:
                if self._asked.trust_header is not None:
                    raise CannotServe("a header is trusted at a UNIX socket only")
                return TokenChecksUsers(self.token)
            if self._asked.trust_header is not None:
                return HeaderChecksUsers(self._asked.trust_header)
        except ValueError as error:
            raise CannotServe(str(error)) from error
        return SiteChecksUsers()

    def _listen(self, site: Any) -> IListeningPort:
        if self._asked.listen is not None:
            host, port = self._asked.listen
            return self._reactor.listenTCP(port, site, _BACKLOG, host)
        path = self._asked.socket
        group = _group_id(self._asked.group)
        _remove_left_behind(path)
        # Nobody else may get in before it has its mode.
        before = os.umask(0o177)
        try:
            port_of_path = self._reactor.listenUNIX(path, site, _BACKLOG, mode=0o600)
        finally:
            os.umask(before)
        if group is not None:
            os.chown(path, -1, group)
            os.chmod(path, 0o660)
        return port_of_path


def _group_id(name: str | None) -> int | None:
    try:
        return None if name is None else grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise CannotServe(f"there is no group {name}") from error


def _remove_left_behind(path: str) -> None:
    """Remove a socket that nobody serves any more.

    :raises CannotServe: somebody does, or it is none.
    """
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise CannotServe(f"{path}: it is there, and no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        result = probe.connect_ex(path)
    if result != errno.ECONNREFUSED:
        raise CannotServe(f"{path}: it is in use")
    os.unlink(path)


def _token(path: str | None) -> str:
    if path is None:
        return secrets.token_urlsafe(24)
    file = Path(path)
    try:
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        pass
    except OSError as error:
        raise CannotServe(f"{path}: {error.strerror}") from error
    else:
        with open(made, "w", encoding="ascii") as stream:
            stream.write(f"{secrets.token_urlsafe(24)}\n")
    try:
        if file.stat().st_mode & 0o077:
            raise CannotServe(f"{path}: others may read it; its mode must be 0600")
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotServe(f"{path}: {error}") from error
