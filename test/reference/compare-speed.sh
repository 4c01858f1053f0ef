#!/usr/bin/env bash
# Compares the speed of Edgewise with another runtime on one model.
#
#   test/reference/compare-speed.sh MODEL [THREADS] [LIB] [WITNESS_MODEL]
#
# The two run alternately, each round in a process of its own, so that both see
# the same drift of a shared machine; the fastest inference of all rounds counts.
# LIB is ort, tflite or xnnpack, by default the one that reads MODEL's format.
# WITNESS_MODEL is the file for the other runtime where it is not MODEL itself, as
# for zoo:NAME. ROUNDS (7) and RUNS (30 inferences a round) may be set, and
# EDGEWISE names a built binary to use instead of building one.
# The result is one JSON line on stdout.
set -euo pipefail

if [ $# -lt 1 ] || [ $# -gt 4 ]; then
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2
  exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
model=$1 threads=${2:-1} lib=${3:-} other=${4:-$1}
rounds=${ROUNDS:-7} runs=${RUNS:-30}
reference=${EDGEWISE_REFERENCE:-${XDG_CACHE_HOME:-$HOME/.cache}/edgewise-reference}
witness=${EDGEWISE_WITNESS:-$reference/bin/witness}
[ -x "$witness" ] || { echo "compare-speed.sh: no witness at $witness; run $here/install.sh" >&2; exit 1; }

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
ours=${EDGEWISE:-}
if [ -z "$ours" ]; then
  ours=$tmp/edgewise
  (cd "$here/../.." && CGO_ENABLED=0 go build -o "$ours" ./cmd/edgewise)
fi

# number KEY FILE prints the number stored under a JSON key.
number() {
  local v
  v=$(grep -o "\"$1\": *[-+0-9.eE]*" "$2" | head -n 1 | sed 's/.*: *//')
  [ -n "$v" ] || { echo "compare-speed.sh: no $1 in the output of $2" >&2; exit 1; }
  echo "$v"
}

for round in $(seq "$rounds"); do
  "$ours" bench "$model" --threads "$threads" --runs "$runs" --json >"$tmp/ours"
  "$witness" bench ${lib:+--lib "$lib"} --model "$other" --threads "$threads" --runs "$runs" >"$tmp/theirs"
  a=$(number latency_ms_min "$tmp/ours") b=$(number latency_ms_min "$tmp/theirs")
  echo "$a $b $(number first_result_ms "$tmp/ours") $(number first_result_ms "$tmp/theirs") $(number peak_rss_kb "$tmp/ours") $(number peak_rss_kb "$tmp/theirs") $(number base_rss_kb "$tmp/theirs")" >>"$tmp/all"
  echo "round $round: edgewise $a ms, witness $b ms" >&2
done
name=$(grep -o '"lib": *"[^"]*"' "$tmp/theirs" | sed 's/.*"\(.*\)"/\1/')
awk -v model="$model" -v lib="$name" -v threads="$threads" -v rounds="$rounds" '
  function low(i) { if (NR == 1 || $i < best[i]) best[i] = $i }
  { for (i = 1; i <= NF; i++) low(i); ratio[NR] = $1 / $2 }
  END {
    n = sort(ratio, NR)
    printf "{\"model\":\"%s\",\"lib\":\"%s\",\"threads\":%d,\"rounds\":%d,", model, lib, threads, rounds
    printf "\"edgewise_ms_min\":%.4f,\"witness_ms_min\":%.4f,\"ratio_of_minima\":%.3f,\"ratio_median_of_rounds\":%.3f,", best[1], best[2], best[1] / best[2], ratio[int((NR + 1) / 2)]
    printf "\"edgewise_first_result_ms\":%.3f,\"witness_first_result_ms\":%.3f,", best[3], best[4]
    printf "\"edgewise_peak_rss_kb\":%d,\"witness_peak_rss_kb\":%d,\"witness_base_rss_kb\":%d}\n", best[5], best[6], best[7]
  }
  function sort(v, n,   i, j, t) { # by insertion: asort is only in gawk
    for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j] < v[j-1]; j--) { t = v[j]; v[j] = v[j-1]; v[j-1] = t }
    return n
  }' "$tmp/all"
