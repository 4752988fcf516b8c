#!/usr/bin/env bash
# The whole training loop, JPEG decoding and SimCLR's augmentation included, by riesz and by lightly in turn: each round riesz,
# then each way of lightly, every one a process of its own. Prints images a second and ratios.
#
# PYTHON=venv/bin/python bench/train.sh [--rounds 3] [--folder FOLDER] [--encoder small|resnet18] [--batch 64] [--threads 2]
#                                       [--ways eager,compile] [--workers 0,1,2] [--seconds 5] [--lines FILE]
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=3 folder="" encoder=small batch=64 threads=2 ways=eager,compile workers=0,1,2 seconds=5 lines=""
while [ $# -gt 0 ]; do
  case "$1" in
    --rounds | --folder | --encoder | --batch | --threads | --ways | --workers | --seconds | --lines)
      [ $# -gt 1 ] || { echo "bench/train.sh: $1 needs a value" >&2; exit 2; }
      declare "${1#--}=$2"
      shift 2 ;;
    *) echo "bench/train.sh: $1 is no flag of it; its head lists them" >&2; exit 2 ;;
  esac
done
python="${PYTHON:-python3}"
riesz="${RIESZ:-target/release/riesz}"
[ -x "$riesz" ] || { echo "bench/train.sh: $riesz is missing; cargo build --release --bin riesz makes it" >&2; exit 2; }
lines="${lines:-$(mktemp)}"
: > "$lines"
if [ -z "$folder" ]; then
  folder="$(mktemp -d)/jpegs"
  "$python" bench/train.py --make "$folder"
fi
case "$encoder" in
  small) backbone=resnet-small ;;
  *) backbone="$encoder" ;;
esac

for ((round = 1; round <= rounds; round++)); do
  echo "round $round of $rounds" >&2
  # Half of the time is the loop's.
  "$riesz" bench train "$folder" --recipe folder-32 --batch "$batch" --backbone "$backbone" \
    --set 'loss={name="nt-xent",temperature=0.5}' --threads "$threads" --seconds "$((2 * seconds))" --json --quiet >> "$lines"
  for way in ${ways//,/ }; do
    for count in ${workers//,/ }; do
      "$python" bench/train.py "$folder" --encoder "$encoder" --batch "$batch" --threads "$threads" --way "$way" \
        --workers "$count" --seconds "$seconds" >> "$lines"
    done
  done
done
"$python" bench/train.py --table "$lines"
