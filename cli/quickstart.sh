#!/usr/bin/env bash
# Builds meshca and starts a certificate authority with fresh state, in the foreground; prints what to try next.
#   ./cli/quickstart.sh          until Ctrl-C
#   ./cli/quickstart.sh --demo   plays the whole story by itself with two Envoys; exit code 0 only if all of it held
#   ./cli/quickstart.sh --mesh   an agent, and services in the languages whose toolchains are here: mTLS through it all
# Installs the Debian packages it lacks (as root or with sudo). Everything it makes is under build/.
set -euo pipefail
cd "$(dirname "$0")/.."
. test/packages.sh

case "${1-}" in
  "" | --demo | --mesh) ;;
  -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) echo "quickstart.sh: unknown option $1; it takes --demo, --mesh or nothing" >&2; exit 2 ;;
esac

log=build/quickstart-build.log
mkdir -p build
meshca_install build
echo "building build/release/meshca (some minutes the first time; log: $log)"
if ! cmake --workflow --preset release >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  echo "the build failed; all of it is in $log" >&2
  exit 1
fi

if [ "${1-}" = --demo ]; then
  meshca_venv build/venv test/requirements.txt
  exec env PYTHONPATH=test/support build/venv/bin/python cli/demo/demo.py build/release/meshca build/quickstart
fi

if [ "${1-}" = --mesh ]; then
  # The C++ service is built with the tests, which need more packages than the command.
  meshca_install test
  meshca_venv build/venv test/requirements.txt
  { cmake --preset release-tests && cmake --build --preset release-tests --target mesh_cpp_service; } >>"$log" 2>&1 ||
    { echo "the C++ service was not built; see $log" >&2; exit 1; }
  exec env PYTHONPATH=test/support build/venv/bin/python test/interop/mesh/mesh.py build/release/meshca build/quickstart
fi

state=$PWD/build/quickstart
meshca=$PWD/build/release/meshca
rm -rf "$state"

# The server prints its first screen, with the real addresses, once it answers; the advice follows it.
first_screen=$(mktemp)
trap 'rm -f "$first_screen"' EXIT
"$meshca" serve --state-dir "$state" --listen 127.0.0.1:0 --http-listen 127.0.0.1:0 > >(tee "$first_screen") &
server=$!
trap 'kill -TERM "$server" 2>/dev/null; wait "$server" || true; rm -f "$first_screen"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

until grep -q '^next' "$first_screen"; do
  kill -0 "$server" 2>/dev/null || { wait "$server"; exit 1; }
  sleep 0.05
done
address=$(sed -n 's/^CSR service  *\([^ ]*\).*/\1/p' "$first_screen")
api_socket=$(sed -n 's|^CSR service .*unix://||p' "$first_screen")

cat <<EOF

Paste these into another shell:

  # 1. a one-time token for an identity, in a file that only you can read; it carries the root's fingerprint
  $meshca token create spiffe://cluster.local/ns/default/sa/web --out web.token --state-dir $state

  # 2. a key made here, and a certificate for it from the CA
  $meshca request spiffe://cluster.local/ns/default/sa/web --token-file web.token --server $address --out-dir out

  # 3. who may have that identity on the API socket, and what its proxy receives over SDS, as it changes (the private
  #    key is never shown)
  $meshca entry create spiffe://cluster.local/ns/default/sa/web --selector unix:uid:$(id -u) --state-dir $state
  $meshca sds watch default --api-socket $api_socket

Probes and metrics are plain HTTP (/livez, /readyz, /metrics). Where no port may be open for that, start the server with
--http-listen off; 'meshca health' then asks the same by gRPC, on its sockets.

Ctrl-C stops the server.
EOF
wait "$server"
