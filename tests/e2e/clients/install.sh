#!/bin/sh
# Installs the official clients that do not fit into our own environment, under build/clients.
# Safe to run again. What cannot be installed is skipped by the tests, with its reason.
set -u
cd "$(dirname "$0")/../../.."
python="${PYTHON:-.venv/bin/python}"
into=build/clients
mkdir -p "$into"

if [ ! -d "$into/fal/fal_client" ]; then
    "$python" -m pip install --quiet --disable-pip-version-check \
        --target "$into/fal" "fal-client==1.0.3" || echo "fal-client 1.0.3: not installed"
fi
if [ ! -d "$into/node-fal/node_modules/@fal-ai/client" ]; then
    npm install --silent --no-audit --no-fund --prefix "$into/node-fal" "@fal-ai/client@1.10.1" ||
        echo "npm @fal-ai/client 1.10.1: not installed"
fi
if [ ! -d "$into/replicate2/replicate" ]; then
    "$python" -m pip install --quiet --disable-pip-version-check \
        --target "$into/replicate2" "replicate==2.0.0b4" || echo "replicate 2.0.0b4: not installed"
fi
for package in "blackforest 0.1.3 blackforest" "openai 3.52.0 openai3" "openai 1.109.1 openai1"; do
    set -- $package
    if [ ! -d "$into/$3/$1" ]; then
        "$python" -m pip install --quiet --disable-pip-version-check \
            --target "$into/$3" "$1==$2" || echo "$1 $2: not installed"
    fi
done
if [ ! -d "$into/node/node_modules/replicate" ]; then
    npm install --silent --no-audit --no-fund --prefix "$into/node" "replicate@1.4.0" ||
        echo "npm replicate 1.4.0: not installed"
fi
for package in "wavespeed 2.0.5 wavespeed2" "wavespeed 0.0.5 wavespeed0"; do
    set -- $package
    if [ ! -d "$into/$3/$1" ]; then
        "$python" -m pip install --quiet --disable-pip-version-check \
            --target "$into/$3" "$1==$2" || echo "$1 $2: not installed"
    fi
done
if [ ! -d "$into/node-wavespeed/node_modules/wavespeed" ]; then
    npm install --silent --no-audit --no-fund --prefix "$into/node-wavespeed" "wavespeed@0.3.2" ||
        echo "npm wavespeed 0.3.2: not installed"
fi
if [ ! -d "$into/node-ai/node_modules/@ai-sdk/openai-compatible" ]; then
    npm install --silent --no-audit --no-fund --prefix "$into/node-ai" "ai@6.0.326" \
        "@ai-sdk/black-forest-labs@1.0.33" "@ai-sdk/replicate@2.0.57" "@ai-sdk/fal@2.0.59" \
        "@ai-sdk/openai@3.0.141" "@ai-sdk/openai-compatible@2.0.87" ||
        echo "npm ai 6.0.326: not installed"
fi
if [ ! -d "$into/node-openai/node_modules/openai" ]; then
    npm install --silent --no-audit --no-fund --prefix "$into/node-openai" "openai@6.49.0" ||
        echo "npm openai 6.49.0: not installed"
fi
