#!/bin/sh
# Run tests/stack with the libvirt, the QEMU and the Python of another root directory.
#
#   tests/stack/in_root.sh ROOT [PYTEST ARGUMENT...]
#
# ROOT is a Debian system with libvirt, QEMU, Python and its venv module in it, made for instance by
# debootstrap (see CONTRIBUTING.md). Nothing in it is changed: the tests run in a copy-on-write view of
# it with a copy of this checkout and a venv inside, which is in memory and gone at the end. Needs root,
# and an index for pip.
#
# All of tests/stack is run, or what the arguments for pytest select of it.
set -eu

if [ "${IN_ROOT_INNER:-}" = "" ]; then
    [ $# -gt 0 ] || { echo "usage: $0 ROOT [PYTEST ARGUMENT...]" >&2; exit 2; }
    [ "$(id -u)" = 0 ] || { echo "$0: needs root" >&2; exit 2; }
    root=$(realpath "$1")
    shift
    for program in usr/sbin/libvirtd usr/sbin/virtlogd usr/bin/virsh usr/bin/qemu-system-x86_64 \
        usr/bin/python3; do
        [ -e "$root/$program" ] || { echo "$0: $root has no $program" >&2; exit 2; }
    done
    CHECKOUT=$(realpath "$(dirname "$0")/../..")
    export IN_ROOT_INNER="$root" CHECKOUT
    exec unshare --mount --pid --fork --kill-child --propagation private -- "$0" "$@"
fi

scratch=/mnt
mount -t tmpfs -o mode=755 in-root "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
view=$scratch/root
mount -t overlay -o "lowerdir=$IN_ROOT_INNER,upperdir=$scratch/upper,workdir=$scratch/work" \
    in-root "$view"
mount -t proc proc "$view/proc"
mount --rbind /sys "$view/sys"
mount --rbind /dev "$view/dev"
mount -t tmpfs -o mode=755 in-root "$view/run"
mount -t tmpfs -o mode=1777 in-root "$view/tmp"
mkdir "$view/opt/checkout"
tar -C "$CHECKOUT" --exclude=./.git --exclude='./.[vmprh]*' --exclude=./build --exclude='*.egg-info' \
    --exclude=__pycache__ -cf - . | tar -C "$view/opt/checkout" --no-same-owner -xf -
cp -L /etc/resolv.conf /etc/hosts "$view/etc/"
# How this machine reaches its package index, and whom it trusts.
for path in /etc/pip.conf /etc/ssl/certs/ca-certificates.crt "$HOME/.config/pip/pip.conf"; do
    [ -e "$path" ] && mkdir -p "$view${path%/*}" && cp -L "$path" "$view$path"
done

cd "$view"
mkdir .outside
pivot_root . .outside
cd /
exec /bin/sh -eu -c '
umount -l /.outside
PATH=/usr/sbin:/usr/bin:/sbin:/bin
venv=/opt/venv
python3 -m venv "$venv"
cd /opt/checkout
"$venv/bin/pip" install --quiet --disable-pip-version-check ".[test]"
printf "%s, %s, %s\n" "$("$venv/bin/python" --version)" "libvirt $(libvirtd --version | sed "s/.* //")" \
    "$(qemu-system-x86_64 --version | head -1)"
unset IN_ROOT_INNER CHECKOUT
export LC_ALL=C.UTF-8
exec "$venv/bin/python" -m pytest tests/stack "$@"
' sh "$@"
