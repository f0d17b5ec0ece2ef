"""Who may ask what: other sites, other names, other methods and other users do not get in."""

from __future__ import annotations

import pytest

from twisted_virtlog.web.access import (
    HEADERS,
    LOCAL_HOSTS,
    Asked,
    HeaderChecksUsers,
    SiteChecksUsers,
    TokenChecksUsers,
    refusal,
)

TOKEN = "0123456789abcdef"


def asked(method: bytes = b"GET", **headers: str) -> Asked:
    """Make a request with headers, whose names have _ for -."""
    named = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    return Asked(method, lambda name: named.get(name.lower()))


def status(request: Asked, is_page: bool = False) -> int:
    """Return the status with which a request is refused; 200 if it is not."""
    refused = refusal(request, LOCAL_HOSTS, is_page)
    return 200 if refused is None else refused.status


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8080", "localhost:1", "LocalHost", "[::1]:8080", "[::1]"]
)
def test_this_machine_is_known_at_any_port(host: str) -> None:
    assert status(asked(Host=host)) == 200


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.", "::1"),
        *("127.0.0.1:80:80", "127.0.0.1@evil.example", "localhost evil", "127.0.0.2", "[::2]"),
        *("localhost:", "localhost:x", "127.0.0.1\n"),
    ],
)
def test_other_names_are_refused(host: str) -> None:
    """Such a name may have been made to lead here by whoever owns it."""
    assert status(asked(Host=host)) == 421
    assert status(asked(Host=host), is_page=True) == 421


def test_a_request_without_a_host_or_with_two_is_refused() -> None:
    assert status(asked()) == 421
    assert status(Asked(b"GET", lambda _name: "")) == 421


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"OPTIONS", b"get", b"CONNECT"])
def test_nothing_can_be_changed(method: bytes) -> None:
    assert status(asked(method, Host="localhost")) == 405


@pytest.mark.parametrize(
    ("site", "expected"),
    [(None, 200), ("none", 200), ("same-origin", 200), ("same-site", 403), ("cross-site", 403)],
)
def test_pages_of_others_are_refused(site: str | None, expected: int) -> None:
    """Another port of this machine is same-site, and somebody else's."""
    headers = {} if site is None else {"Sec_Fetch_Site": site}
    assert status(asked(Host="localhost", **headers)) == expected


@pytest.mark.parametrize(
    ("mode", "goal", "is_page", "expected"),
    [
        ("navigate", "document", True, 200),
        ("navigate", "document", False, 403),
        ("navigate", "iframe", True, 403),
        ("no-cors", "script", True, 403),
        ("cors", "empty", True, 403),
    ],
)
def test_links_lead_to_the_page_alone(mode: str, goal: str, is_page: bool, expected: int) -> None:
    request = asked(
        Host="localhost", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode=mode, Sec_Fetch_Dest=goal
    )
    assert status(request, is_page) == expected


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        *(("http://127.0.0.1:8080", 200), ("https://127.0.0.1:8080", 200)),
        *(("http://127.0.0.1:9090", 403), ("null", 403), ("http://evil.example", 403)),
    ],
)
def test_other_origins_are_refused(origin: str, expected: int) -> None:
    """Old browsers say no more than this."""
    assert status(asked(Host="127.0.0.1:8080", Origin=origin)) == expected


@pytest.mark.parametrize(
    ("header", "is_let_in"),
    [
        *((f"Bearer {TOKEN}", True), (f"bearer  {TOKEN}", True), (f"Bearer {TOKEN}x", False)),
        *((TOKEN, False), ("Bearer", False), ("", False), (f"Basic {TOKEN}", False)),
        ("Bearer \xff", False),
    ],
)
def test_a_token_is_needed(header: str, is_let_in: bool) -> None:
    refused = TokenChecksUsers(TOKEN).refusal(asked(Authorization=header))
    assert (refused is None) == is_let_in
    assert refused is None or refused.status == 401


def test_without_a_header_there_is_no_token() -> None:
    assert TokenChecksUsers(TOKEN).refusal(asked(Cookie=f"token={TOKEN}")) is not None


@pytest.mark.parametrize("token", ["", "short", "with space 0123456789", "\xe9" * 20])
def test_a_token_is_a_secret(token: str) -> None:
    with pytest.raises(ValueError, match="16 characters"):
        TokenChecksUsers(token)


def test_a_proxy_names_users() -> None:
    users = HeaderChecksUsers("X-Remote-User")
    assert users.refusal(asked(X_Remote_User="alice")) is None
    assert users.refusal(asked(X_Remote_User="")) is not None
    assert users.refusal(asked()) is not None
    with pytest.raises(ValueError, match="no name"):
        HeaderChecksUsers("X Remote")


def test_a_site_has_checked_its_users() -> None:
    assert SiteChecksUsers().refusal(asked()) is None


def test_nothing_is_loaded_or_run_but_what_is_here() -> None:
    policy = HEADERS[b"Content-Security-Policy"].decode()
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self' 'unsafe-inline'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }
