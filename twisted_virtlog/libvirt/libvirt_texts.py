"""A table of libvirt's error texts that differ between its versions.

The daemon uses the texts of the installed libvirt. For a version that was not compared, these are
the texts of the newest compared version that is not newer.
"""

from __future__ import annotations

import glob
import os
import re
from functools import lru_cache

from msgspec import Struct

#: The version whose texts are used if no libvirt is installed, or an older one: 9.0.0.
OLDEST = 9_000_000

_LIBRARIES = (
    "/usr/lib/*/libvirt.so.0.*",
    "/usr/lib64/libvirt.so.0.*",
    "/usr/lib/libvirt.so.0.*",
)

#: The file name has the first two numbers of the version as one, then the third (9.0.0: 9000.0).
_VERSION = re.compile(r"libvirt\.so\.0\.(\d+)\.(\d+)")


class Texts(Struct, frozen=True):
    """The texts of one version.

    :ivar detail: the placeholder in str1 for the text in str2.
    :ivar bad_limits: for a limit of unauthenticated clients above that of all clients.
    :ivar type_swapped: whether the message about the type of a parameter names the wrong type and
        the right one the other way round.
    """

    detail: str
    bad_limits: str
    type_swapped: bool = False

    def wrong_type(self, given: str, name: str, expected: str) -> str:
        """Return the message about a parameter of the wrong type."""
        if self.type_swapped:
            given, expected = expected, given
        return f"invalid type '{given}' for parameter '{name}', expected '{expected}'"


_LIMITS = (
    "The overall maximum number of clients must not be less than the number of clients waiting for"
    " authentication"
)

#: The versions that were compared, the oldest first.
TABLE = {
    OLDEST: Texts(
        "%s",
        "The overall maximum number of clients waiting for authentication must not be less than"
        " the overall maximum number of clients",
    ),
    11_003_000: Texts("%1$s", _LIMITS),
    12_008_000: Texts("%1$s", _LIMITS, type_swapped=True),
}


def texts_of(version: int) -> Texts:
    """Return the texts of a version.

    :param version: libvirt's number for it: 9.0.0 is 9000000.
    """
    return TABLE[max((one for one in TABLE if one <= version), default=OLDEST)]


def texts() -> Texts:
    """Return the texts of the installed libvirt."""
    return texts_of(installed_version())


@lru_cache(maxsize=1)
def installed_version() -> int:
    """Return the version of the installed libvirt; 9.0.0 if there is none."""
    names = [os.path.basename(path) for pattern in _LIBRARIES for path in glob.glob(pattern)]
    return max((version_of(name) for name in names), default=OLDEST)


def version_of(library: str) -> int:
    """Return the version in the file name of a library; 0 if there is none."""
    found = _VERSION.fullmatch(library)
    return int(found[1]) * 1000 + int(found[2]) if found else 0
