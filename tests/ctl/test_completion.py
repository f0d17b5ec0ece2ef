"""The completion files of the package work in the shells that are there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.client.fake_daemon import LOG, FakeDaemon

FOLDER = Path(__file__).parents[2] / "completion"
CHECKOUT = FOLDER.parent


def test_bash_completes(daemon: FakeDaemon, tmp_path: Path) -> None:
    """What bash-completion loads at the first press of the tab key defines a completion."""
    program = tmp_path / "virtlogctl"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m twisted_virtlog.ctl "$@"\n')
    program.chmod(0o755)
    daemon.answers["log.list"] = lambda _params: [LOG]
    script = f"""
        source {FOLDER}/virtlogctl
        complete -p virtlogctl
        COMP_WORDS=(virtlogctl position /var)
        COMP_CWORD=2
        _virtlogctl_completion virtlogctl
        echo "${{COMPREPLY[@]}}"
    """
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(CHECKOUT),
        "VIRTLOGCTL_SOCKET": str(daemon.path),
    }
    result = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    defined, offered = result.stdout.splitlines()
    assert "_virtlogctl_completion virtlogctl" in defined
    assert offered == "/var/log/web.log"


def test_each_shell_has_its_file() -> None:
    """Each asks the program in the shell's own way."""
    for name, shell in (
        ("virtlogctl", "bash"),
        ("_virtlogctl", "zsh"),
        ("virtlogctl.fish", "fish"),
    ):
        assert f"_VIRTLOGCTL_COMPLETE={shell}_source virtlogctl" in (FOLDER / name).read_text()
    assert (FOLDER / "_virtlogctl").read_text().startswith("#compdef virtlogctl\n")
