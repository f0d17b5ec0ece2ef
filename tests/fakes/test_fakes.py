"""The fakes offer what the real ones do: what is tried with them holds for those."""

from twisted.internet.interfaces import IReactorFDSet
from zope.interface.verify import verifyObject

from tests.fakes.connection import FakeConnection
from tests.fakes.handler import FakeHandler
from tests.fakes.reactor import FakeReactor
from tests.jsonrpc.fakes import Client as JSONRPCClient
from tests.libvirt.fakes import Client as LibvirtClient
from twisted_virtlog.interfaces import IConnection, IConversation, ILogHandler


def test_fakes_offer_their_interfaces() -> None:
    """All methods, with their parameters."""
    assert verifyObject(IReactorFDSet, FakeReactor())
    assert verifyObject(IConnection, FakeConnection())
    assert verifyObject(ILogHandler, FakeHandler())


def test_the_conversations_offer_their_interface() -> None:
    """A connection serves each protocol like any other."""
    assert verifyObject(IConversation, JSONRPCClient().conversation)
    assert verifyObject(IConversation, LibvirtClient().conversation)
