#!/bin/bash
# Pins the newest releases that work together, by hash and without addresses.
set -euo pipefail
cd "$(dirname "$0")/.."
export UV_PYTHON_DOWNLOADS=never
uv=${UV:-.venv/bin/uv}
pin() {
    "$uv" pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links \
        --no-annotate --no-header --python-version 3.11 --no-emit-package vrasnode --no-emit-package openvras "$@"
}
pin pyproject.toml -o requirements/server.lock
pin vrasnode/pyproject.toml -o requirements/agent.lock
pin pyproject.toml --extra dev -o requirements/dev.lock
echo uv | pin - -o requirements/uv.lock
