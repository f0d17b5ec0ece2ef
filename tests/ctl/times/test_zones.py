"""The caller's zone is the one in which the C library shows times."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

from twisted_virtlog.ctl.times.zones import local_zone, named_zone

WINTER_S, SUMMER_S = 1_795_788_300, 1_782_900_000
DATABASE = Path("/usr/share/zoneinfo")
BERLIN = DATABASE / "Europe" / "Berlin"


def shown(environ: dict[str, str], localtime: str = "/etc/localtime") -> list[str]:
    """Return the offsets in winter and in summer."""
    zone = local_zone(environ, localtime)
    return [datetime.fromtimestamp(moment, zone).strftime("%z") for moment in (WINTER_S, SUMMER_S)]


@pytest.mark.parametrize(
    "variable",
    [
        "Europe/Berlin",
        ":Europe/Berlin",
        "America/New_York",
        str(BERLIN),
        f":{BERLIN}",
        "UTC",
        "",
        ":",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        ":CET-1CEST,M3.5.0,M10.5.0/3",
        "CET-1CEST",
        "EST5EDT",
        "XST5XDT4",
        "<+0330>-3:30",
        "JST-9",
        "XXX3",
        # What is wrong means UTC.
        "Europe/Nowhere",
        "Europe",
        "../zoneinfo/Europe/Nowhere",
        "/nowhere",
        "/usr",
        "/dev/zero",
        "/etc/passwd",
        "A-1",
        "\udcff",
    ],
)
def test_the_variable_is_understood_as_by_the_c_library(variable: str) -> None:
    """All that it takes, and UTC for what it does not."""
    program = "import time\nfor at in (%d, %d): print(time.strftime('%%z', time.localtime(at)))"
    result = subprocess.run(
        [sys.executable, "-I", "-c", program % (WINTER_S, SUMMER_S)],
        env={**os.environ, "TZ": variable},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    assert shown({"TZ": variable}) == result.stdout.split()


def test_without_the_variable_it_is_the_machines(tmp_path: Path) -> None:
    """The file that /etc/localtime leads to; UTC without one."""
    link = tmp_path / "localtime"
    assert shown({}, str(link)) == ["+0000", "+0000"]
    link.symlink_to(BERLIN)
    assert shown({}, str(link)) == ["+0100", "+0200"]
    assert shown({"TZ": "UTC"}, str(link)) == ["+0000", "+0000"]


def test_a_database_of_ones_own(tmp_path: Path) -> None:
    """TZDIR says where it is."""
    (tmp_path / "Home").write_bytes(BERLIN.read_bytes())
    assert shown({"TZDIR": str(tmp_path), "TZ": "Home"}) == ["+0100", "+0200"]
    assert shown({"TZDIR": str(tmp_path), "TZ": "Europe/Berlin"}) == ["+0000", "+0000"]
    assert shown({"TZDIR": str(tmp_path), "TZ": ""}) == ["+0000", "+0000"]


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    """It means UTC; nothing hangs or fails."""
    whole = BERLIN.read_bytes()
    part = tmp_path / "part"
    for length in range(0, len(whole), 13):
        part.write_bytes(whole[:length])
        local_zone({"TZ": str(part)})


def test_a_rule_that_is_none() -> None:
    """It means UTC; the C library takes such a one for summer all year."""
    assert local_zone({"TZ": "CET-1CEST,nonsense"}) is timezone.utc


def test_a_pipe_in_its_place(tmp_path: Path) -> None:
    """Nobody waits for what may be written to it."""
    os.mkfifo(tmp_path / "pipe")
    assert local_zone({"TZ": str(tmp_path / "pipe")}) is timezone.utc


@pytest.mark.parametrize(
    "name", ["", "Nowhere", "Europe", "europe/berlin", "../Europe/Berlin", "/etc/localtime", "a b"]
)
def test_other_names_are_no_zones(name: str) -> None:
    """Whatever the file system has there."""
    assert named_zone(name) is None
