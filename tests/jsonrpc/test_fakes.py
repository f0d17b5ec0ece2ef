"""The fakes offer what the real ones do."""

from zope.interface.verify import verifyObject

from tests.jsonrpc.fakes import Client, FakeConnection, FakeHandler
from twisted_virtlog.interfaces import IConnection, IConversation, ILogHandler


def test_fakes_offer_their_interfaces() -> None:
    """What is tried with the fakes holds for the real handler and connection."""
    assert verifyObject(ILogHandler, FakeHandler())
    assert verifyObject(IConnection, FakeConnection())


def test_the_conversation_offers_its_interface() -> None:
    """A connection can serve JSON-RPC like any other protocol."""
    assert verifyObject(IConversation, Client().conversation)
