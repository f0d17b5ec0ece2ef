"""Keeps what Twisted loads, and the daemon has no use for, from being loaded at each of its starts.

This is for a process of the daemon's own. In one of twistd's it would come too late, and in one of
another application it would not be the daemon's to decide.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from importlib.util import LazyLoader, find_spec, module_from_spec

#: Twisted offers it to programs that once ran under Python 2. With it come urllib.request, the
#: parsers of HTTP and e-mail, and OpenSSL: together a sixth of the start.
_OFFERED = "http.cookiejar"

#: asyncio does without the first, which has OpenSSL, and Twisted without the second, as where its
#: extra "tls" is not installed. The daemon has UNIX sockets only.
_TLS = ("ssl", "OpenSSL")


def load_later() -> None:
    """Let the module that Twisted offers be loaded when it is used, before Twisted is imported."""
    if _OFFERED in sys.modules:
        return
    spec = find_spec(_OFFERED)
    if spec is None or spec.loader is None:
        return
    spec.loader = LazyLoader(spec.loader)
    module = module_from_spec(spec)
    sys.modules[_OFFERED] = module
    spec.loader.exec_module(module)
    # (as an import would; to look for it there is to use it)
    package, _, name = _OFFERED.rpartition(".")
    setattr(sys.modules[package], name, module)


@contextlib.contextmanager
def without_tls() -> Iterator[None]:
    """Import as where there is no TLS."""
    absent = [name for name in _TLS if name not in sys.modules]
    # (what is None there cannot be imported)
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
