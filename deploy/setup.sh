#!/bin/bash
# Sets up what is missing on a Debian 12 machine: packages of deploy/packages.txt, .venv from the lock.
# Safe to run again; says what it does; needs root only when a package is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t wanted < <(grep -v '^#' deploy/packages.txt | tr -s ' ' '\n' | grep .)
missing=()
for package in "${wanted[@]}"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "Not installed: ${missing[*]}" >&2
        echo "Run as root: apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
    echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # The packages' own daemons are not wanted: the demo and the tests start private ones.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    apt-get -qq -o DPkg::Lock::Timeout=300 update
    apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}" > /dev/null
fi

export UV_PYTHON_DOWNLOADS=never
[ -x .venv/bin/python ] || /usr/bin/python3 -m venv .venv
[ -x .venv/bin/uv ] || .venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
.venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements/dev.lock
.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e ./vrasnode -e .
for catalogue in locale/*/LC_MESSAGES/django.po; do
    [ -e "$catalogue" ] && msgfmt --check -o "${catalogue%.po}.mo" "$catalogue"
done
echo "Set up: .venv, $(.venv/bin/python --version)"
