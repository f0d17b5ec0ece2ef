"""Who runs which command of README.md and doc/*.md, but for those that test_documents.py runs.

A command that is added to a document fails test_documents.py until it has a row here. Those who run
commands ask for their rows, and fail if they did not run exactly these.
"""

from __future__ import annotations

from tests.documents import Command

#: Those who run them.
SYSTEMD = "documents() of tests/systemd/inside.py"
BY_HAND = "by_hand() of tests/systemd/inside.py"
SESSION = "tests/stack/session.py"
VIRT_ADMIN = "tests/stack/test_virt_admin.py"
PACKAGING = "tests/test_packaging.py"
COMPRESSION = "tests/daemon/test_compression.py, in a directory of its own"
FLEET = "tests/ship/test_document.py"

#: Why they are not run.
CI = "not run: .ci/run does, as an ordinary user"
CI_GUARD = "not run: .ci/run does"
HALF_AN_HOUR = "not run: takes half an hour; tests/daemon/test_daemon.py runs a part"
TWO_PROCESSORS = "not run: needs two processors with nothing else to do; tests/bench runs parts"
THE_TESTS = "not run: it is the tests"
ANOTHER_SYSTEM = "not run: needs another Debian system; tried before a release"

_DIVERT = "dpkg-divert --add --rename --divert /usr/sbin/virtlogd.libvirt /usr/sbin/virtlogd"
_LINK = "ln -s /opt/twisted-virtlog/bin/twisted-virtlogd /usr/sbin/virtlogd"
_SIGNAL = "systemctl kill --signal=SIGUSR1 --kill-who=main virtlogd.service"
_CTL = "/opt/twisted-virtlog/bin/virtlogctl"
_ENVIRONMENT = "python3 -m venv /opt/twisted-virtlog && /opt/twisted-virtlog/bin/pip install ."
_UNITS = "/opt/twisted-virtlog/bin/python -m twisted_virtlog.systemd"
_INSTALL = f"{_UNITS} install --prefix /opt/twisted-virtlog"
_VIRT_ADMIN = "virt-admin -c virtlogd:///system"

#: By document and heading: each command, and who runs it, or why nobody does.
ELSEWHERE: dict[tuple[str, str], dict[str, str]] = {
    ("README.md", "Two commands"): {
        "make run     # sets up a virtual environment and starts the daemon, "
        "as any user, without libvirt": CI,
        "make test    # sets up what the tests need, and passes them": CI,
    },
    ("README.md", "Five minutes"): {"make run": CI},
    ("README.md", "Use it under libvirt"): {
        _ENVIRONMENT: PACKAGING,
        _DIVERT: SYSTEMD,
        _LINK: SYSTEMD,
        _SIGNAL: SYSTEMD,
        f"{_CTL} list": SYSTEMD,
        "rm /usr/sbin/virtlogd && dpkg-divert --remove --rename /usr/sbin/virtlogd": SYSTEMD,
    },
    ("README.md", "The promise"): {"make stress": HALF_AN_HOUR},
    ("description.md", ""): {
        "pip install twisted_virtlog-*.whl": PACKAGING,
        "twistd --pidfile= -n virtlogd": PACKAGING,
    },
    ("fleet.md", "Five minutes"): {
        "nats-server --addr 127.0.0.1 --jetstream --store_dir /tmp/fleet &": FLEET,
        "virtlog-ship --config virtlog-ship.toml --check": FLEET,
        "virtlog-ship --config virtlog-ship.toml &": FLEET,
        "virtlogctl exec /tmp/web.log -- echo hello, fleet": FLEET,
        "virtlog-fleet ls": FLEET,
        "virtlog-fleet tail -f": FLEET,
    },
    ("handover.md", "Upgrades and downgrades"): {
        f"{_CTL} reexec --state-version 1": SYSTEMD,
        "systemctl disable --now virtlogd-jsonrpc-ro.socket": SYSTEMD,
        "rm /etc/systemd/system/virtlogd-jsonrpc-ro.socket && systemctl daemon-reload": SYSTEMD,
    },
    ("handover.md", "From virtlogd, while guests run"): {
        _DIVERT: SYSTEMD,
        _LINK: SYSTEMD,
        _SIGNAL: SYSTEMD,
        f"{_CTL} list": SYSTEMD,
        "rm /usr/sbin/virtlogd": SYSTEMD,
        "dpkg-divert --remove --rename /usr/sbin/virtlogd": SYSTEMD,
        f"{_CTL} reexec --to-virtlogd /usr/sbin/virtlogd.libvirt": SYSTEMD,
    },
    ("libvirt.md", "Install"): {_ENVIRONMENT: PACKAGING},
    ("libvirt.md", "Try it by hand"): {
        "systemctl stop libvirtd.service libvirtd.socket libvirtd-ro.socket "
        "libvirtd-admin.socket": BY_HAND,
        "systemctl stop virtlogd.service virtlogd.socket virtlogd-admin.socket": BY_HAND,
        "/opt/twisted-virtlog/bin/twistd --pidfile= -n virtlogd": BY_HAND,
        "libvirtd": BY_HAND,
        "virsh start web": BY_HAND,
        f"{_CTL} list": BY_HAND,
        f"{_CTL} read /var/log/libvirt/qemu/web-serial0.log --tail 3": BY_HAND,
        "systemctl start virtlogd.socket virtlogd-admin.socket": BY_HAND,
        "systemctl start libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket "
        "libvirtd.service": BY_HAND,
    },
    ("libvirt.md", "Use it for good"): {
        "mkdir -p ~/.local/lib/virtlogd": SESSION,
        "ln -s /opt/twisted-virtlog/bin/twisted-virtlogd ~/.local/lib/virtlogd/virtlogd": SESSION,
        "VIRTLOGD_PATH=~/.local/lib/virtlogd /usr/sbin/libvirtd --daemon": SESSION,
    },
    ("libvirt.md", "What is tested"): {
        ".venv/bin/python -m pytest tests/stack": THE_TESTS,
        "make test-libvirt LIBVIRT_ROOT=/srv/sid": ANOTHER_SYSTEM,
    },
    ("operations.md", "Compressed backups"): {
        "virtlogctl decompress /var/log/libvirt/qemu": COMPRESSION,
    },
    ("operations.md", "Mode, owner and labels"): {
        "chown root:adm /var/log/libvirt/qemu/web.log": SYSTEMD,
        "chmod 640 /var/log/libvirt/qemu/web.log": SYSTEMD,
        "setfacl -m u:monitor:r /var/log/libvirt/qemu/web.log": SYSTEMD,
    },
    ("performance.md", "How it is measured"): {
        "make bench    # everything": TWO_PROCESSORS,
        ".venv/bin/python -m bench --quick --repeat 5 --loads a,b    "
        "# some loads, short samples": TWO_PROCESSORS,
        "make guard    # whether a ratio has fallen by a quarter": CI_GUARD,
    },
    ("jsonrpc.md", "The read-only socket"): {
        "virtlogctl --socket /run/libvirt/virtlogd-jsonrpc-sock-ro "
        "read /var/log/libvirt/qemu/web-serial0.log": SYSTEMD,
    },
    ("systemd.md", "Install"): {
        _ENVIRONMENT: PACKAGING,
        "ln -s /opt/twisted-virtlog/bin/virtlogctl /usr/local/bin/virtlogctl": SYSTEMD,
        _INSTALL: SYSTEMD,
        "systemctl daemon-reload": SYSTEMD,
    },
    ("systemd.md", "The read-only socket"): {
        f"{_INSTALL} --jsonrpc-ro-group adm": SYSTEMD,
        "systemctl daemon-reload": SYSTEMD,
        "systemctl enable virtlogd-jsonrpc-ro.socket": SYSTEMD,
    },
    ("systemd.md", "Metrics"): {
        f"{_INSTALL} --metrics-group adm": SYSTEMD,
        "systemctl daemon-reload": SYSTEMD,
        "systemctl enable virtlogd-metrics.socket": SYSTEMD,
    },
    ("systemd.md", "Switch a host"): {
        "systemctl stop virtlogd.service virtlogd.socket virtlogd-admin.socket": SYSTEMD,
        "systemctl start virtlogd.socket virtlogd-admin.socket virtlogd-jsonrpc.socket": SYSTEMD,
        "systemctl enable virtlogd-jsonrpc.socket": SYSTEMD,
        "virtlogctl info": SYSTEMD,
        "systemctl stop virtlogd.service virtlogd.socket virtlogd-admin.socket "
        "virtlogd-jsonrpc.socket": SYSTEMD,
        "systemctl disable virtlogd-jsonrpc.socket": SYSTEMD,
        f"{_UNITS} uninstall": SYSTEMD,
        "systemctl daemon-reload": SYSTEMD,
        "systemctl start virtlogd.socket virtlogd-admin.socket": SYSTEMD,
    },
    ("virt-admin.md", "Administering the daemon with virt-admin"): {
        f"{_VIRT_ADMIN} srv-list": VIRT_ADMIN
    },
    ("virt-admin.md", "Clients"): {
        f"{_VIRT_ADMIN} client-list virtlogd": VIRT_ADMIN,
        f"{_VIRT_ADMIN} client-info virtlogd 2": VIRT_ADMIN,
        f"{_VIRT_ADMIN} client-disconnect virtlogd 2": VIRT_ADMIN,
    },
    ("virt-admin.md", "Limits"): {
        f"{_VIRT_ADMIN} srv-clients-set virtlogd "
        "--max-clients 200 --max-unauth-clients 200": VIRT_ADMIN,
        f"{_VIRT_ADMIN} srv-clients-info virtlogd": VIRT_ADMIN,
    },
    ("virt-admin.md", "The daemon's own log"): {
        f'{_VIRT_ADMIN} daemon-log-filters --filters "1:logs 4:jsonrpc"': VIRT_ADMIN,
        f"{_VIRT_ADMIN} daemon-log-filters": VIRT_ADMIN,
        f"{_VIRT_ADMIN} daemon-log-outputs "
        '--outputs "1:file:/var/log/libvirt/virtlogd.log"': VIRT_ADMIN,
    },
}

Row = tuple[str, str, str]


def row(command: Command) -> Row:
    """Tell a command from all others: its document, its section, its text."""
    return command.document, command.section, command.text


def rows(who: str | None = None) -> set[Row]:
    """Give the commands that somebody runs, or all that are in the table."""
    return {
        (*place, text)
        for place, texts in ELSEWHERE.items()
        for text, one in texts.items()
        if who in (None, one)
    }
