# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Capabilities of the processor: bf16, TF32."""

from __future__ import annotations

from functools import cache

import torch


def forbid_tf32(device: torch.device) -> None:
    """Let float32 be float32 there, from now on in the whole process.

    PyTorch lets cuDNN round what convolutions and LSTMs multiply to 10 bits behind the point
    (TF32), relative errors of up to 2^-11: targets differed by 1e-4 where a back end of float32
    may differ by 1e-5. Who wants that speed asks for bf16.
    """
    if device.type == 'cuda':
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False


def has_bf16(device: torch.device) -> bool:
    """Whether PyTorch has fast bf16 there: AVX-512 or AMX on x86-64, BF16 on arm64, a recent GPU.

    Without it bf16 is computed in small pieces, slower than float32, or refused.
    """
    if device.type == 'cuda':
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == 'cpu' and _cpu_has_bf16()


@cache
def _cpu_has_bf16() -> bool:
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # a build without oneDNN
        return False
