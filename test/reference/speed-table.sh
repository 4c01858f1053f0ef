#!/usr/bin/env bash
# Measures the table of docs/kernels.md, or rows of it, and prints it as Markdown.
#
#   test/reference/speed-table.sh [--only 1,2] [--name resnet] [--check] [--show] ...
#
# Builds Edgewise (or takes the binary that EDGEWISE names) and cmd/speed, whose flags
# follow. Models, inputs and results.json are kept in ~/.cache/edgewise-speed, so that
# rows can be measured one at a time.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=${XDG_CACHE_HOME:-$HOME/.cache}/edgewise-speed/bin
mkdir -p "$bin"
if [ -z "${EDGEWISE:-}" ]; then
  export EDGEWISE=$bin/edgewise
  (cd "$here/../.." && CGO_ENABLED=0 go build -o "$EDGEWISE" ./cmd/edgewise)
fi
(cd "$here" && CGO_ENABLED=0 GOWORK=off go build -o "$bin/speed" ./cmd/speed)
exec "$bin/speed" table "$@"
