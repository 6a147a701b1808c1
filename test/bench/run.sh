#!/usr/bin/env bash
# Measures every promised figure on this machine: installs what it lacks, builds the release preset's server and loads,
# prints the table. Takes ten minutes and two cores; nothing else should be running. Missed figures are not an error.
#   test/bench/run.sh [--json] [--only ROW...] [--write-readme]     --help says which rows there are
set -euo pipefail
cd "$(dirname "$0")/../.."
{
  . test/packages.sh
  meshca_install build test
  meshca_venv build/venv test/requirements.txt
  cmake --preset release-tests
  cmake --build --preset release-tests --target meshca meshca_bench meshca_seed
} >&2
export PYTHONDONTWRITEBYTECODE=1
exec build/venv/bin/python test/bench/suite/measure.py "$@"
