# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""PSNR and SSIM of predicted frames, as in the video prediction literature.

Frames are (..., 3, H, W) in [0, 1]; a score stands for one frame and is a mean over its colours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from motion_policy.policies.video.psnr import psnr_of_error

WINDOW, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03


def psnr(frames: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio [dB]: (..., 3, H, W) twice -> (...), the mean of its colours'."""
    return psnr_of_error((frames - truth).square().mean((-2, -1))).mean(-1)


def ssim(frames: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity: (..., 3, H, W) twice -> (...).

    Wang et al., 2004, doi:10.1109/TIP.2003.819861. A Gaussian window of 11x11 pixels, sigma 1.5,
    only where it lies inside of the frame.
    """
    height, width = frames.shape[-2:]
    down, across = _window(height, frames.device), _window(width, frames.device)

    def blurred(image: Tensor) -> Tensor:
        return down @ image @ across.T

    x, y = frames.double(), truth.double()
    mean_x, mean_y = blurred(x), blurred(y)
    variance_x, variance_y = blurred(x * x) - mean_x**2, blurred(y * y) - mean_y**2
    covariance = blurred(x * y) - mean_x * mean_y
    light = (2 * mean_x * mean_y + K1**2) / (mean_x**2 + mean_y**2 + K1**2)
    structure = (2 * covariance + K2**2) / (variance_x + variance_y + K2**2)
    return (light * structure).mean((-3, -2, -1))


def _window(size: int, device: torch.device) -> Tensor:
    """The Gaussian at every place where it lies inside, as a matrix (size - 10, size)."""
    offsets = torch.arange(WINDOW, dtype=torch.float64, device=device) - WINDOW // 2
    weights = torch.exp(-0.5 * (offsets / SIGMA) ** 2)
    matrix = torch.zeros(size - WINDOW + 1, size, dtype=torch.float64, device=device)
    for row in range(len(matrix)):
        matrix[row, row : row + WINDOW] = weights / weights.sum()
    return matrix
