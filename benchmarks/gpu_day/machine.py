# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Description of this machine as a file, or one frame of the scene (--draw)."""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ('torch', 'torchvision', 'numpy', 'pytorch-lightning', 'mujoco', 'onnxruntime')


def tell() -> dict[str, Any]:
    """Versions and the GPU."""
    import torch

    found: dict[str, Any] = {'packages': {}, 'gpu': None}
    for package in PACKAGES:
        try:
            found['packages'][package] = version(package)
        except PackageNotFoundError:
            found['packages'][package] = None
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        found |= {
            'gpu': torch.cuda.get_device_name(), 'cuda': torch.version.cuda,
            'gpu_gib': [round(free / 2**30, 1), round(total / 2**30, 1)],
        }  # fmt: skip
    return found


def draw() -> None:
    """One frame of 480x640, then how long the next ones take."""
    from motion_policy.simulation.transfer_cube import TransferCubeSim

    sim = TransferCubeSim()
    sim.reset('random', seed=0)
    sim.render('top', 480, 640)
    begin = time.monotonic()
    for _ in range(20):
        image = sim.render('top', 480, 640)
    taken_ms = 50 * (time.monotonic() - begin)
    print(f'{taken_ms:.2f} ms a frame, from {image.min()} to {image.max()}')
    sim.close()
    if image.min() == image.max():
        raise SystemExit('the frame is of one colour')


if __name__ == '__main__':
    if sys.argv[1] == '--draw':
        draw()
    else:
        Path(sys.argv[1]).write_text(json.dumps(tell()))
