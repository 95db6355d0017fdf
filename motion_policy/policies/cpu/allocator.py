# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""glibc malloc thresholds that keep freed activation memory in the process.

glibc would return it to the kernel and fetch it again page by page, which can cost as much as the
network itself. Call it once, before the first tensor; memory is then not given back.
"""

from __future__ import annotations

import ctypes
import sys

# Parameters of glibc's mallopt(3) and the values for them, in bytes.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
SETTINGS = {
    M_MMAP_THRESHOLD: 256 * 2**20,
    M_TRIM_THRESHOLD: 1024 * 2**20,
    M_TOP_PAD: 64 * 2**20,
}


def keep_freed_memory() -> bool:
    """Set glibc's thresholds; False where there is no glibc (nothing is changed then)."""
    if not sys.platform.startswith('linux'):
        return False
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is None:
        return False
    return all([mallopt(parameter, value) == 1 for parameter, value in SETTINGS.items()])
