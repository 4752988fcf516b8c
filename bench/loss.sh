#!/usr/bin/env bash
# riesz against PyTorch on the same machine, in turn: for each round, size and loss riesz, then each way of PyTorch, so that
# both see the same minutes. Prints a table of ratios; README.md beside this says what the columns are.
#
# PYTHON=venv/bin/python bench/loss.sh [--rounds 5] [--m 256,1024,4096] [--d 128] [--losses dhel,nt-xent,kcl,dcl]
#                                      [--device cpu|cuda] [--riesz-device cpu] [--threads 2] [--seconds 0.5] [--lines FILE]
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=5 m=256,1024,4096 d=128 losses=dhel,nt-xent,kcl,dcl device=cpu riesz_device=cpu threads=2 seconds=0.5 lines=""
while [ $# -gt 0 ]; do
  case "$1" in
    --rounds | --m | --d | --losses | --device | --threads | --seconds | --lines)
      [ $# -gt 1 ] || { echo "bench/loss.sh: $1 needs a value" >&2; exit 2; }
      declare "${1#--}=$2"
      shift 2 ;;
    --riesz-device)
      [ $# -gt 1 ] || { echo "bench/loss.sh: $1 needs a value" >&2; exit 2; }
      riesz_device="$2"
      shift 2 ;;
    *) echo "bench/loss.sh: $1 is no flag of it; its head lists them" >&2; exit 2 ;;
  esac
done
python="${PYTHON:-python3}"
riesz="${RIESZ:-target/release/riesz}"
[ -x "$riesz" ] || { echo "bench/loss.sh: $riesz is missing; cargo build --release --bin riesz makes it" >&2; exit 2; }
lines="${lines:-$(mktemp)}"
: > "$lines"

# The Python side stays: it compiles and checks once.
coproc SIDE { exec "$python" bench/loss.py --ask --riesz "$riesz" --device "$device" --threads "$threads" --d "$d" --seconds "$seconds"; }
exec {answers}<&"${SIDE[0]}" {questions}>&"${SIDE[1]}"
ask() {
  local answer
  echo "$*" >&"$questions"
  read -r answer <&"$answers" || { echo "bench/loss.sh: the Python side ended at: $*" >&2; exit 1; }
  echo "$answer"
}
declare -A ways
for loss in ${losses//,/ }; do
  ways[$loss]=$("$python" bench/loss.py --device "$device" --ways "$loss")
  # Round 0 compiles and checks.
  for size in ${m//,/ }; do
    for way in ${ways[$loss]}; do
      ask "$loss" "$size" "$way" > /dev/null
      echo "checked: $loss, M $size, $way" >&2
    done
  done
done
for ((round = 1; round <= rounds; round++)); do
  echo "round $round of $rounds" >&2
  ask - 0 product >> "$lines"
  for size in ${m//,/ }; do
    for loss in ${losses//,/ }; do
      "$riesz" bench loss "$loss" --m "$size" --d "$d" --convention reference --threads "$threads" --seconds "$seconds" \
        --device "$riesz_device" --json --quiet >> "$lines"
      for way in ${ways[$loss]}; do
        ask "$loss" "$size" "$way" >> "$lines"
      done
    done
  done
done
"$python" bench/loss.py --table "$lines"
