#!/usr/bin/env bash
# Compares the time of a training step and its memory with PyTorch.
#
#   test/reference/train-speed.sh [BENCHMARK [MODEL BATCH THREADS]]
#
# BENCHMARK is a case of BenchmarkStep in internal/train, by default resnet20-128-2; MODEL,
# BATCH and THREADS are the same for train-speed.py, by default resnet20, 128 and 2. The two
# run alternately, each round in a process of its own; the fastest step of all rounds counts.
# ROUNDS (5) and RUNS (6 steps a round) may be set, PYTHON names an interpreter that has torch
# and UNDER a command that each round runs under. The result is one JSON line on stdout.
set -euo pipefail

case $# in 0 | 1 | 4) ;; *)
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2
  exit 2
  ;;
esac
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bench=${1:-resnet20-128-2} model=${2:-resnet20} batch=${3:-128} threads=${4:-2}
rounds=${ROUNDS:-5} runs=${RUNS:-6} python=${PYTHON:-python3} under=${UNDER:-}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
(cd "$here/../.." && CGO_ENABLED=0 go test -c -o "$tmp/train.test" ./internal/train)

# Peak memory of a process as time(1) would tell it, in kB.
cat >"$tmp/peak.py" <<'PY'
import resource, subprocess, sys
r = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True, check=True)
sys.stdout.write(r.stdout)
print("peak_rss_kb", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
PY

for round in $(seq "$rounds"); do
  $under "$python" "$tmp/peak.py" "$tmp/train.test" -test.run XXX -test.bench "Step/$bench\$" -test.benchtime "${runs}x" >"$tmp/ours"
  $under "$python" "$here/train-speed.py" --model "$model" --batch "$batch" --threads "$threads" --runs "$runs" >"$tmp/theirs"
  a=$(awk '{ for (i = 2; i <= NF; i++) if ($i == "ms-min") print $(i - 1) }' "$tmp/ours")
  b=$(grep -o '"step_ms_min": [0-9.]*' "$tmp/theirs" | sed 's/.* //')
  [ -n "$a" ] && [ -n "$b" ] || { echo "train-speed.sh: no time in round $round" >&2; exit 1; }
  echo "$a $b $(sed -n 's/^peak_rss_kb //p' "$tmp/ours") $(grep -o '"peak_rss_kb": [0-9]*' "$tmp/theirs" | sed 's/.* //')" >>"$tmp/all"
  echo "round $round: edgewise $a ms, PyTorch $b ms" >&2
done
awk -v bench="$bench" -v rounds="$rounds" '
  { for (i = 1; i <= NF; i++) if (NR == 1 || $i < best[i]) best[i] = $i }
  END {
    printf "{\"step\":\"%s\",\"rounds\":%d,\"edgewise_ms_min\":%.2f,\"pytorch_ms_min\":%.2f,\"ratio\":%.3f,", bench, rounds, best[1], best[2], best[1] / best[2]
    printf "\"edgewise_peak_rss_kb\":%d,\"pytorch_peak_rss_kb\":%d,\"rss_ratio\":%.3f}\n", best[3], best[4], best[3] / best[4]
  }' "$tmp/all"
