# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What this machine's processor can do, as its kernel says: independent of PyTorch and of us.

And what the environment variable that limits oneDNN to fewer instructions leaves of it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

ONEDNN_LIMIT = os.environ.get('ONEDNN_MAX_CPU_ISA', 'ALL').upper()
ONEDNN_LIMITED = ONEDNN_LIMIT not in ('', 'ALL', 'DEFAULT')
AVX_512 = {'avx512f', 'avx512bw', 'avx512vl', 'avx512dq'}

needs_openvino = pytest.mark.skipif(
    ONEDNN_LIMITED, reason='OpenVINO would crash: ONEDNN_MAX_CPU_ISA limits its instructions'
)


def has_bf16_by_its_flags() -> bool:
    """Whether oneDNN computes in bf16: AVX-512, or BF16 of arm64, unless it is told not to."""
    if ONEDNN_LIMITED and not ONEDNN_LIMIT.startswith(('AVX512', 'AVX10')):
        return False
    found = re.search(r'^(?:flags|Features)\s*: (.*)$', Path('/proc/cpuinfo').read_text(), re.M)
    flags = set(found[1].split()) if found else set()
    return flags >= AVX_512 or 'bf16' in flags
