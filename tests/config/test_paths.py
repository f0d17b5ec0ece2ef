"""The default paths of the system's daemon and of a user's."""

from __future__ import annotations

import pytest

from twisted_virtlog.config.paths import Paths, default_paths


def test_root_has_the_system_s_paths() -> None:
    """Whatever the environment says."""
    environment = {"XDG_RUNTIME_DIR": "/run/user/0", "XDG_CONFIG_HOME": "/c"}
    paths = default_paths(0, "/root", environment)
    assert paths == Paths(
        config="/etc/libvirt/virtlogd.conf",
        run_directory="/run/libvirt",
        run_mode=0o755,
        own_log="/var/log/libvirt/virtlogd.log",
        pid_file="/run/virtlogd.pid",
        restart_state="/run/virtlogd-restart-exec.json",
        state="/var/lib/libvirt/virtlogd",
    )
    assert paths.jsonrpc_socket == "/run/libvirt/virtlogd-jsonrpc-sock"
    assert paths.log_socket == "/run/libvirt/virtlogd-sock"
    assert paths.admin_socket == "/run/libvirt/virtlogd-admin-sock"


@pytest.mark.parametrize(
    ("environment", "config", "run_directory", "log", "state"),
    [
        (
            {
                "XDG_RUNTIME_DIR": "/run/user/1000",
                "XDG_CONFIG_HOME": "/c",
                "XDG_CACHE_HOME": "/l",
                "XDG_STATE_HOME": "/s",
            },
            "/c/libvirt/virtlogd.conf",
            "/run/user/1000/libvirt",
            "/l/libvirt/virtlogd.log",
            "/s/libvirt/virtlogd",
        ),
        (
            {"XDG_RUNTIME_DIR": "", "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": ""},
            "/home/me/.config/libvirt/virtlogd.conf",
            "/home/me/.cache/libvirt",
            "/home/me/.cache/libvirt/virtlogd.log",
            "/home/me/.local/state/libvirt/virtlogd",
        ),
        (
            {},
            "/home/me/.config/libvirt/virtlogd.conf",
            "/home/me/.cache/libvirt",
            "/home/me/.cache/libvirt/virtlogd.log",
            "/home/me/.local/state/libvirt/virtlogd",
        ),
    ],
)
def test_a_user_has_their_own(
    environment: dict[str, str], config: str, run_directory: str, log: str, state: str
) -> None:
    """Below the XDG directories, or libvirt's fall-backs in the home directory."""
    paths = default_paths(1000, "/home/me", environment)
    pid_file = f"{run_directory}/virtlogd.pid"
    former = f"{run_directory}/virtlogd-restart-exec.json"
    assert paths == Paths(config, run_directory, 0o700, log, pid_file, former, state)
    assert paths.admin_socket == f"{run_directory}/virtlogd-admin-sock"
