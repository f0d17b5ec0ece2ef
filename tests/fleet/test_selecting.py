"""Which logs are meant, and which of them are one."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from twisted_virtlog.fleet.errors import NotThere
from twisted_virtlog.fleet.naming import Names
from twisted_virtlog.fleet.selecting import Entry, History, Selection, covering
from twisted_virtlog.fleet.stored import Log
from twisted_virtlog.ship.subjects import subject
from twisted_virtlog.values import Position

NOON = datetime(2026, 11, 28, 12, 0, tzinfo=timezone.utc)
WEB = "1111aaaa-1111-4111-8111-111111111111"


def log(host: str, path: str, uuid: str | None = None, domain: str | None = None) -> Log:
    """Return one."""
    return Log(subject("v", host, uuid, path), host, path, "qemu", uuid, domain)


def entry(one: Log, seconds: int = 0) -> Entry:
    """Return a log that is stored."""
    return Entry(one, NOON + timedelta(seconds=seconds), Position(1, 2), seconds)


@pytest.mark.parametrize(
    ("selected", "patterns"),
    [
        (Selection(), ["v.*.*.*"]),
        (Selection(host="n.1"), ["v.n%2E1.*.*"]),
        (Selection(host="n*"), ["v.*.*.*"]),
        (Selection(domain="web"), ["v.*.*.*"]),
        (Selection(domain=WEB.upper()), [f"v.*.{WEB}.*"]),
        (Selection(("/a", "/b"), host="n"), ["v.n.*./a", "v.n.*./b"]),
    ],
)
def test_no_more_is_asked_for_than_need_be(selected: Selection, patterns: list[str]) -> None:
    """By what is known of subjects."""
    assert selected.patterns("v") == patterns


@pytest.mark.parametrize(
    ("selected", "found"),
    [
        (Selection(), True),
        (Selection(host="n?"), True),
        (Selection(host="m?"), False),
        (Selection(("/a",)), True),
        (Selection(("/b",)), False),
        (Selection(domain="w*"), True),
        (Selection(domain=WEB.upper()), True),
        (Selection(domain="x"), False),
        (Selection(domain="w*", host="m"), False),
    ],
)
def test_a_log_is_chosen(selected: Selection, found: bool) -> None:
    """By host, path and guest."""
    assert selected.has(log("n1", "/a", WEB, "web")) is found


def test_logs_of_nobody_have_no_domain() -> None:
    """Whatever the pattern."""
    assert not Selection(domain="*").has(log("n1", "/a"))


def test_a_guest_that_moved_has_one_history() -> None:
    """Other guests, and logs of nobody, have each its own."""
    here, there = entry(log("n1", "/a", WEB, "web"), 1), entry(log("n2", "/a", WEB, "web"), 2)
    others = [entry(log("n1", "/b")), entry(log("n2", "/b"))]
    found = Selection().histories([there, *others, here])
    assert found == [History((here, there)), History((others[0],)), History((others[1],))]
    assert found[0].newest.log.host == "n2"
    assert found[0].pattern("v") == f"v.*.{WEB}./a"
    assert found[1].pattern("v") == "v.n1.-./b"
    assert Selection(("/b", "/a")).histories([here, *others])[0] == History((others[0],))


def test_it_says_what_is_not_there() -> None:
    """Or that it is not clear what is meant."""
    logs = [entry(log("n1", "/b")), entry(log("n2", "/b"))]
    assert Selection(("/b",), host="n2").one(logs).newest.log.host == "n2"
    with pytest.raises(NotThere, match="/b is 2 logs, on n1, n2; choose by --host"):
        Selection(("/b",)).one(logs)
    for selected, words in (
        (Selection(("/c",)), "nothing is stored of /c"),
        (Selection(host="x"), "no log of a host x is stored"),
        (Selection(domain="x"), "no log is one of a guest x"),
        (Selection(("/b",), host="x"), "nothing is stored of a host x of /b"),
    ):
        with pytest.raises(NotThere, match=words):
            selected.histories(logs)


def test_one_pattern_covers_several() -> None:
    """Where they differ, it is any."""
    assert covering(["v.n.-.a"]) == "v.n.-.a"
    assert covering(["v.n.-.a", "v.m.-.a"]) == "v.*.-.a"


def test_names_tell_logs_apart() -> None:
    """And stay what they are when others come."""
    names = Names([log("n1", "/x/a"), log("n2", "/x/a"), log("n1", "/b")])
    assert names.of(log("n1", "/x/a")) == "n1:a"
    assert names.of(log("n3", "/y/a")) == "n3:y/a"
    assert names.of(log("n2", "/x/a")) == "n2:a"
