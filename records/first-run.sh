#!/usr/bin/env bash
# The README's table: the default run with seeds 1, 2 and 3, and one table of them. About 5 minutes a seed on 2 cores.
# `records/first-run.sh [FOLDER]`; runs that are there already are not made again, an interrupted one goes on.
set -euo pipefail
cd "$(dirname "$0")/.."
folder="${1:-runs/first-run}"
cargo build --release --locked --bin riesz
for seed in 1 2 3; do
  [ -s "$folder/seed-$seed/report.html" ] || target/release/riesz train --seed "$seed" --run "$folder/seed-$seed"
done
target/release/riesz runs "$folder" --table
