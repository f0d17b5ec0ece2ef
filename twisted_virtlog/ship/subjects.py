"""What the logs of a fleet are called in NATS: a subject for each log of each host.

A subject is PREFIX.HOST.UUID.LOG. What NATS allows in no token is percent-encoded, and so is all
that is not plain ASCII. A token that would be too long is cut and ends with a hash of the whole, as
a long subject ends the connection for all; the path is in the messages' headers anyway.
"""

from __future__ import annotations

import functools
import hashlib
import re

#: The most bytes of a token.
LONGEST_TOKEN = 128

_HASH_DIGITS = 16
# (a tilde begins a hash, a percent sign a byte)
_ENCODED = re.compile(rb"[^A-Za-z0-9_\-/+=:,@]")
#: The token of a log that belongs to no guest.
NOBODY = "-"


# (who writes much has many messages)
@functools.lru_cache(maxsize=1024)
def token(text: str) -> str:
    """Return a name as a token of a subject.

    :param text: any text; other texts have other tokens.
    """
    data = text.encode("utf-8", "surrogateescape")
    encoded = _ENCODED.sub(lambda found: b"%%%02X" % found[0][0], data)
    if len(encoded) <= LONGEST_TOKEN:
        return encoded.decode("ascii")
    kept = encoded[: LONGEST_TOKEN - _HASH_DIGITS - 1]
    broken = kept.find(b"%", len(kept) - 2)
    if broken >= 0:
        kept = kept[:broken]
    digest = hashlib.sha256(data).hexdigest()[:_HASH_DIGITS]
    return f"{kept.decode('ascii')}~{digest}"


def subject(prefix: str, host: str, uuid: str | None, path: str) -> str:
    """Return the subject of a log.

    :param prefix: one or more tokens.
    :param uuid: of its guest; None if it has none.
    :param path: of the log; two logs of a guest may have one name in two directories.
    """
    return f"{prefix}.{token(host)}.{uuid or NOBODY}.{token(path)}"
