"""Makes the directory of the daemon's default sockets."""

from __future__ import annotations

import os

from twisted_virtlog.config.paths import Paths


def make_run_directory(paths: Paths) -> None:
    """Make the directory and its parents, with the right mode whatever the umask is.

    :raises OSError: it cannot be made.
    """
    umask = os.umask(0o777 & ~paths.run_mode)
    try:
        os.makedirs(paths.run_directory, exist_ok=True)
    finally:
        os.umask(umask)
