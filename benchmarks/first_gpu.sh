#!/usr/bin/env bash
# The first minutes on a GPU: what only one can show, each part in a process and a time limit of its own, 12 minutes in all.
#     bash benchmarks/first_gpu.sh [FILE]      (from the root of a checkout; FILE gets one line of JSON a part)
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-first_gpu.jsonl}
for part in limits:30 determinism:80 processor:50 steps:130 convolutions:70 resampling:20 operations:100 augmentation:40 \
    compiling:60 replay:50 precision:50 evaluation:40; do
    PYTHONPATH=. timeout "${part#*:}" python benchmarks/first_gpu.py "${part%:*}" --out "$out" \
        || echo "{\"part\": \"${part%:*}\", \"error\": \"ended with status $?\"}" | tee -a "$out"
done
