"""TLS as the sinks' keys ask for it."""

from __future__ import annotations

import ssl

from twisted_virtlog.ship.sink_settings import SinkSettings


def tls_context(settings: SinkSettings) -> ssl.SSLContext:
    """Return what connections are made with; servers have to prove their names.

    :raises OSError: a file cannot be read, or used.
    """
    context = ssl.create_default_context(cafile=settings.tls_ca or None)
    if settings.tls_cert:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    return context
