"""Which paths are below a root, and what reaches their files."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.errors import NotAllowed
from twisted_virtlog.logs.files.beneath import Beneath
from twisted_virtlog.logs.files.log_directory import BY_PATH
from twisted_virtlog.logs.files.roots import ANYWHERE, Roots


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("/srv/logs/a.log", "/srv/logs/a.log"),
        ("/srv/logs/q/a.log", "/srv/logs/q/a.log"),
        ("/srv/logs/q/../a.log", "/srv/logs/a.log"),
        ("//srv/./logs//a.log", "/srv/logs/a.log"),
        ("/srv/logs/.hidden", "/srv/logs/.hidden"),
        ("/srv/logs/..a", "/srv/logs/..a"),
        ("/var/log/guests/a.log", "/data/guests/a.log"),
        ("/data/guests/a.log", "/data/guests/a.log"),
        ("/srv/logs/q/special/a.log", "/mnt/s/a.log"),
        ("/srv/logs", None),
        ("/srv/logs/", None),
        ("/srv/logs/.", None),
        ("/srv/logs/../etc/shadow", None),
        ("/srv/logs/../../etc/shadow", None),
        ("/srv/logs2/a.log", None),
        ("/srv", None),
        ("/", None),
        ("", None),
        ("srv/logs/a.log", None),
        ("./srv/logs/a.log", None),
        ("/data/other/a.log", None),
    ],
)
def test_a_path_is_taken_as_it_is_written(path: str, real: str | None) -> None:
    """It is below a root by its text alone, and begins with the root as written or as it leads."""
    roots = Roots(["/srv/logs", "/var/log/guests/", "/srv/logs/q/special"])
    roots.leads_to("/var/log/guests/", "/data/guests")
    roots.leads_to("/srv/logs/q/special", "/mnt/s")
    assert roots.real_path(path) == real
    if real is None:
        with pytest.raises(NotAllowed, match="below log_roots, /srv/logs, ") as caught:
            roots.check(path)
        assert caught.value.roots == ("/srv/logs", "/var/log/guests/", "/srv/logs/q/special")
        assert caught.value.path == path
    else:
        roots.check(path)


def test_a_path_without_anything_to_leave_out_is_the_same_object() -> None:
    """Ten thousand logs keep one string each."""
    path = "/srv/logs/q/a.log"
    assert Roots(["/srv"]).real_path(path) is path


def test_a_root_may_lead_elsewhere_later() -> None:
    """What was below the former directory is outside then."""
    roots = Roots(["/var/log"])
    assert roots.real_path("/var/log/a") == "/var/log/a"
    roots.leads_to("/var/log", "/data/a")
    assert roots.real_path("/data/a/b") == "/data/a/b"
    roots.leads_to("/var/log", "/data/b")
    assert roots.real_path("/var/log/a") == "/data/b/a"
    assert roots.real_path("/data/a/b") is None


def test_the_root_directory_is_a_root() -> None:
    """Then a log may be anywhere, and links nowhere."""
    for name in ("/", "//", "/."):
        roots = Roots([name])
        assert roots
        assert roots.real_path("/etc/a") == "/etc/a"
        assert roots.real_path("/") is None


def test_without_roots_logs_are_anywhere() -> None:
    """Nothing is refused, and files are reached by their paths."""
    assert not ANYWHERE
    ANYWHERE.check("/etc/passwd")
    ANYWHERE.check_directory("/etc")
    assert ANYWHERE.directory_of("/etc/passwd") is BY_PATH


def test_a_directory_may_be_a_root_itself() -> None:
    """Old logs are looked for in it, and below."""
    roots = Roots(["/srv/logs"])
    roots.check_directory("/srv/logs")
    roots.check_directory("/srv/logs/q")
    for other in ("/srv", "/srv/logs2", "/"):
        with pytest.raises(NotAllowed):
            roots.check_directory(other)
    assert isinstance(roots.directory_of("/srv/logs/a"), Beneath)


names = st.sampled_from(["a", "b", ".", "..", "", ".x", "..."])


@given(st.lists(names, max_size=8), st.lists(st.sampled_from(["a", "b"]), max_size=2))
def test_what_is_below_has_no_way_up(path: list[str], root: list[str]) -> None:
    """It begins with the root, and has neither dots nor empty names after that."""
    base = "/" + "/".join(root)
    found = Roots([base]).real_path("/" + "/".join(path))
    if found is not None:
        assert found.startswith(base.rstrip("/") + "/")
        written = found[len(base.rstrip("/")) + 1 :]
        assert not {".", ".."} & set(written.split("/"))
        assert os.path.normpath(found) == found.rstrip("/")
