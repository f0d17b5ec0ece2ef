"""Stock libvirtd and QEMU with the daemon in virtlogd's place, beside virtlogd itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.daemon import NO_DRAIN
from tests.stack import guest
from tests.stack.stack import VIRTLOGD, Stack, running, twisted_virtlog

pytestmark = pytest.mark.libvirt

_UUID = "c7a5fdbd-edaf-9455-926a-d65c16db1800"
_LOGS = "/var/log/libvirt/qemu"
_OLDER = "from earlier days\n"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """libvirtd with our daemon."""
    with running(tmp_path_factory.mktemp("stack"), twisted_virtlog()) as started:
        yield started


@pytest.fixture(scope="module")
def lives(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The same guest's life with our daemon and with the real virtlogd."""
    with running(tmp_path_factory.mktemp("virtlogd"), VIRTLOGD) as reference:
        return {
            "ours": stack.run("life_of_a_guest", json_rpc=True),
            "theirs": reference.run("life_of_a_guest", json_rpc=False),
        }


@pytest.mark.lengthy
def test_a_guest_s_logs_are_those_that_virtlogd_writes(lives: dict[str, dict[str, Any]]) -> None:
    """Defined, started, listed, destroyed: virsh says the same, the files have the same text."""
    ours, theirs = ({**life, "steps": _comparable(life["steps"])} for life in lives.values())
    assert ours == theirs
    assert ours["files"] == ["alice-serial0.log", "alice.log"]


@pytest.mark.lengthy
def test_a_console_s_log_goes_on_or_begins_anew(lives: dict[str, dict[str, Any]]) -> None:
    """append='on' keeps what earlier runs printed, append='off' does not."""
    printed = guest.console(100).decode()
    consoles = [step["console"] for step in lives["ours"]["steps"]]
    assert consoles == [_OLDER + printed, _OLDER + printed + printed, printed]


@pytest.mark.lengthy
def test_logs_that_libvirt_opens_are_seen_by_json_rpc(lives: dict[str, dict[str, Any]]) -> None:
    """Both logs of a running guest are listed as its own and can be read."""
    log = {"driver": "qemu", "domain": [_UUID, "alice"], "state": "open"}
    for step in lives["ours"]["steps"]:
        # (newer versions of libvirt call their driver QEMU)
        said = [{**one, "driver": one["driver"].lower()} for one in step["open"]]
        assert said == [
            {"path": f"{_LOGS}/alice-serial0.log", **log},
            {"path": f"{_LOGS}/alice.log", **log},
        ]
        assert step["read"] == step["console"]


@pytest.mark.parametrize(
    "reason",
    [
        "process exited while connecting to monitor",
        "qemu unexpectedly closed the monitor",
        "QEMU unexpectedly closed the monitor (vm='eve')",
    ],
)
def test_every_version_s_words_of_a_failed_start_are_known(reason: str) -> None:
    """Those of libvirt 9.0 and of 11.3 and later."""
    words = "qemu-system-x86_64: -nosuchoption0: invalid option"
    said = (
        f"error: Failed to create domain from x.xml\nerror: internal error: {reason}: {words}\n\n"
    )
    assert _wrong(said, 1) == ([], 0)


@pytest.mark.slow
def test_a_guest_may_be_started_as_soon_as_it_is_destroyed(stack: Stack) -> None:
    """Its logs are free at once."""
    result = stack.run("destroyed_and_started", times=5)
    assert result == {"error": "", "running": ["frank"], "starts": 6, "ends": 6}


@pytest.mark.lengthy
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("name", "times"), [("judy", 4), pytest.param("niaj", 200, marks=pytest.mark.slow)]
)
def test_who_waits_for_a_guest_s_firmware_gets_it(stack: Stack, name: str, times: int) -> None:
    """Each time, though they begin before the guest is started."""
    for one in stack.run("awaited", 1700.0, name=name, times=times):
        assert (one["status"], one["error"]) == (0, "")
        # (the firmware sets up the terminal first, and may rest in the middle of its line)
        assert "SeaBIOS" in one["said"]
        assert one["said"].count("\n") == 1


@pytest.mark.lengthy
def test_guests_print_on_while_libvirtd_is_restarted(stack: Stack) -> None:
    """Without libvirtd all logs stay open, grow, and miss nothing in the end."""
    result = stack.run("libvirtd_restarted")
    logs = [f"{_LOGS}/{name}.log" for name in ("carol-serial0", "carol", "dave-serial0", "dave")]
    for moment in ("before", "without", "after"):
        assert result[moment] == logs
    assert all(lines > 0 for lines in result["lines"])


@pytest.mark.slow
def test_a_guest_that_prints_much_loses_nothing(stack: Stack) -> None:
    """3 MiB on a serial console are in files of 1 MiB, each line in its place."""
    lines = 3 * 1024 * 1024 // 64
    result = stack.run("much_output", lines=lines)
    full = 1024 * 1024
    assert result == {"lines": lines, "sizes": [full, full, full, len(guest.CLOSING)]}


@pytest.mark.slow
def test_twenty_guests_at_once(stack: Stack) -> None:
    """Twenty guests start together, print together, and each has its own logs, complete."""
    result = stack.run("many_guests", guests=20, lines=1000)
    names = sorted(f"guest{number}" for number in range(20))
    assert result["errors"] == [""] * 20
    assert sorted(result["running"]) == names
    logs = [f"{_LOGS}/{name}{log}.log" for name in names for log in ("", "-serial0")]
    assert sorted(result["open"]) == sorted(logs)
    assert result["lines"] == [1000] * 20
    assert result["ends"] == [": shutting down, reason=destroyed\n"] * 20


@pytest.mark.lengthy
@pytest.mark.parametrize(
    ("name", "starts"),
    [("eve", 20), pytest.param("mallory", 200, marks=pytest.mark.slow)],
)
def test_a_failed_start_is_explained_by_what_qemu_said(
    stack: Stack, name: str, starts: int
) -> None:
    """virsh shows QEMU's words of this very start, and nothing else of the log, each time."""
    result = stack.run("failing_starts", name=name, starts=starts)
    wrong, unasked = _wrong(result["said"], starts)
    assert wrong == []
    # (how many that are depends on what else the machine does)
    assert unasked < starts
    assert _logged(result["log"]) == list(range(starts))


@pytest.mark.slow
def test_a_failed_start_is_explained_when_its_log_is_rotated(tmp_path: Path) -> None:
    """So it is when files are so small that a rollover falls into about every other start."""
    with running(tmp_path, twisted_virtlog(), max_size=4096) as stack:
        result = stack.run("failing_starts", name="eve", starts=30)
    wrong, unasked = _wrong(result["said"], 30)
    assert wrong == []
    assert unasked < 30
    kept = _logged(result["log"])
    assert 0 < len(kept) < 30
    assert kept == list(range(30 - len(kept), 30))


@pytest.mark.slow
def test_without_the_drain_a_failed_start_is_explained_wrongly(tmp_path: Path) -> None:
    """A position that does not cover what is in the pipe makes virsh show some other text.

    This proves that the tests above can fail. A quarter of the starts went wrong at least, whenever
    it was tried, so that sixty that go well by chance are out of the question.
    """
    with running(tmp_path, twisted_virtlog(NO_DRAIN)) as stack:
        result = stack.run("failing_starts", name="eve", starts=60)
    wrong, _unasked = _wrong(result["said"], 60)
    assert [text for text in wrong if "internal error: " in text]


def _comparable(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Take away times, numbers, and what virtlogd cannot tell."""
    return [
        {key: _without_numbers(value) for key, value in step.items() if key not in ("open", "read")}
        for step in steps
    ]


def _without_numbers(text: str) -> str:
    for pattern, name in (
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\.\d+(\+0000|Z)", "TIME"),
        (r"\b(id=|domain-|from pid |fd=)\d+", r"\1NUMBER"),
        (r"(?m)^ \d+ ", " NUMBER "),
    ):
        text = re.sub(pattern, name, text)
    return text


# libvirt says the one or the other, as this or that thread of its own is first; newer versions
# name the guest in the second.
_EXPLAINED = re.compile(
    r"from \S+\nerror: internal error: (?:process exited while connecting to monitor|"
    r"(?i:qemu) unexpectedly closed the monitor(?: \(vm='[^']*'\))?): "
    r"qemu-system-x86_64: -nosuchoption(\d+): invalid option\n+"
)


# On a busy machine libvirtd may find the socket of QEMU closed, and QEMU still there: it gives up
# without a look at the log, whatever daemon there is: about one of 500 starts at a load of five.
_UNASKED = re.compile(r"from \S+\nerror: failed to connect to monitor socket: .*\n+")


def _wrong(said: str, starts: int) -> tuple[list[str], int]:
    """Judge what virsh said of so many starts that failed.

    :returns: what it said of those that it did not explain as it should, and the number of those
        for which libvirtd did not ask the daemon.
    """
    first, *texts = said.split("error: Failed to create domain ")
    assert not first
    assert len(texts) == starts
    wrong = []
    unasked = 0
    for number, text in enumerate(texts):
        explained = _EXPLAINED.fullmatch(text)
        if _UNASKED.fullmatch(text):
            unasked += 1
        elif explained is None or int(explained[1]) != number:
            wrong.append(text)
    return wrong, unasked


def _logged(log: str) -> list[int]:
    """Return which failing starts have what QEMU said in the log."""
    return [int(found) for found in re.findall(r": -nosuchoption(\d+): invalid option\n", log)]
