#!/bin/sh
# Installs the official clients that do not fit into our own environment, under build/clients.
# Safe to run again. What cannot be installed is skipped by the tests, with its reason.
set -u
cd "$(dirname "$0")/../../.."
python="${PYTHON:-.venv/bin/python}"
into=build/clients
mkdir -p "$into"

if [ ! -d "$into/replicate2/replicate" ]; then
    "$python" -m pip install --quiet --disable-pip-version-check \
        --target "$into/replicate2" "replicate==2.0.0b4" || echo "replicate 2.0.0b4: not installed"
fi
if [ ! -d "$into/node/node_modules/replicate" ]; then
    npm install --silent --no-audit --no-fund --prefix "$into/node" "replicate@1.4.0" ||
        echo "npm replicate 1.4.0: not installed"
fi
