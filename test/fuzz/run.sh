#!/usr/bin/env bash
# Fuzzes every target for SECONDS each (60 by default), two at a time. What breaks one is kept in build/fuzz/NAME/ and
# belongs into corpus/NAME/ once mended; what only reaches new code is kept beside it and read again by the next run.
#   test/fuzz/run.sh [SECONDS] [NAME...]
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
shift || true

cmake --preset asan >/dev/null
cmake --build --preset asan --target fuzzers

# Leak checking per input slows libFuzzer down; the corpus tests of the same build check leaks.
fuzz() {
  local name=$1 work=build/fuzz/$1
  mkdir -p "$work/found"
  if build/asan/test/fuzz/"$name"_fuzz -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=70000 \
      -detect_leaks=0 -print_final_stats=1 -artifact_prefix="$work/" "$work/found" "test/fuzz/corpus/$name" \
      >"$work/log" 2>&1; then
    echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log") inputs in $seconds s, none broke it"
  else
    echo "$name: FAILED, see $work/"
    tail -n 40 "$work/log"
    return 1
  fi
}
export -f fuzz
export seconds

names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  for source in test/fuzz/*_fuzz.cc; do
    name=$(basename "$source" _fuzz.cc)
    [ -x "build/asan/test/fuzz/${name}_fuzz" ] || { echo "$name: not built" >&2; exit 1; }
    names+=("$name")
  done
fi
printf '%s\n' "${names[@]}" | xargs -P 2 -I{} bash -c 'fuzz {}'
