"""The texts of libvirt's errors that are not the same in all of its versions, as a table of them.

A daemon speaks as the libvirt beside which it is installed. A version that nobody compared has the
texts of the newest compared one that is not newer than itself.
"""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from functools import lru_cache

#: What is spoken where no libvirt is installed, or an older one: 9.0.0.
OLDEST = 9_000_000

_LIBRARIES = (
    "/usr/lib/*/libvirt.so.0.*",
    "/usr/lib64/libvirt.so.0.*",
    "/usr/lib/libvirt.so.0.*",
)

#: libvirt's library has the version's first two numbers as one, and the third (9.0.0: 9000.0).
_VERSION = re.compile(r"libvirt\.so\.0\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Texts:
    """What one version says.

    :ivar detail: stands in str1 for what is in str2.
    :ivar bad_limits: more clients may be unauthenticated than there may be.
    :ivar type_swapped: of a parameter's type, the wrong one and the right one are named the other
        way round.
    """

    detail: str
    bad_limits: str
    type_swapped: bool = False

    def wrong_type(self, given: str, name: str, expected: str) -> str:
        """Say that a parameter has another type than it should have."""
        if self.type_swapped:
            given, expected = expected, given
        return f"invalid type '{given}' for parameter '{name}', expected '{expected}'"


_LIMITS = (
    "The overall maximum number of clients must not be less than the number of clients waiting for"
    " authentication"
)

#: By the versions that were compared, the oldest first.
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
    """Return what a version says.

    :param version: as libvirt counts, 9.0.0 is 9000000.
    """
    return TABLE[max((one for one in TABLE if one <= version), default=OLDEST)]


def texts() -> Texts:
    """Return what the libvirt says that is installed."""
    return texts_of(installed_version())


@lru_cache(maxsize=1)
def installed_version() -> int:
    """Return the version of the libvirt that is installed, 9.0.0 if there is none."""
    names = [os.path.basename(path) for pattern in _LIBRARIES for path in glob.glob(pattern)]
    return max((version_of(name) for name in names), default=OLDEST)


def version_of(library: str) -> int:
    """Return the version of a library by its file name; 0 if the name has none."""
    found = _VERSION.fullmatch(library)
    return int(found[1]) * 1000 + int(found[2]) if found else 0
