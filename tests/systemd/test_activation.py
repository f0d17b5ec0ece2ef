"""What LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.systemd.activation import NOTHING, read
from twisted_virtlog.systemd.invocation import invocation

PID = 42


def variables(count: str, names: str | None = None, pid: str = "42") -> dict[str, str]:
    found = {"LISTEN_PID": pid, "LISTEN_FDS": count}
    return found if names is None else {**found, "LISTEN_FDNAMES": names}


def test_sockets_and_what_was_stored_are_told_apart_by_name() -> None:
    """Their order does not matter, and one name may be there several times."""
    names = "virtlogd-admin.socket:virtlogd.socket:journal-a:1Zz:virtlogd.socket:journal-a:strange!"
    found = read(variables("7", names), PID)
    assert found.sockets == {"admin": (3,), "virtlogd": (4, 7)}
    assert found.journals == {5: "journal-a", 8: "journal-a"}
    assert found.pipes == {6: (62 + 61) * 62 + 35}
    assert found.unclaimed == {9: "strange!"}
    assert sorted(found.descriptors) == list(range(3, 10))


def test_the_sockets_of_our_own_units_have_servers() -> None:
    """Each of the three."""
    names = "virtlogd-jsonrpc.socket:virtlogd.socket:virtlogd-admin.socket"
    found = read(variables("3", names), PID)
    assert found.sockets == {"jsonrpc": (3,), "virtlogd": (4,), "admin": (5,)}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_without_names_sockets_come_in_order(count: int) -> None:
    """For drivers, for virt-admin, for JSON-RPC."""
    found = read(variables(str(count)), PID)
    expected = {"virtlogd": (3,), "admin": (4,), "jsonrpc": (5,)}
    assert found.sockets == dict(list(expected.items())[:count])


def test_without_names_a_sixth_socket_is_nobodys() -> None:
    """It is not guessed what it is for."""
    assert read(variables("6"), PID).unclaimed == {8: ""}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_FDNAMES": "virtlogd.socket"},
        {"LISTEN_FDS": "1"},
        variables("1", "virtlogd.socket", pid="43"),
        variables("1", "virtlogd.socket", pid=""),
        variables("1", "virtlogd.socket", pid="042"),
        *(variables(count, "virtlogd.socket") for count in ("", "0", "-1", "x", "\u0663", "9" * 9)),
    ],
)
def test_what_is_not_meant_for_this_process_is_nothing(environment: dict[str, str]) -> None:
    """As virtlogd, which then binds sockets of its own."""
    assert read(environment, PID) == NOTHING


def test_as_many_names_as_descriptors_are_needed() -> None:
    """Otherwise it is not known which is which; virtlogd too says so and uses none."""
    found = read(variables("2", "virtlogd.socket"), PID)
    assert found.mistake == "LISTEN_FDS is 2, but LISTEN_FDNAMES has 1"
    assert found.descriptors == []


@given(st.text(), st.text(), st.text())
def test_any_environment_can_be_read(count: str, names: str, pid: str) -> None:
    """Nothing in it keeps the daemon from starting."""
    read(variables(count, names, pid), PID)
    read(variables("1", names), PID)


def test_after_a_hand_over_the_variables_mean_nothing() -> None:
    """virtlogd leaves them there, and the descriptors are in its state."""
    environment = variables("1", "virtlogd.socket")
    assert invocation(environment, PID, resumed=True).activation == NOTHING
    assert invocation(environment, PID, resumed=False).activation.sockets == {"virtlogd": (3,)}
