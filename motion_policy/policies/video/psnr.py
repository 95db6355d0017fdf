# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Peak signal-to-noise ratio (PSNR) of values in [0, 1], from their mean squared error."""

from __future__ import annotations

from torch import Tensor

LEAST_ERROR = 1e-10  # what is the same has 100 dB, not infinitely many


def psnr_of_error(errors: Tensor) -> Tensor:
    """Mean squared errors (...) of values in [0, 1] -> -10 log10 of each (...) [dB]."""
    return -10 * errors.clamp(min=LEAST_ERROR).log10()
