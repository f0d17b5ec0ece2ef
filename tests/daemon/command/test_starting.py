"""How little the command loads before it answers: for what it does not load, nobody waits."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.daemon.command.command import PATIENCE, User, install, until_answers

#: Runs before the program, and tells at its end what was loaded.
_LISTING = "import atexit; atexit.register(lambda: print(*sys.modules))"

#: Modules of others that cost more than they are worth to a daemon of UNIX sockets.
_FOREIGN = {"OpenSSL", "_hashlib", "click", "email", "hashlib", "ssl", "unittest", "urllib.request"}


def _loaded(user: User) -> set[str]:
    """Start the daemon, ask it one thing and end it; return what it has loaded meanwhile."""
    process = user.start()
    until_answers(user, process)
    process.send_signal(signal.SIGTERM)
    output, error = process.communicate(timeout=PATIENCE)
    assert (process.returncode, error) == (0, "")
    return set(output.split())


def test_the_daemon_answers_without_what_it_does_not_need(user: User, directory: Path) -> None:
    """Neither what Twisted offers, nor TLS."""
    install(directory / "twisted-virtlogd", _LISTING)
    loaded = _loaded(user)
    assert "twisted.internet.epollreactor" in loaded
    assert not loaded & _FOREIGN


def test_what_is_loaded_later_is_there_when_it_is_used() -> None:
    """Twisted's users have what they import, TLS as well."""
    program = (
        "from twisted_virtlog.daemon.command.unneeded import load_later, without_tls\n"
        "load_later()\n"
        "with without_tls():\n"
        "    import twisted.internet.tcp, twisted.python.compat\n"
        "import http.cookiejar, ssl\n"
        "print(http.cookiejar.CookieJar.__name__, ssl.SSLContext.__name__)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )
    assert said.stdout.split() == ["CookieJar", "SSLContext"]
