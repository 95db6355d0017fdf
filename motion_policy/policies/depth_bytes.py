# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Depth images as bytes, (H, W, 2) uint8: the low and the high one of each number of 16 bits.

As a camera sends them the numbers are millimetres; as a policy sees them, `STEPS` times the share
of the policy's range.
"""

from __future__ import annotations

import torch
from torch import Tensor

STEPS = 65535  # of a policy's range


def depth_bytes(numbers: Tensor) -> Tensor:
    """Whole numbers (N, H, W) from 0 to 65535 -> their bytes (N, H, W, 2) uint8."""
    whole = numbers.to(torch.int32)
    return torch.stack((whole & 255, whole >> 8), dim=-1).to(torch.uint8)


def depth_numbers(images: Tensor) -> Tensor:
    """Bytes (N, H, W, 2) uint8 -> the numbers (N, H, W) float32."""
    low, high = images.float().unbind(-1)
    return low + 256 * high


def depth_shares(shares: Tensor) -> Tensor:
    """Shares (N, h, w) in [0, 1] -> as a policy sees them, (N, h, w, 2) uint8."""
    return depth_bytes((shares.clamp(0, 1) * STEPS).round())


def unit_depth(seen: Tensor) -> Tensor:
    """Shares (N, h, w, 2) uint8 -> (N, 3, h, w) float32 in [0, 1], thrice the same."""
    share = (depth_numbers(seen) / STEPS)[:, None]
    return share.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
