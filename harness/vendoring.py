"""Renews what the page has of others, from a package of npm's registry, and compares it.

    python -m harness.vendoring          # what is there is what the package has
    python -m harness.vendoring --renew  # fetch it anew

For another version, change what is pinned here, with the hashes that it prints.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

#: The package, and the hash (SHA-512) of its archive.
PACKAGE = "@xterm/xterm"
VERSION = "6.0.0"
ARCHIVE_SHA512 = (
    "4d0c037501adc300edfb67202832e7d0845a4b162ed6d4948e029aad20e450cd"
    "193624915c5a63c44b2f73f66073992ae68989f95d1af3f908336583dec30e62"
)

PLACE = Path(__file__).parents[1] / "twisted_virtlog" / "web" / "static" / "vendor" / "xterm"

#: The files that the page uses, by their names there: where they are in the archive, and SHA-256.
FILES = {
    "xterm.mjs": (
        "package/lib/xterm.mjs",
        "b336ec65a086c056d4804b3d4c2347da5663d3f23c3f25be866467bd8857ad59",
    ),
    "xterm.css": (
        "package/css/xterm.css",
        "854a7c0fb70e8b1a083c16797ab827299fb18744f5ad34f227b48337e33293c6",
    ),
    "LICENSE": (
        "package/LICENSE",
        "b569f629d00f2626a8100df2a1798210535621e42164dfd426a6fe5aac7b0ccd",
    ),
}


def wrong_files() -> list[str]:
    """Return the names of files that are not those of the package, or that it has no more."""
    wrong = [
        name
        for name, (_, expected) in FILES.items()
        if not (PLACE / name).is_file()
        or hashlib.sha256((PLACE / name).read_bytes()).hexdigest() != expected
    ]
    return wrong + sorted({path.name for path in PLACE.iterdir()} - set(FILES))


def renew() -> None:
    """Fetch the package, and take from it what the page uses."""
    with tempfile.TemporaryDirectory() as directory:
        command = ["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"]
        subprocess.run(command, cwd=directory, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(directory).glob("*.tgz")
        found = hashlib.sha512(archive.read_bytes()).hexdigest()
        if found != ARCHIVE_SHA512:
            sys.exit(f"{PACKAGE} {VERSION} is another one, with the hash {found}")
        with tarfile.open(archive) as files:
            for name, (member, _) in FILES.items():
                content = files.extractfile(member)
                if content is None:
                    sys.exit(f"{PACKAGE} {VERSION} has no file {member}")
                (PLACE / name).write_bytes(content.read())


def main() -> None:
    """Be the program."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--renew", action="store_true", help="fetch the package anew")
    if parser.parse_args().renew:
        renew()
    if wrong := wrong_files():
        sys.exit(f"these are not what {PACKAGE} {VERSION} has: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
