"""A site with a login of its own, which shows logs to those who have one.

Run it with the daemon's JSON-RPC socket and a port, then open http://127.0.0.1:PORT/logs/ as the
user "operator" with the password "open sesame":

    python page_in_a_site.py /run/libvirt/virtlogd-jsonrpc-sock-ro 8080
"""

from __future__ import annotations

import sys
from functools import partial

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet import reactor
from twisted.web.guard import BasicCredentialFactory, HTTPAuthSessionWrapper
from twisted.web.resource import IResource, Resource
from twisted.web.server import Site
from zope.interface import implementer

from twisted_virtlog.client.deferred import connect
from twisted_virtlog.web.access import SiteChecksUsers
from twisted_virtlog.web.resource import LogsResource


@implementer(IRealm)
class Realm:
    """Gives the site to whoever has logged in."""

    def __init__(self, root):
        self._root = root

    def requestAvatar(self, avatarId, mind, *interfaces):
        """Return the resource for a user."""
        return IResource, self._root, lambda: None


def main(daemon: str, port: str) -> None:
    """Serve the site."""
    root = Resource()
    # (whoever gets there has logged in)
    logs = LogsResource(reactor, partial(connect, reactor, daemon), SiteChecksUsers())
    root.putChild(b"logs", logs)
    users = InMemoryUsernamePasswordDatabaseDontUse(operator=b"open sesame")
    login = HTTPAuthSessionWrapper(Portal(Realm(root), [users]), [BasicCredentialFactory("logs")])
    listening = reactor.listenTCP(int(port), Site(login), interface="127.0.0.1")
    print(f"http://127.0.0.1:{listening.getHost().port}/logs/", flush=True)
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
