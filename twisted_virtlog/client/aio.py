"""The former name of :mod:`.deferred`, the Twisted client; it goes with the next release."""

import warnings

from twisted_virtlog.client.deferred import Client
from twisted_virtlog.client.deferred import connect_endpoint as connect

__all__ = ["Client", "connect"]

warnings.warn(
    "twisted_virtlog.client.aio is Twisted's client: import twisted_virtlog.client.deferred"
    " (its connect() takes the reactor and the socket's path), or twisted_virtlog.client."
    "asyncio_client for asyncio",
    DeprecationWarning,
    stacklevel=2,
)
