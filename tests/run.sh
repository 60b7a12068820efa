#!/bin/sh
# The whole suite: `tests/run.sh [PYTHON]`. The tests that need torch and diffusers run in one
# process beside all others in as many as there are cores: importing the two takes a process
# longer than most folders of tests.
set -u
python=${1:-python3}
export OMP_NUM_THREADS=1

needing_torch="tests/unit/engine tests/unit/training tests/contract/engine"
cores=$(getconf _NPROCESSORS_ONLN)
said=$(mktemp)
trap 'kill "$beside" 2>/dev/null; rm -f "$said"' EXIT

# shellcheck disable=SC2086  # several folders
"$python" -m pytest -q $needing_torch >"$said" 2>&1 &
beside=$!

# shellcheck disable=SC2046  # several options
"$python" -m pytest -q -n $((cores < 6 ? cores : 6)) --no-loadscope-reorder \
    $(printf -- '--ignore=%s ' $needing_torch)
others=$?
wait "$beside"
engine=$?
cat "$said"
exit $((others ? others : engine))
