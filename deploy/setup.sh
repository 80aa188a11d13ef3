#!/bin/bash
# Sets up what is missing on a Debian 12 machine: packages of deploy/packages.txt, .venv from the lock, translations.
# Safe to run again, also after it was interrupted; needs root only when a package is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
began=$SECONDS

fail() {
    echo "Set-up stopped: $*" >&2
    exit 1
}

# The packages' own daemons are not wanted: the demo and the tests start private ones.
forbid_daemons() {
    [ ! -e /usr/sbin/policy-rc.d ] || return 0
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
}

# What is not running now is not started at the next start of this machine either.
mask() {
    local unit
    mkdir -p /etc/systemd/system
    for unit in "$@"; do
        ln -sfn /dev/null "/etc/systemd/system/$unit.service"
    done
}

# Runs a command and shows what it said only when it did not succeed.
quietly() {
    local log
    log=$(mktemp)
    if ! "$@" > "$log" 2>&1 < /dev/null; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        fail "\`$*\` did not succeed."
    fi
    rm -f "$log"
}

apt() {
    DEBIAN_FRONTEND=noninteractive quietly apt-get -qq -o DPkg::Lock::Timeout=300 "$@"
}

mapfile -t wanted < <(grep -v '^#' deploy/packages.txt | tr -s ' ' '\n' | grep .)
mapfile -t there < <(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${wanted[@]}" 2> /dev/null | sed -n 's/^installed //p')
mapfile -t missing < <(printf '%s\n' "${wanted[@]}" | grep -Fxv -f <(printf '%s\n' "${there[@]}") || true)
if [ ${#missing[@]} -gt 0 ]; then
    [ "$(id -u)" = 0 ] || fail "not installed: ${missing[*]}
Run this as root, or first: apt-get install --no-install-recommends ${missing[*]}"
    echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
    forbid_daemons
    # Its daemon would block whatever is plugged in after the next start of this machine.
    if [[ " ${missing[*]} " == *" usbguard "* ]]; then
        mask usbguard
    fi
    # Samba's would serve files of this machine from then on.
    if [[ " ${missing[*]} " == *" samba "* ]]; then
        mask smbd nmbd samba-ad-dc
    fi
    # A benchmark's, which would take files from whoever sends some.
    if [[ " ${missing[*]} " == *" uftp "* ]]; then
        mask uftp
    fi
    if [[ " ${missing[*]} " == *" winbind "* ]]; then
        mask winbind
    fi
    apt update
    apt install -y --no-install-recommends "${missing[@]}"
fi

export UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy PIP_ROOT_USER_ACTION=ignore
# A .venv whose making was interrupted has no pip: it is made anew.
if ! .venv/bin/python -m pip --version > /dev/null 2>&1; then
    echo "Making .venv with $(/usr/bin/python3 --version)"
    quietly /usr/bin/python3 -m venv --clear .venv
fi
if [ ! -x .venv/bin/uv ]; then
    quietly .venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
fi
uv() {
    .venv/bin/uv --quiet --no-progress "$@" --python .venv/bin/python
}
uv pip install --require-hashes -r requirements/dev.lock
uv pip install --no-deps --no-build-isolation -e ./vrasnode -e .
for catalogue in locale/*/LC_MESSAGES/*.po; do
    [ ! -e "$catalogue" ] || msgfmt --check -o "${catalogue%.po}.mo" "$catalogue"
done
echo "Set up in $((SECONDS - began)) s: .venv, $(.venv/bin/python --version)"
