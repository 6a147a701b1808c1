#!/usr/bin/env bash
# Builds meshca and runs its tests; installs what it lacks first. Ends with a line "N passed, N failed".
#   ./test/run.sh           what a change must pass: unit, integration, Envoy, gRPC interop (18 minutes cold, 7 warm)
#   ./test/run.sh --all     and sanitizers, lint, fuzz smoke, clients in the other languages (an hour and more when cold)
#   ./test/run.sh --cpp-only   the release build and the C++ suites alone
#   ./test/run.sh --help    every option
set -euo pipefail
cd "$(dirname "$0")/.."
. test/packages.sh

groups=(build test)
for word in "$@"; do
  [ "$word" = --all ] && groups+=(all)
done
meshca_install "${groups[@]}"
meshca_venv build/venv test/requirements.txt
exec build/venv/bin/python test/run.py "$@"
