#!/usr/bin/env bash
# Measures issuance on this machine: installs what it lacks, builds the release preset's server and load, runs them on a
# core each, prints the ratio. Exits 1 when it is above the limit. Nothing else should be running.
#   test/bench/run.sh [--limit 2.2] [--connections 8] [--in-flight 32] [--requests 4000] [--rounds 5]
set -euo pipefail
cd "$(dirname "$0")/../.."
. test/packages.sh
meshca_install build test
meshca_venv build/venv test/requirements.txt
cmake --preset release >/dev/null
cmake --build --preset release --target meshca meshca_bench
exec build/venv/bin/python test/bench/issuance.py "$@"
