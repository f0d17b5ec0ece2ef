"""Who may ask what: rules about requests, before anything is asked of the daemon.

A browser sends requests on behalf of any page that it shows. So a request must name a host that is
known, as no page of another name can (a name that was made to lead here, "DNS rebinding"), must not
come from a page of another origin, and can change nothing.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol, final

METHODS = frozenset({b"GET", b"HEAD"})

#: What a browser calls this machine, whatever the port: that is the near end of ``ssh -L``.
LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})

#: Where a page of ours comes from, and what a person types.
_OWN_SITES = frozenset({None, "same-origin", "none"})

_AUTHORITY = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?", re.ASCII)
_BEARER = re.compile(r"Bearer +([!-~]+)", re.IGNORECASE | re.ASCII)

#: What every answer says. The terminal sets styles, and nothing else needs to be allowed.
HEADERS: dict[bytes, bytes] = {
    b"Content-Security-Policy": (
        b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
        b" connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none';"
        b" frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    b"Cross-Origin-Opener-Policy": b"same-origin",
    b"Cross-Origin-Resource-Policy": b"same-origin",
    b"Referrer-Policy": b"no-referrer",
    b"X-Content-Type-Options": b"nosniff",
    b"X-Frame-Options": b"DENY",
}


@dataclass(frozen=True)
class Refused:
    """A request is not carried out.

    :ivar status: of HTTP.
    :ivar reason: for people.
    """

    status: int
    reason: str


@dataclass(frozen=True)
class Asked:
    """What of a request decides whether it is carried out.

    :ivar header: returns the only value of a header, None if it is not there, and "" if there are
        several.
    """

    method: bytes
    header: Callable[[str], str | None]


class ChecksUsers(Protocol):
    """Says who may look at logs."""

    def refusal(self, asked: Asked) -> Refused | None:
        """Return why a request is not carried out; None if it is."""


@final
class SiteChecksUsers:
    """Whoever gets as far as this was let in: by the site around it, or by a socket's mode."""

    def refusal(self, _asked: Asked) -> Refused | None:
        """Refuse nobody."""
        return None


@final
class TokenChecksUsers:
    """Who knows a secret, in the header ``Authorization: Bearer``, may look at logs.

    It is not taken from a cookie, which browsers send to all ports of a host, nor from an address,
    which is kept in histories and logs.
    """

    def __init__(self, token: str) -> None:
        """Let in who knows a token.

        :raises ValueError: it is too short to be a secret, or cannot be in a header.
        """
        if not re.fullmatch(r"[!-~]{16,}", token, re.ASCII):
            raise ValueError("a token has at least 16 characters, of ASCII and without spaces")
        self._token = token.encode("ascii")

    def refusal(self, asked: Asked) -> Refused | None:
        """Refuse who does not know the token."""
        match = _BEARER.fullmatch(asked.header("Authorization") or "")
        if match is not None and hmac.compare_digest(match[1].encode("ascii"), self._token):
            return None
        return Refused(401, "a token is needed: open the address that virtlog-web printed")


@final
class HeaderChecksUsers:
    """Whom a proxy names in a header may look at logs.

    Only for a socket that nobody but the proxy reaches, as others could write any name.
    """

    def __init__(self, header: str) -> None:
        """Let in whom a header names.

        :raises ValueError: no header can have this name.
        """
        if not re.fullmatch(r"[A-Za-z0-9-]+", header, re.ASCII):
            raise ValueError(f"{header!r} is no name of a header")
        self._header = header

    def refusal(self, asked: Asked) -> Refused | None:
        """Refuse who has no name."""
        if asked.header(self._header):
            return None
        return Refused(401, f"the proxy names nobody in the header {self._header}")


def refusal(asked: Asked, hosts: Collection[str], is_page: bool) -> Refused | None:
    """Return why nobody may make a request; None if those may whom somebody else checks.

    :param hosts: the names that this may be asked by, in lower case, without ports.
    :param is_page: it is for the page itself, which has no data: links on others' pages may lead
        there.
    """
    if asked.method not in METHODS:
        return Refused(405, "nothing can be changed here: the methods are GET and HEAD")
    authority = asked.header("Host") or ""
    match = _AUTHORITY.fullmatch(authority)
    if match is None or match["name"].lower() not in hosts:
        return Refused(421, "this is not the site of that name")
    if is_page and _follows_link(asked):
        return None
    if asked.header("Sec-Fetch-Site") not in _OWN_SITES:
        return Refused(403, "a page of another site asked for this")
    origin = asked.header("Origin")
    if origin is not None and origin.lower() not in _origins(authority.lower()):
        return Refused(403, "a page of another origin asked for this")
    return None


def _follows_link(asked: Asked) -> bool:
    mode, goal = asked.header("Sec-Fetch-Mode"), asked.header("Sec-Fetch-Dest")
    return (mode, goal) == ("navigate", "document")


def _origins(authority: str) -> tuple[str, str]:
    return f"http://{authority}", f"https://{authority}"
