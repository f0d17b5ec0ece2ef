"""The daemon as a process that a service manager's stand-in starts, stops and starts again."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from harness.scraper import Scraper
from harness.service_manager import ServiceManager
from tests.systemd.conftest import StartManager
from tests.systemd.test_crash import MAX_BACKUPS, client, closed, guest, listening
from twisted_virtlog.client import BlockingClient
from twisted_virtlog.daemon.endpoints import activated
from twisted_virtlog.service import NO_ENDPOINT, Endpoints
from twisted_virtlog.systemd.activation import NOTHING, Activation
from twisted_virtlog.systemd.names import pipe_inode

_NO_SOCKETS = 6


def running(directory: Path, manager: ServiceManager) -> ServiceManager:
    listening(manager, directory)
    manager.start()
    return manager


@pytest.mark.lengthy
def test_a_restart_keeps_logs_open(tmp_path: Path, supervised: StartManager) -> None:
    """The process ends in order; what guests write meanwhile is in the files too."""
    manager = running(tmp_path, supervised("max_size = 2000000", f"max_backups = {MAX_BACKUPS}"))
    writer = guest(tmp_path, "a.log")
    for _ in range(2):
        opened = client_list(tmp_path)
        assert os.waitstatus_to_exitcode(manager.kill(signal.SIGTERM)) == 0
        assert manager.heard("STOPPING")
        manager.start()
        again = client_list(tmp_path)
        assert [log.opened_at for log in again] == [log.opened_at for log in opened]
    writer.stop()
    closed(tmp_path, [writer])
    assert writer.wrong(MAX_BACKUPS) == ""
    assert (tmp_path / "rpc").exists()


@pytest.mark.lengthy
def test_clients_are_told_where_the_manager_listens(
    tmp_path: Path, supervised: StartManager
) -> None:
    """At the sockets that it handed over, also in the daemon's next image."""
    running(tmp_path, supervised())
    with client(tmp_path) as connected:
        for _ in range(2):
            servers = connected.discover()["servers"]
            assert [one["url"] for one in servers] == [f"unix:{tmp_path}/rpc"]
            assert connected.reexec()


def client_list(directory: Path) -> list[object]:
    with client(directory) as connected:
        return list(connected.list())


@pytest.mark.lengthy
def test_without_the_store_logs_end(tmp_path: Path, supervised: StartManager) -> None:
    """As after ``systemctl stop``: the guest sees that nobody reads."""
    manager = running(tmp_path, supervised())
    writer = guest(tmp_path, "a.log")
    manager.kill(signal.SIGTERM)
    manager.drop_store()
    manager.start()
    writer._thread.join()
    assert isinstance(writer.failure, BrokenPipeError)
    assert client_list(tmp_path) == []
    writer.stop()


@pytest.mark.lengthy
def test_the_manager_hears_what_the_daemon_does(tmp_path: Path, supervised: StartManager) -> None:
    """Ready, with a status; reloading and ready again; pings; stopping."""
    manager = supervised()
    listening(manager, tmp_path)
    manager.start(watchdog_usec=200_000)
    assert next(one for one in manager.messages if "READY" in one)["STATUS"] == "0 logs open"
    writer = guest(tmp_path, "a.log")
    manager.wait_for(lambda: {"STATUS": "1 log open"} in manager.messages)
    pings = sum("WATCHDOG" in one for one in manager.messages)
    manager.wait_for(lambda: sum("WATCHDOG" in one for one in manager.messages) > pings + 2)
    os.kill(manager.pid, signal.SIGHUP)
    manager.wait_for(lambda: manager.heard("RELOADING"))
    manager.wait_for(lambda: sum("READY" in one for one in manager.messages) == 2)
    order = [next(iter(one)) for one in manager.messages]
    assert order.index("RELOADING") < len(order) - 1 - order[::-1].index("READY")
    manager.kill(signal.SIGTERM)
    manager.settle()
    assert manager.heard("STOPPING")
    writer.stop()


def test_a_configuration_that_cannot_be_read_again_is_no_failure(
    tmp_path: Path, supervised: StartManager
) -> None:
    """The daemon goes on as before, and says that it is ready."""
    manager = running(tmp_path, supervised())
    (tmp_path / "virtlogd.conf").write_text("max_clients = x\n")
    os.kill(manager.pid, signal.SIGHUP)
    manager.wait_for(lambda: sum("READY" in one for one in manager.messages) == 2)
    assert client_list(tmp_path) == []


def test_without_names_sockets_are_taken_in_order(tmp_path: Path, supervised: StartManager) -> None:
    """For drivers, for virt-admin, for JSON-RPC."""
    manager = supervised()
    listening(manager, tmp_path)
    manager.names_sockets = False
    manager.start()
    assert client_list(tmp_path) == []


def test_only_what_was_handed_over_is_served_to_libvirt() -> None:
    """As in virtlogd; what somebody named stays, and JSON-RPC has its own path."""
    usual = Endpoints(jsonrpc="unix:/rpc", libvirt="unix:/log", admin="unix:/admin")
    log = Activation({"virtlogd": (3,)})
    assert activated(usual, log, ()) == Endpoints(
        jsonrpc="unix:/rpc", libvirt="unix:/log", admin=NO_ENDPOINT, sockets={"virtlogd": (3,)}
    )
    assert activated(usual, log, {"admin"}).admin == "unix:/admin"
    assert activated(usual, log, {"virtlogd"}) == usual
    both = Activation({"virtlogd": (3,), "admin": (4, 5)})
    assert activated(usual, both, ()).sockets == both.sockets
    assert activated(usual, Activation({"jsonrpc": (3,)}), ()).admin == "unix:/admin"
    assert activated(usual, NOTHING, ()) == usual


def test_one_name_may_be_several_sockets(tmp_path: Path, supervised: StartManager) -> None:
    """Each is listened on, and none is removed or changed in the end."""
    manager = supervised()
    listening(manager, tmp_path)
    manager.listen("virtlogd-jsonrpc.socket", tmp_path / "second")
    modes = [os.stat(tmp_path / name) for name in ("rpc", "second", "log", "admin")]
    manager.start()
    for name in ("rpc", "second"):
        with BlockingClient(str(tmp_path / name), 30.0) as connected:
            assert list(connected.list()) == []
    manager.kill(signal.SIGTERM)
    after = [os.stat(tmp_path / name) for name in ("rpc", "second", "log", "admin")]
    assert [one.st_mode for one in after] == [one.st_mode for one in modes]
    assert [one.st_ino for one in after] == [one.st_ino for one in modes]


@pytest.mark.lengthy
def test_the_read_only_socket_needs_no_group_in_the_configuration(
    tmp_path: Path, supervised: StartManager
) -> None:
    """The unit has said it; the next image serves it on."""
    manager = supervised()
    listening(manager, tmp_path)
    manager.listen("virtlogd-jsonrpc-ro.socket", tmp_path / "ro")
    manager.start()
    with (
        BlockingClient(str(tmp_path / "rpc"), 30.0) as root,
        BlockingClient(str(tmp_path / "ro"), 30.0) as reader,
    ):
        root.append(str(tmp_path / "a.log"), "text")
        root.reexec()
        assert reader.read(str(tmp_path / "a.log")).data == b"text"
        with BlockingClient(str(tmp_path / "ro"), 30.0) as another:
            assert list(another.list()) == []


@pytest.mark.lengthy
def test_prometheus_comes_in_by_the_manager_s_socket(
    tmp_path: Path, supervised: StartManager
) -> None:
    """Without an option; the next image serves it on, and the connection that was there."""
    manager = supervised()
    listening(manager, tmp_path)
    manager.listen("virtlogd-metrics.socket", tmp_path / "metrics")
    manager.start()
    with Scraper(str(tmp_path / "metrics")) as scraper:
        assert "virtlogd_logs_open 0.0" in scraper.get()
        with BlockingClient(str(tmp_path / "rpc"), 30.0) as root:
            root.reexec()
        assert "virtlogd_logs_open 0.0" in scraper.get()
        with Scraper(str(tmp_path / "metrics")) as another:
            assert 'virtlogd_clients{server="metrics"} 2.0' in another.get()


@pytest.mark.parametrize("name", ["other.socket", "unknown"])
def test_a_socket_by_an_unknown_name_ends_the_daemon(
    tmp_path: Path, supervised: StartManager, name: str
) -> None:
    """With virtlogd's status, and a line that says what names there are."""
    manager = supervised()
    listening(manager, tmp_path)
    manager.listen(name, tmp_path / "other")
    manager.start(wait=False)
    assert os.waitstatus_to_exitcode(manager.wait()) == _NO_SOCKETS
    said = manager.log.read_text()
    assert f"with the name '{name}'" in said
    assert "virtlogd-jsonrpc.socket" in said


def test_what_is_no_socket_cannot_be_listened_on(tmp_path: Path, supervised: StartManager) -> None:
    """With virtlogd's status."""
    manager = supervised()
    first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with second:
        manager.sockets.append(("virtlogd.socket", first))
        manager.start(wait=False)
        assert os.waitstatus_to_exitcode(manager.wait()) == _NO_SOCKETS
    assert (
        "virtlogd: descriptor 3 was handed over and cannot be listened on"
        in manager.log.read_text()
    )


@pytest.mark.lengthy
def test_a_client_reexecutes_it_and_the_store_stays_right(
    tmp_path: Path, supervised: StartManager
) -> None:
    """After the next image took over, all open logs are stored once, and survive a kill."""
    manager = running(tmp_path, supervised("max_size = 2000000", f"max_backups = {MAX_BACKUPS}"))
    guests = [guest(tmp_path, f"{number}.log") for number in range(3)]

    def stored() -> list[str]:
        stores = [one["FDNAME"] for one in manager.messages if "FDSTORE" in one]
        return [name for name in stores if pipe_inode(name) is not None]

    for number, name in enumerate(("later.log", "last.log"), 4):
        with client(tmp_path) as connected:
            assert connected.reexec()
            connected.info()
        guests.append(guest(tmp_path, name))
        guests.pop(0).stop()
        # (before the new log is stored and the old one is not, there are as many)
        manager.wait_for(lambda number=number: len(stored()) >= number)
        manager.wait_for(lambda: len(manager.pipes()) == 3 and len(manager.names) == 7)
    pipes = stored()
    assert len(pipes) == len(set(pipes)) == 5
    manager.kill()
    manager.start()
    for one in guests:
        one.stop()
    closed(tmp_path, guests)
    assert [one.wrong(MAX_BACKUPS) for one in guests] == [""] * len(guests)
    manager.wait_for(lambda: manager.pipes() == [])


@pytest.mark.parametrize("most", [0, 100])
def test_a_manager_that_keeps_nothing_is_asked_once(
    tmp_path: Path, supervised: StartManager, most: int
) -> None:
    """Where $FDSTORE does not say it; one that keeps descriptors keeps the logs."""
    manager = supervised(most=most)
    del manager.environment["FDSTORE"]
    manager = running(tmp_path, manager)
    written = guest(tmp_path, "one.log")
    manager.settle()
    stores = [one["FDNAME"] for one in manager.messages if "FDSTORE" in one]
    if most:
        assert len(manager.pipes()) == 1
        assert "probe-a" not in manager.names
    else:
        assert stores == ["probe-a"]
    written.stop()
    closed(tmp_path, [written])
