"""The page's own files: all of them here, none from elsewhere, and small."""

from __future__ import annotations

import re

from harness.vendoring import wrong_files
from twisted_virtlog.web.assets import PAGE, STATIC, assets

#: The first load of the page.
MOST_BYTES = 150_000


def test_what_others_made_is_what_was_pinned() -> None:
    assert wrong_files() == []


def test_the_first_load_is_small() -> None:
    assert sum(len(asset.packed) for name, asset in assets() if "LICENSE" not in name) < MOST_BYTES


def test_all_addresses_are_relative_and_lead_to_a_file() -> None:
    """So the page can be mounted anywhere, and loads nothing from elsewhere."""
    names = {name for name, _ in assets()}
    for name in sorted(names):
        path = STATIC / name
        if name.startswith("vendor/") or path.suffix not in {".js", ".html"}:
            continue
        found = re.findall(r'(?:from|src=|href=) ?"([^"]*)"', path.read_text())
        for address in found:
            if address not in {"#", "data:,"}:
                assert address.removeprefix("./") in names, (name, address)
    assert PAGE in names


def test_no_script_writes_html() -> None:
    """Names of guests and logs are text, whatever is in them."""
    for path in STATIC.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", path.read_text()
        )
    assert not re.search(r"<script(?! type=\"module\" src=)|\son\w+=", (STATIC / PAGE).read_text())
