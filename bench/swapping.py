"""Exchanges a log's directories and files for links, as somebody who owns them may.

    python -m bench.swapping BASE UID SWAPS SEED      # as root; goes on as that user

Below BASE are ``root/tenant`` and what ``bench.roots`` makes beside them. It ends when it has done
so many exchanges and its standard input is closed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import select
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

_RENAME_EXCHANGE = 2
_AT_FDCWD = -100

_renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
_renameat2.argtypes = (
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_uint,
)

#: The names of the log's files, in the tenant's directory and outside.
NAMES = ("guest.log", "guest.log.0", "guest.log.1", "guest.log.2", "guest.log.3")

#: The directory of the log, from the tenant's on.
LOG_DIRECTORY = Path("a", "guest")


class Attacker:
    """One who exchanges what he owns."""

    def __init__(self, base: Path, seed: str) -> None:
        self._random = random.Random(seed)
        self._outside = base / "outside"
        self._tenant = base / "root" / "tenant"
        self._log = self._tenant / LOG_DIRECTORY
        self._own = self._tenant / f"own-{seed}"
        self._own.mkdir(exist_ok=True)
        self._kinds: list[Callable[[], None]] = [
            self._link_for_file,
            self._link_for_file,
            self._hard_link_for_file,
            self._hard_link_for_a_moment,
            self._hard_link_for_a_moment,
            self._link_for_directory,
            self._link_for_directory,
            self._other_directory,
            self._own_file,
            self._nothing,
        ]

    def swap(self) -> None:
        """Do one exchange; the other one's may be in its way."""
        with contextlib.suppress(OSError):
            self._random.choice(self._kinds)()

    def tidy(self) -> None:
        """Let the log's directory be there, now and then, so that there is something to attack."""
        for directory in (self._tenant / "a", self._log):
            with contextlib.suppress(OSError):
                if directory.is_symlink() or not directory.is_dir():
                    directory.unlink(missing_ok=True)
                directory.mkdir(exist_ok=True)
        for name in NAMES:
            with contextlib.suppress(OSError):
                (self._log / name).unlink()

    def _name(self) -> str:
        return self._random.choice(NAMES)

    def _link_for_file(self) -> None:
        name, link = self._name(), self._own / "link"
        link.unlink(missing_ok=True)
        link.symlink_to(self._outside / self._random.choice(["secret", "linked"]) / name)
        self._exchange(link, self._log / name)

    def _hard_link_for_file(self) -> None:
        name, link = self._name(), self._own / "link"
        link.unlink(missing_ok=True)
        os.link(self._outside / "linked" / name, link)
        self._exchange(link, self._log / name)

    def _hard_link_for_a_moment(self) -> None:
        """Let the file have one name again, as soon as it may have been opened."""
        path = self._log / self._name()
        linked = self._outside / "linked" / path.name
        path.unlink(missing_ok=True)
        for _ in range(8):
            os.link(linked, path)
            path.unlink()

    def _link_for_directory(self) -> None:
        place = self._random.choice([self._tenant / "a", self._log])
        target = self._outside / ("tenant" if place.name == "a" else "secret")
        link = self._own / "directory"
        link.unlink(missing_ok=True)
        link.symlink_to(self._random.choice([target, self._outside / "linked", self._own]))
        for _ in range(2):
            self._exchange(link, place)

    def _other_directory(self) -> None:
        other = self._own / "other"
        other.mkdir(exist_ok=True)
        self._exchange(other, self._log)

    def _own_file(self) -> None:
        path = self._log / self._name()
        path.unlink(missing_ok=True)
        path.write_bytes(b"the tenant's own\n")

    def _nothing(self) -> None:
        path = self._log / self._name()
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def _exchange(self, one: Path, other: Path) -> None:
        """Exchange two names at one moment."""
        if _renameat2(_AT_FDCWD, bytes(one), _AT_FDCWD, bytes(other), _RENAME_EXCHANGE):
            os.rename(one, other)


def main() -> None:
    """Exchange as often as told."""
    base, uid, swaps, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    attacker = Attacker(base, seed)
    done = 0
    # (each write to the input asks for a report)
    while True:
        attacker.swap()
        done += 1
        if not done % 32:
            attacker.tidy()
        if done >= swaps and select.select([sys.stdin], [], [], 0)[0]:
            break
        if done == swaps:
            print("done", flush=True)
    print(done, flush=True)


if __name__ == "__main__":
    main()
