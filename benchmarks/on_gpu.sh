#!/usr/bin/env bash
# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
#
# The GPU day: what this package does on a GPU, measured by one command.
#
#     OUT=results benchmarks/on_gpu.sh [benches|policy|all] [--minutes 9] [--dry-run] ...
#
# benches  the tests of what only a GPU can do, `bench infer`, `train-step`, `predict` and `train` on
#          it, and in what is left the way of `policy` cut short (whether it works); 5 to 6 minutes.
# policy   ACT of full size, as config/train/act_transfer_cube.yaml says: demonstrations of the
#          scripted expert made by all cores (planned: 1 minute on 16), training until 90 s are
#          left, then 100 trials in simulation by all cores. The number of steps is chosen by the
#          time of a step, which is measured first, so that the learning rate comes to its end.
# all      both (the default): the benches that come first are `infer` and `train-step`, and the
#          training leaves time for the others.
#
# Everything stops by itself when the minutes are over. A stage that fails ends no other; its
# output is kept. Into the folder OUT go summary.json, table.md and log.txt, anew after each stage.
# Called again with the same OUT, what was done before stays in the summary, unless it is done anew;
# with the same --work folder, demonstrations and training go on where they were;
# `--work` is in the temporary folder if not given, and too large to bring along (40 GB).
#
# The Python is that of .venv after `make setup`, else PYTHON, else python3, which needs PyTorch for
# the GPU and the packages of the extras `train` and `sim`; nothing is downloaded. ImageNet's
# weights are used if torchvision has them at hand or `--backbone-weights FILE` names them.
#
# --dry-run does all stages on the CPU in tiny sizes, in about two minutes.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
paths=$root:$root/benchmarks
export PYTHONPATH=$paths${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
if [ -z "${PYTHON:-}" ] && [ -f "$root/.venv/set-up" ]; then
    exec "$root/scripts/run.sh" env PYTHONPATH="$paths" python "$root/benchmarks/gpu_day/day.py" "$@"
fi
exec "${PYTHON:-python3}" "$root/benchmarks/gpu_day/day.py" "$@"
