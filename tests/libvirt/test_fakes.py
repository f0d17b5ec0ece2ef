"""The fakes offer what the real ones do."""

from zope.interface.verify import verifyObject

from tests.libvirt.fakes import Client
from twisted_virtlog.interfaces import IConnection, IConversation, ILogHandler


def test_fakes_offer_their_interfaces() -> None:
    """What is tried with the fakes holds for the real handler and connection."""
    client = Client()
    assert verifyObject(ILogHandler, client.handler)
    assert verifyObject(IConnection, client.connection)


def test_the_conversation_offers_its_interface() -> None:
    """A connection can serve libvirt's protocol like any other."""
    assert verifyObject(IConversation, Client().conversation)
