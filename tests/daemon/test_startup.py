"""The steps from a command line to a service that twistd's plugin and the command share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from twisted.internet.endpoints import quoteStringArgument

from twisted_virtlog.config.settings import ConfigError, Settings
from twisted_virtlog.daemon.configuration import Configuration
from twisted_virtlog.daemon.log import outputs
from twisted_virtlog.daemon.startup import Asked, Former, Startup
from twisted_virtlog.errors import OutputError
from twisted_virtlog.handover.state import DaemonState, OpenLogState, encode
from twisted_virtlog.handover.successor import VARIABLE, document_of
from twisted_virtlog.service import Endpoints


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A user's, with everything below a directory, and no journal."""
    monkeypatch.setattr(outputs, "JOURNAL_SOCKET", str(tmp_path / "no-journal"))
    names = {"XDG_RUNTIME_DIR": "run", "XDG_CONFIG_HOME": "config", "XDG_CACHE_HOME": "cache"}
    return {name: str(tmp_path / directory) for name, directory in names.items()}


def prepare(asked: Asked, environment: dict[str, str]) -> tuple[Configuration, Endpoints]:
    """Take the steps that all programs have in common, but the last."""
    prepared = Startup(asked, environment, 1000).prepare(Former(environment, {}, None))
    prepared.make_run_directory()
    return prepared.configuration, prepared.endpoints()


def test_a_user_needs_no_options(environment: dict[str, str], tmp_path: Path) -> None:
    """The sockets are in the user's run directory, which is made for the user alone."""
    configuration, endpoints = prepare(Asked(), environment)
    assert configuration.settings == Settings()
    run = tmp_path / "run" / "libvirt"
    assert endpoints == Endpoints(
        jsonrpc=f"unix:{run}/virtlogd-jsonrpc-sock:mode=600",
        libvirt=f"unix:{run}/virtlogd-sock:mode=700",
        admin=f"unix:{run}/virtlogd-admin-sock:mode=700",
    )
    assert run.stat().st_mode & 0o777 == 0o700
    assert [str(one) for one in configuration.own_log.logging().outputs] == ["3:stderr"]
    assert configuration.own_log.logging().level == 3


def test_a_path_with_a_colon_is_quoted(environment: dict[str, str], tmp_path: Path) -> None:
    """An endpoint's parts are separated by colons."""
    environment["XDG_RUNTIME_DIR"] = str(tmp_path / "a:b")
    _, endpoints = prepare(Asked(endpoints={"virtlogd": "none", "admin": "none"}), environment)
    path = quoteStringArgument(f"{tmp_path}/a:b/libvirt/virtlogd-jsonrpc-sock")
    assert endpoints == Endpoints(jsonrpc=f"unix:{path}:mode=600", libvirt="none", admin="none")


def test_named_endpoints_need_no_run_directory(environment: dict[str, str], tmp_path: Path) -> None:
    """It may not be writable."""
    asked = Asked(endpoints={"jsonrpc": "unix:/x", "virtlogd": "none", "admin": "none"})
    endpoints = prepare(asked, environment)[1]
    assert endpoints == Endpoints(jsonrpc="unix:/x", libvirt="none", admin="none")
    assert not (tmp_path / "run").exists()


def test_the_user_s_own_file_is_read(environment: dict[str, str], tmp_path: Path) -> None:
    """From the default place, and the environment is stronger."""
    config = tmp_path / "config" / "libvirt" / "virtlogd.conf"
    config.parent.mkdir(parents=True)
    config.write_text('max_clients = 7\nlog_level = 4\nlog_filters = "1:logs"')
    environment["LIBVIRT_DEBUG"] = "info"
    configuration, _ = prepare(Asked(), environment)
    own_log = configuration.own_log
    assert configuration.settings == Settings(max_clients=7, log_level=2, log_filters="1:logs")
    assert own_log.logging().level == 2
    assert [str(one) for one in own_log.logging().filters] == ["1:*logs*"]
    assert [str(one) for one in own_log.logging().outputs] == ["2:stderr"]


def test_a_named_file_is_read_instead(environment: dict[str, str], tmp_path: Path) -> None:
    """And must exist."""
    config = tmp_path / "other.conf"
    with pytest.raises(ConfigError, match="No such file"):
        prepare(Asked(str(config)), environment)
    config.write_text("max_clients = 7")
    configuration, _ = prepare(Asked(str(config)), environment)
    assert configuration.settings.max_clients == 7


def test_in_the_background_a_file_takes_the_place_of_standard_error(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Where nobody would see it; its directory is made."""
    configuration, _ = prepare(Asked(background=True), environment)
    own_log = configuration.own_log
    path = tmp_path / "cache" / "libvirt" / "virtlogd.log"
    assert [str(one) for one in own_log.logging().outputs] == [f"3:file:{path}"]
    assert path.exists()
    own_log.close()


def test_an_output_that_cannot_be_opened_is_told(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """The file is named."""
    environment["LIBVIRT_LOG_OUTPUTS"] = f"1:file:{tmp_path}"
    with pytest.raises(OutputError, match=f"failed to open {tmp_path}: Is a directory"):
        prepare(Asked(), environment)


def test_the_admin_socket_can_be_elsewhere_or_nowhere(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """By default it is libvirt's, for its owner alone."""
    _, default = prepare(Asked(), environment)
    assert default.admin.endswith("/libvirt/virtlogd-admin-sock:mode=700")
    for endpoint in ("none", "unix:/x"):
        _, endpoints = prepare(Asked(endpoints={"admin": endpoint}), environment)
        assert endpoints.admin == endpoint


def test_a_group_reads_where_its_socket_is_beside_that_of_json_rpc(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Without a group nobody does, but where somebody named an endpoint."""
    config = tmp_path / "c"
    config.write_text('jsonrpc_ro_group = "adm"')
    _, endpoints = prepare(Asked(str(config), {"jsonrpc": "/a/b"}), environment)
    assert endpoints.jsonrpc_ro == "unix:/a/b-ro"
    _, endpoints = prepare(Asked(endpoints={"jsonrpc-ro": "/c"}), environment)
    assert endpoints.jsonrpc_ro == "/c"
    assert prepare(Asked(), environment)[1].jsonrpc_ro == "none"


def test_prometheus_is_served_where_somebody_named_an_endpoint(
    environment: dict[str, str],
) -> None:
    """And nowhere by default."""
    assert prepare(Asked(), environment)[1].metrics == "none"
    _, endpoints = prepare(Asked(endpoints={"metrics": "/m"}), environment)
    assert endpoints.metrics == "/m"


@pytest.mark.parametrize(
    ("own", "falls_back"), [(True, True), (False, False)], ids=["taken over", "only tried"]
)
def test_a_mistake_in_the_file_ends_no_image_that_has_logs(
    environment: dict[str, str], tmp_path: Path, own: bool, falls_back: bool
) -> None:
    """One that is only tried fails, so that the former image goes on."""
    config = tmp_path / "c"
    config.write_text("max_size = x")
    pid = os.getpid() + (not own)
    state = DaemonState(pid, {}, (OpenLogState(7, "/a.log", "qemu"),))
    with document_of([encode(state)]) as document:
        variables = {VARIABLE: str(os.dup(document))}
        former = Former(environment, variables, None)
    assert variables == {}
    assert former.is_tried is not own
    startup = Startup(Asked(str(config)), environment, 1000)
    if falls_back:
        assert "max_size" in str(startup.prepare(former).configuration.problem)
    else:
        with pytest.raises(ConfigError):
            startup.prepare(former)


def test_a_state_that_cannot_be_used_is_no_reason_to_read_what_was_handed_over(
    environment: dict[str, str],
) -> None:
    """The error is kept for when the own log is open."""
    former = Former({**environment, "LISTEN_PID": str(os.getpid())}, {VARIABLE: "x"}, None)
    assert former.error is not None
    assert former.state is None
    assert not former.is_tried
    assert not former.invocation.activation.sockets
